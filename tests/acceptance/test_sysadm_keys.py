"""Logging in with a key, and rpc/settings, which keeps the keys; by a real daemon."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.acceptance.sysadm_client import Client, call
from tests.daemon import FULL, READ, Daemon, running

WEAK = base64.b64encode(  # RSA of 1024 bits
    b"""-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCsddRqBudp8uowFQP93WGnXyFp
cNZ9BDrDu/YWJVjfzwE9+WwcvSl/oEIYWiNQpMMoQHDGYxG2g7WkBIe2j5K/yr0i
qN0N41+qyk68xCFnMp2kwMxXRRIWVjKoHRSvTPuZ7FgA6J4dBvRSTSTpkYkHL+ik
V/TQYDC2YOxv3rIOFQIDAQAB
-----END PUBLIC KEY-----
"""
).decode()
UNAUTHORIZED = {"code": "401", "message": "Unauthorized"}


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def other_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def shared(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for the tests that get nothing done."""
    patient = {"methods": ["accounts"], "failures": 1000}
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, {"auth": patient})) as daemon:
        yield daemon


def public(key: Any) -> str:
    """Base64 of the PEM form, as the client sends it."""
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(pem).decode()


def signed(key: rsa.RSAPrivateKey, text: str) -> str:
    """What the stock client makes of a test string: the private operation on type-1 padding, no hash."""
    numbers = key.private_numbers()
    size = key.key_size // 8
    block = b"\x00\x01" + b"\xff" * (size - 3 - len(text)) + b"\x00" + text.encode("ascii")
    result = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)
    return base64.b64encode(result.to_bytes(size)).decode()


def settings(client: Client, action: str, **args: object) -> dict[str, Any]:
    answer = client.ask(call("settings", {"action": action, **args}))
    assert answer["name"] == "response", answer
    found: dict[str, Any] = answer["args"]
    return found


def challenge(client: Client) -> str:
    text = client.ask(call("auth_ssl", ""))["args"]["test_string"]
    assert re.fullmatch("[A-Za-z0-9]{200}", text)
    return str(text)


def show(client: Client, signature: str) -> dict[str, Any]:
    return client.ask(call("auth_ssl", {"encrypted_string": signature}))


def level(client: Client) -> object:
    return client.ask(call("query", ""))["args"]["rpc/dispatcher"]


def registered(daemon: Daemon, key: rsa.RSAPrivateKey, account: Any = READ, **notes: str) -> None:
    with Client(daemon, account) as client:
        assert settings(client, "register_ssl_cert", pub_key=public(key), **notes) == {}


def test_a_registered_key_logs_its_user_in_also_after_a_restart(daemon, key):
    registered(daemon, key)
    for _ in range(2):
        with Client(daemon, None) as client:
            answer = show(client, signed(key, challenge(client)))
            assert (len(answer["args"][0]), answer["args"][1]) == (20, 900)
            assert level(client) == "read"
            assert client.list_jobs() == {"jobs": {}}
        daemon.restart()
    assert (daemon.state_dir / "client_keys.json").stat().st_mode & 0o777 == 0o600


def test_a_challenge_is_good_once_and_on_its_own_connection_only(daemon, key):
    registered(daemon, key)
    with Client(daemon, None) as one, Client(daemon, None) as two:
        first = challenge(one)
        assert show(two, signed(key, first))["args"]["code"] == "401"  # none is outstanding there
        challenge(two)
        assert show(two, signed(key, first))["args"]["code"] == "401"  # another one is
        assert show(one, signed(key, first))["name"] == "response"
        assert show(one, signed(key, first))["args"]["code"] == "401"  # it was used
        assert level_refused(one)
        assert challenge(one) != challenge(one)


def level_refused(client: Client) -> bool:
    return bool(client.ask(call("query", ""))["args"] == UNAUTHORIZED)


@pytest.mark.parametrize(
    "forge",
    [
        lambda key, other, text: signed(other, text),
        lambda key, other, text: signed(key, text[:-1]),
        lambda key, other, text: signed(key, "x" * 200),
        lambda key, other, text: base64.b64encode(text.encode()).decode(),
        lambda key, other, text: "AAAA",
        lambda key, other, text: "",
        lambda key, other, text: "no base64 !",
        lambda key, other, text: 5,
        lambda key, other, text: None,
        lambda key, other, text: base64.b64encode(bytes(256)).decode(),
        lambda key, other, text: base64.b64encode(b"\xff" * 100_000).decode()[:60_000],
    ],
)
def test_anything_else_is_nobody(forge, shared, key, other_key):
    registered(shared, key)
    with Client(shared, None) as client:
        answer = show(client, forge(key, other_key, challenge(client)))

        assert answer["args"]["code"] == "401"
        assert level_refused(client)


def test_asking_for_a_challenge_ends_the_login_before(daemon, key):
    with Client(daemon) as client:
        token = client.token
        client.subscribe()
        client.say(call("auth_ssl", "", "ssl"))

        assert client.answer() == {"args": UNAUTHORIZED, "id": "", "name": "error", "namespace": "error"}
        assert client.answer()["id"] == "ssl"
        assert level_refused(client)
        assert client.ask(call("auth_token", {"token": token}))["args"]["code"] == "401"


def test_wrong_signatures_count_as_failed_logins(daemon, key):
    registered(daemon, key)
    with Client(daemon, None) as client:
        for _ in range(5):
            challenge(client)
            assert "signature" in show(client, "AAAA")["args"]["reason"]
        refused = show(client, signed(key, challenge(client)))

    assert "too many logins from this address have failed" in refused["args"]["reason"]


def test_keys_are_listed_and_revoked_as_documented(daemon, key, other_key):
    before = time.strftime("%Y-%m-%dT%H:%M:%S")
    with Client(daemon) as admin, Client(daemon, READ) as reader:
        assert settings(reader, "list_ssl_certs") == {}
        assert settings(reader, "list_ssl_checksums") == {"md5_keys": []}
        settings(admin, "register_ssl_cert", pub_key=public(key), nickname="desk", email="a@b.example")
        settings(reader, "register_ssl_cert", pub_key=public(other_key))

        own = settings(reader, "list_ssl_certs")
        everybodys = settings(admin, "list_ssl_certs")
        text = everybodys[FULL.name][public(key)]
        found = re.fullmatch("Nickname: desk\nEmail: a@b.example\nDate Registered: (.*)", text)
        assert found is not None
        assert before <= found[1] <= time.strftime("%Y-%m-%dT%H:%M:%S")
        assert own == {READ.name: {public(other_key): everybodys[READ.name][public(other_key)]}}
        assert set(everybodys) == {FULL.name, READ.name}
        sums = [
            base64.b64encode(
                hashlib.md5(base64.b64decode(public(one)), usedforsecurity=False).digest()
            ).decode()
            for one in (key, other_key)
        ]
        assert settings(reader, "list_ssl_checksums") == {"md5_keys": sums}

        # A reader changes nobody else's keys, and does not learn which there are.
        for theirs in (public(key), "QUJD"):
            refused = reader.ask(
                call("settings", {"action": "revoke_ssl_cert", "pub_key": theirs, "user": FULL.name})
            )
            assert (refused["args"]["code"], refused["args"]["message"]) == ("400", "Bad Request")
            assert "somebody else's" in refused["args"]["reason"]
        assert settings(admin, "revoke_ssl_cert", pub_key=public(other_key), user=READ.name) == {}
        assert settings(admin, "revoke_ssl_cert", pub_key=public(key)) == {}
        assert settings(admin, "list_ssl_certs") == {}

    with Client(daemon, None) as client:
        assert show(client, signed(key, challenge(client)))["args"]["code"] == "401"


def test_a_key_that_is_revoked_ends_the_sessions_that_it_began_and_no_others(daemon, key, other_key):
    registered(daemon, key)
    registered(daemon, other_key)
    with (
        Client(daemon) as admin,
        Client(daemon, READ) as by_password,
        Client(daemon, None) as one,
        Client(daemon, None) as two,
        Client(daemon, None) as by_token,
    ):
        token = show(one, signed(key, challenge(one)))["args"][0]
        assert show(two, signed(other_key, challenge(two)))["name"] == "response"
        assert by_token.ask(call("auth_token", {"token": token}))["name"] == "response"
        for client in (one, two, by_password, by_token):
            client.subscribe()

        assert settings(admin, "revoke_ssl_cert", pub_key=public(key), user=READ.name) == {}

        for client in (one, by_token):
            told = client.answer()
            assert (told["id"], told["name"], told["args"]) == ("", "error", UNAUTHORIZED)
        admin.run_jobs(after="true")
        for client in (two, by_password):
            client.finished("after")
        assert one.silence(0.1) == by_token.silence(0) == []
        assert level_refused(one)
        assert level(two) == level(by_password) == "read"
        assert by_token.ask(call("auth_token", {"token": token}))["args"]["code"] == "401"


@pytest.mark.parametrize(
    "args",
    [
        {},
        "",
        {"action": "nonesuch"},
        {"action": "Register_ssl_cert"},
        {"action": 5},
        {"action": "register_ssl_cert"},
        {"action": "register_ssl_cert", "pub_key": ""},
        {"action": "register_ssl_cert", "pub_key": 5},
        {"action": "register_ssl_cert", "pub_key": "QUJD"},
        {"action": "register_ssl_cert", "pub_key": "no base64"},
        {"action": "register_ssl_cert", "pub_key": public(ec.generate_private_key(ec.SECP256R1()))},
        {"action": "register_ssl_cert", "pub_key": WEAK},
        {"action": "revoke_ssl_cert"},
        {"action": "revoke_ssl_cert", "pub_key": "nope"},
        {"action": "list_ssl_certificates"},
    ],
)
def test_what_cannot_be_done_is_400_and_says_why(args, shared):
    with Client(shared) as client:
        before = settings(client, "list_ssl_certs")
        answer = client.ask(call("settings", args))

        assert (answer["name"], answer["args"]["code"]) == ("error", "400")
        assert len(answer["args"]["reason"]) > 30
        assert settings(client, "list_ssl_certs") == before


def test_nobody_registers_nothing_and_an_account_that_is_gone_has_no_key(daemon, key):
    registered(daemon, key)
    with Client(daemon, None) as client:
        args = {"action": "register_ssl_cert", "pub_key": public(key)}
        assert client.ask(call("settings", args))["args"] == UNAUTHORIZED
        daemon.cli("--config", str(daemon.config), "passwd", READ.name, "--delete", check=True)
        assert show(client, signed(key, challenge(client)))["args"]["code"] == "401"


def test_query_lists_settings_and_a_broken_file_of_keys_is_kept_aside(daemon, key):
    registered(daemon, key)
    path = daemon.state_dir / "client_keys.json"
    daemon.stop()
    path.write_text("{broken")
    daemon.start()
    with Client(daemon, READ) as client:
        assert client.ask(call("query", ""))["args"]["rpc/settings"] == "read/write"
        assert settings(client, "register_ssl_cert", pub_key=public(key)) == {}

    assert (daemon.state_dir / "client_keys.json.unreadable").read_text() == "{broken"
    assert len(json.loads(path.read_text())) == 1
    assert "cannot read the keys of clients" in daemon.stderr
