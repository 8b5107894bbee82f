"""Small print of SysAdm's protocol, by a real daemon: handshake, envelope, the stock client's own way in."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets import Origin
from websockets.sync.client import connect

from tests.acceptance.sysadm_client import PATIENCE, Client, call, record, tls_context
from tests.acceptance.test_sysadm_keys import public, settings
from tests.daemon import FULL, READ, Daemon, running

IDENTITY = {"hostname": socket.gethostname(), "type": "server"}
UNAUTHORIZED = {"code": "401", "message": "Unauthorized"}


@pytest.fixture(scope="module")
def shared(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all: no job is left in it."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file)) as daemon:
        yield daemon


# --- the handshake ------------------------------------------------------------------------------


def test_the_stock_clients_handshake_gets_a_plain_101(shared):
    with (
        socket.create_connection(("127.0.0.1", shared.tls_port), timeout=PATIENCE) as raw,
        tls_context(shared).wrap_socket(raw, server_hostname="localhost") as shielded,
    ):
        shielded.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost:12150\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: sysadm-client\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = shielded.recv(1)
            assert piece, head
            head += piece

    line, *headers = head.decode().lower().split("\r\n")
    assert line.startswith("http/1.1 101 ")
    assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in headers
    # What was not offered is not chosen.
    assert not any(one.startswith(("sec-websocket-protocol", "sec-websocket-extensions")) for one in headers)


@pytest.mark.parametrize(
    ("path", "origin"),
    [("/", None), ("/any/path?at=all", "sysadm-client"), ("//", "null"), ("/", "https://page.example")],
)
def test_any_path_and_any_origin_are_taken(path, origin, shared):
    shown = None if origin is None else Origin(origin)
    url = f"wss://localhost:{shared.tls_port}{path}"
    with Client(
        shared, READ, connect(url, ssl=tls_context(shared), origin=shown, compression=None)
    ) as client:
        assert client.ask(call("identify", ""))["args"] == IDENTITY


def test_no_certificate_is_asked_of_a_client(shared):
    # Asked of another library, which tells; TLS 1.2 shows it before anything is encrypted.
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{shared.tls_port}", "-tls1_2", "-msg"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    ).stdout

    assert "ServerHelloDone" in shown
    assert "CertificateRequest" not in shown


def test_a_message_in_several_frames_is_one(shared):
    message = json.dumps(call("dispatcher", {"action": "list", "filler": "x" * 600_000}, "fragments"))
    pieces = [message[:1], message[1 : 512 * 1024], message[512 * 1024 :]]
    with Client(shared, READ) as client:
        client.socket.send(pieces)
        assert client.answer() == {
            "args": {"jobs": {}},
            "id": "fragments",
            "name": "response",
            "namespace": "rpc",
        }


# --- the envelope -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call_id",
    [
        "sysadm-client-auth-auto",
        "{6a3c1f7e-0d5b-4f0e-9a56-1d2b3c4d5e6f}",
        " blanks stay ",
        'quote " and \\ and /',
        "umlauts äöü, 日本, \U0001f600",
        "tab\tand\nline\x00\x7f",
        "l" * 5000,
    ],
)
def test_an_id_comes_back_as_it_was_sent_in_answers_and_in_errors(call_id, shared):
    with Client(shared, READ) as client:
        assert client.ask(call("identify", "", call_id))["id"] == call_id
        assert client.ask(call("query", "", call_id))["id"] == call_id
        assert client.ask(call("nonesuch", "", call_id))["id"] == call_id
        assert client.ask({"id": call_id})["id"] == call_id


def test_an_answer_is_one_compact_text_with_sorted_keys(shared):
    message = json.dumps(call("dispatcher", {"action": "run", "z": {"x": 1}, "a": {"x": 1}}, "7"))
    with Client(shared) as client:
        for sent in (message, message.encode()):
            client.socket.send(sent)
            text = client.socket.recv(timeout=PATIENCE)

            assert isinstance(text, str)
            assert text == json.dumps(
                json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False
            )
            assert text.startswith('{"args":{"rejected":{"a":"')
            assert text.endswith('"},"started":[]},"id":"7","name":"response","namespace":"rpc"}')


@pytest.mark.parametrize(
    ("namespace", "name", "code"),
    [
        ("rpc", "Identify", "404"),
        ("rpc", "IDENTIFY", "404"),
        ("rpc", "Auth", "404"),
        ("rpc", "Auth_token", "404"),
        ("events", "Subscribe", "400"),
        ("EVENTS", "UNSUBSCRIBE", "400"),
        ("zz", "authfoo", "404"),
        ("zz", "identify", "404"),
        ("sysadm", "dispatcher", "404"),
    ],
)
def test_these_names_are_compared_exactly(namespace, name, code, shared):
    with Client(shared, READ) as client:
        answer = client.ask(call(name, ["dispatcher"], namespace=namespace))

        assert (answer["name"], answer["args"]["code"]) == ("error", code)
        assert client.list_jobs() == {"jobs": {}}  # and nobody was logged out


@pytest.mark.parametrize(
    ("namespace", "name", "args"),
    [
        ("RPC", "identify", ""),
        ("Rpc", "Query", ""),
        ("RPC", "DISPATCHER", {"action": "LIST"}),
        ("rPC", "Settings", {"action": "list_ssl_checksums"}),
        ("rpc", "LOGS", {"action": "Read_Logs", "logs": "nonesuch"}),
        ("Events", "subscribe", "dispatcher"),
        ("EVENTS", "unsubscribe", "dispatcher"),
    ],
)
def test_a_namespace_and_the_names_of_subsystems_may_be_written_in_any_case(namespace, name, args, shared):
    with Client(shared, READ) as client:
        answer = client.ask(call(name, args, namespace=namespace))

    assert (answer["name"], answer["namespace"]) == ("response", namespace)


@pytest.mark.parametrize("namespace", ["rpc", "events", "sysadm", "zz"])
def test_what_there_is_is_looked_at_after_who_asks_and_what_is_wrong_after_that(namespace, shared):
    with Client(shared, None) as client:
        assert client.ask({"namespace": namespace, "id": "x"})["args"]["code"] == "400"  # no name: at once
        for name in ("nonesuch", "dispatcher", "subscribe", "pkg"):
            assert client.ask(call(name, {"action": 5}, namespace=namespace))["args"] == UNAUTHORIZED
        client.log_in(READ)
        assert client.ask(call("nonesuch", {"action": 5}, namespace="rpc"))["args"]["code"] == "404"
        assert client.ask(call("dispatcher", {"action": 5}, namespace="rpc"))["args"]["code"] == "400"


def test_a_403_leaves_the_socket_open_and_the_client_subscribed(shared):
    with Client(shared, READ) as reader, Client(shared) as client:
        reader.subscribe()
        for args in ({"action": "run", "a": "true"}, {"action": "kill", "job_id": "a"}, {"action": "run"}):
            assert reader.ask(call("dispatcher", args))["args"]["code"] == "403"
        client.subscribe()
        client.run_jobs(b="true")
        client.finished("b")

        assert reader.finished("b")["outcome"] == "success"


# --- query --------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", ["", {}, "simple-query", {"junk": "junk"}, [], None, 5])
def test_query_looks_at_no_args(args, shared):
    with Client(shared, READ) as client:
        assert client.ask(call("query", args))["args"] == client.ask(call("query", ""))["args"]


def test_each_name_in_the_answer_to_query_is_there(shared):
    shared.script("pkg", "exit 0")
    with Client(shared) as client, Client(shared, READ) as reader:
        listed = client.ask(call("query", ""))["args"]
        for name in listed:
            namespace, _, subsystem = name.partition("/")
            answer = client.ask(call(subsystem, {"action": "nonesuch"}, namespace=namespace))
            assert answer["args"]["code"] == "400", name
        assert reader.ask(call("query", ""))["args"].keys() == listed.keys()

    assert {"rpc/dispatcher", "rpc/logs", "rpc/settings", "sysadm/pkg"} <= listed.keys()
    assert set(listed.values()) == {"read/write"}


# --- the way of the stock client ----------------------------------------------------------------


def test_the_stock_client_finds_its_way_with_ids_of_its_own(shared):
    auto, event = "sysadm-client-auth-auto", "sysadm-client-event-auto"
    with Client(shared, None) as client:
        assert client.ask(call("identify", "", "sysadm_client_identify"))["args"] == IDENTITY
        login = call("auth", {"username": READ.name, "password": READ.password}, auto)
        token, seconds = client.ask(login)["args"]
        assert (len(token), seconds) == (20, 900)
        client.say(call("subscribe", "system-state", event, "events"))
        client.say(call("subscribe", "dispatcher", event, "events"))
        assert [client.answer()["args"] for _ in range(2)] == [
            {"subscribe": "system-state"},
            {"subscribe": "dispatcher"},
        ]
        # What it says when it has had nothing to say for 90 s.
        assert client.ask(call("identify", "", "sysadm_client_identify"))["args"] == IDENTITY
        assert "rpc/dispatcher" in client.ask(call("query", "", "sysadm_client_ping"))["args"]
    with Client(shared, None) as again:
        assert again.ask(call("auth_token", {"token": token}, auto))["args"] == [token, 900]
        # Without anything to log in with it tries its key; an object is what it takes for a challenge.
        assert set(again.ask(call("auth_ssl", "", auto))["args"]) == {"test_string"}


def test_a_login_and_what_follows_may_be_said_in_one_go(shared):
    with Client(shared, None) as client:
        client.say(call("auth", {"username": FULL.name, "password": FULL.password}, "1"))
        client.say(call("subscribe", "dispatcher", "2", "events"))
        client.say(call("dispatcher", {"action": "run", "said-at-once": "true"}, "3"))
        answers = [client.answer() for _ in range(3)]
        client.finished("said-at-once")

    assert [(one["id"], one["name"]) for one in answers] == [
        ("1", "response"),
        ("2", "response"),
        ("3", "response"),
    ]


def test_each_one_of_many_answers_comes_with_its_own_id(shared):
    ids = [str(number) for number in range(100)]
    with Client(shared, READ) as client:
        for call_id in ids:
            client.say(call("dispatcher", {"action": "list"}, call_id))
        answers = [client.answer() for _ in ids]

    assert sorted(one["id"] for one in answers) == sorted(ids)  # in which order, nobody promises
    assert all(one["args"] == {"jobs": {}} for one in answers)


@pytest.mark.parametrize("args", ["", {}, None, [1], {"token": "x"}, {"username": "admin"}])
def test_auth_clear_gets_no_answer_whatever_its_args(args, shared):
    with Client(shared, READ) as client:
        client.say(call("auth_clear", args, "clear"))

        assert client.ask(call("query", "", "next")) == {
            "args": UNAUTHORIZED,
            "id": "next",
            "name": "error",
            "namespace": "error",
        }


@pytest.mark.parametrize("args", ["", {}, None, [], "x", {"username": "admin"}, {"md5": "x"}])
def test_anything_without_a_signed_text_asks_for_a_challenge(args, shared):
    with Client(shared, None) as client:
        answer = client.ask(call("auth_ssl", args))

    text = answer["args"]["test_string"]
    assert answer["name"] == "response"
    assert text.isascii()
    assert 128 <= len(text) <= 245


def test_a_key_without_notes_has_empty_ones_and_a_key_registered_again_has_the_new_ones(shared):
    key = public(rsa.generate_private_key(65537, 2048))
    with Client(shared, READ) as client:
        assert settings(client, "register_ssl_cert", pub_key=key) == {}
        first = settings(client, "list_ssl_certs")[READ.name][key].split("\n")
        assert settings(client, "register_ssl_cert", pub_key=key, nickname="n", email="e@x") == {}
        second = settings(client, "list_ssl_certs")
        settings(client, "revoke_ssl_cert", pub_key=key, user=READ.name)

    assert first[:2] == ["Nickname: ", "Email: "]
    assert first[2].startswith("Date Registered: 20")
    assert len(first) == 3
    assert list(second) == [READ.name]
    assert second[READ.name][key].startswith("Nickname: n\nEmail: e@x\nDate Registered: 20")


# --- logs ---------------------------------------------------------------------------------------


def test_times_count_only_with_a_format_and_what_has_no_lines_is_left_out(shared):
    def read(**args: object) -> dict[str, object]:
        found: dict[str, object] = reader.ask(call("logs", {"action": "READ_LOGS", **args}))["args"]
        return found

    with Client(shared) as client, Client(shared, READ) as reader:
        client.subscribe()
        client.run_jobs(logged="true")
        client.finished("logged")
        whole = read(logs=["hostinfo", "events-dispatcher", "events-lifepreserver"])
        without_format = read(logs="events-dispatcher", start_time="9", end_time="8")
        before = read(logs="events-dispatcher", time_format="relative_second", end_time="3600")
        unknown = read(logs=["bogus"])

    assert set(whole) == {"hostinfo", "events-dispatcher"}
    assert without_format.keys() == {"events-dispatcher"}
    assert (before, unknown) == ({}, {})
    told = whole["events-dispatcher"]
    assert isinstance(told, dict)
    assert "logged" in {record(args)["process_id"] for args in told.values()}
