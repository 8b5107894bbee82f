"""How long a connection may be silent or nobody's, and how much a stranger may send, by a real daemon."""

import json
import socket
import ssl
import time
from contextlib import ExitStack

import pytest
from cryptography import x509
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from tests.acceptance.sysadm_client import Client, call, tls_context
from tests.daemon import FULL, READ, Daemon

FILE_ONLY = {"methods": ["accounts"]}


def close_of(connection: ClientConnection, seconds: float = 15) -> tuple[int | None, str]:
    """Wait for the end; give code and reason."""
    deadline = time.monotonic() + seconds
    try:
        while True:
            connection.recv(timeout=max(0.0, deadline - time.monotonic()))
    except ConnectionClosed:
        return connection.protocol.close_code, connection.protocol.close_reason or ""


def wss(daemon: Daemon) -> ClientConnection:
    return connect(f"wss://localhost:{daemon.tls_port}/", ssl=tls_context(daemon), compression=None)


def test_who_does_not_log_in_in_time_is_closed_with_1000_and_no_reason(make_daemon):
    daemon = make_daemon({"limits": {"login_time": "1 s"}})
    with (
        Client(daemon, READ) as reader,
        unix_connect(str(daemon.socket), compression=None) as owner,
        wss(daemon) as stranger,
        wss(daemon) as guesser,
    ):
        begun = time.monotonic()
        guesser.send(json.dumps(call("auth", {"username": FULL.name, "password": "wrong"})))
        assert json.loads(guesser.recv(10))["args"]["code"] == "401"
        stranger.send(json.dumps(call("identify", "")))
        assert json.loads(stranger.recv(10))["args"]["type"] == "server"
        closes = [close_of(stranger), close_of(guesser)]
        took = time.monotonic() - begun

        assert closes == [(1000, ""), (1000, "")]
        assert 0.5 < took < 5
        # A login in time, and a peer that needs none, stay.
        assert reader.list_jobs() == {"jobs": {}}
        owner.send(json.dumps(call("dispatcher", {"action": "list"})))
        assert json.loads(owner.recv(10))["args"] == {"jobs": {}}


def test_a_silent_client_is_closed_and_one_that_talks_is_not(make_daemon):
    daemon = make_daemon({"limits": {"idle_time": "1 s", "ping_time": "10 min"}})
    with Client(daemon) as silent, Client(daemon) as talking, json_rpc(daemon) as other:
        begun = time.monotonic()
        while time.monotonic() < begun + 2:
            talking.list_jobs()
            time.sleep(0.05)

        assert close_of(silent.socket) == (1000, "")
        assert talking.list_jobs() == {"jobs": {}}
        other.send('{"jsonrpc":"2.0","id":1,"method":"core.ping","params":[]}')
        assert json.loads(str(other.recv(10)))["result"] == "pong"  # JSON-RPC has no such clock


def json_rpc(daemon: Daemon) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{daemon.plain_port}/api/current", compression=None)


def test_who_only_answers_pings_hears_a_job_that_outlives_token_and_idle_time(make_daemon):
    limits = {"idle_time": "2 s", "ping_time": "300 ms"}
    daemon = make_daemon({"limits": limits, "auth": {**FILE_ONLY, "token_time": "2 s"}})
    with Client(daemon) as client:
        client.subscribe()
        client.run_jobs(long="sleep 5")

        assert client.finished("long")["outcome"] == "success"
        # Its login is valid; the token is not, where nobody has used it.
        with Client(daemon, None) as other:
            assert other.ask(call("auth_token", {"token": client.token}))["args"]["code"] == "401"
        daemon.cli("--config", str(daemon.config), "passwd", FULL.name, "--delete", check=True)
        daemon.cli("reload", check=True)
        assert client.answer()["args"] == {"code": "401", "message": "Unauthorized"}
        daemon.cli("run", "--wait", "--", "true", check=True)
        assert client.silence(0.2) == []


@pytest.mark.parametrize("path", ["/", "/api/current"])
def test_a_missed_pong_ends_the_session(path, make_daemon):
    daemon = make_daemon({"limits": {"ping_time": "500 ms"}})
    with socket.create_connection(("127.0.0.1", daemon.plain_port), timeout=15) as raw:
        raw.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        heard = b""
        while piece := raw.recv(4096):
            heard += piece

    assert heard.count(b"\x89\x04") == 1  # one ping, and no answer to it
    assert (1011).to_bytes(2) + b"no pong within 0.5 s" in heard


def test_a_stranger_may_send_less_than_somebody(daemon):
    large = json.dumps(call("dispatcher", {"action": "list", "filler": "x" * 100_000}))
    with Client(daemon, None) as stranger, Client(daemon, READ) as reader:
        stranger.say(large)
        assert close_of(stranger.socket)[0] == 1009
        assert reader.ask(large)["args"] == {"jobs": {}}
        reader.say(call("auth_clear", ""))
        reader.say(large)
        assert close_of(reader.socket)[0] == 1009


def test_one_address_has_so_many_connections_and_the_unix_socket_any_number(make_daemon):
    daemon = make_daemon({"limits": {"connections_per_address": 2}})
    with Client(daemon), Client(daemon):
        with pytest.raises((OSError, EOFError)), wss(daemon):
            pass
        url, trust = f"wss://localhost:{daemon.tls_port}/", tls_context(daemon)
        with Client(
            daemon, FULL, connect(url, ssl=trust, compression=None, source_address=("127.0.0.2", 0))
        ) as other:
            assert other.list_jobs() == {"jobs": {}}
        with ExitStack() as owners:
            for _ in range(4):
                owner = owners.enter_context(unix_connect(str(daemon.socket), compression=None))
                owner.send(json.dumps(call("identify", "")))
                assert json.loads(owner.recv(10))["args"]["type"] == "server"
    with Client(daemon) as again:
        assert again.list_jobs() == {"jobs": {}}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(version, daemon):
    trust = tls_context(daemon)
    trust.minimum_version = trust.maximum_version = version
    with connect(f"wss://localhost:{daemon.tls_port}/", ssl=trust, compression=None) as client:
        client.send(json.dumps(call("identify", "")))
        assert json.loads(client.recv(10))["args"]["type"] == "server"


def test_older_tls_is_refused(daemon):
    assert first_answer(daemon, b"\x03\x02")[:1] != HANDSHAKE  # TLS 1.1
    assert first_answer(daemon, b"\x03\x03")[:1] == HANDSHAKE  # the same with TLS 1.2


HANDSHAKE = b"\x16"  # the type of a record (RFC 5246, 6.2.1)


def first_answer(daemon: Daemon, version: bytes) -> bytes:
    """Say hello by hand: today's OpenSSL offers nothing older by itself."""
    suites = b"\x00\x2f\x00\x35\xc0\x13\xc0\x14\xc0\x2f\xc0\x30"
    groups = b"\x00\x0a\x00\x04\x00\x02\x00\x17"
    signatures = b"\x00\x0d\x00\x08\x00\x06\x04\x01\x08\x04\x04\x03"
    extensions = groups + signatures
    body = version + bytes(32) + b"\x00" + len(suites).to_bytes(2) + suites + b"\x01\x00"
    body += len(extensions).to_bytes(2) + extensions
    hello = b"\x01" + len(body).to_bytes(3) + body
    with socket.create_connection(("127.0.0.1", daemon.tls_port), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01" + len(hello).to_bytes(2) + hello)
        return raw.recv(100)


def test_the_certificate_is_self_signed_valid_now_and_the_same_after_a_restart(daemon):
    def shown() -> x509.Certificate:
        pem = ssl.get_server_certificate(("127.0.0.1", daemon.tls_port))
        return x509.load_pem_x509_certificate(pem.encode())

    before = shown()
    daemon.restart()

    assert before == shown()
    assert before.issuer == before.subject
    before.verify_directly_issued_by(before)
    assert before.not_valid_before_utc.timestamp() < time.time() < before.not_valid_after_utc.timestamp()
