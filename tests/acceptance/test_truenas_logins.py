"""TrueNAS logins against a real daemon: over ws, wss and a Unix socket, with keys made by the command line."""

import grp
import json
import os
import pwd
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple, Self

import pytest
from websockets.sync.client import connect, unix_connect

from tests.acceptance.daemon_clients import PATIENCE, until
from tests.acceptance.test_access import NOBODY, a_folder_for_all, as_user, daemon_call
from tests.daemon import FULL, READ, Daemon, running
from tests.scram_client import ScramClient, end_point_of

PATIENT = {"methods": ["accounts"], "failures": 1000}


class Key(NamedTuple):
    id: int
    text: str

    @property
    def secret(self) -> str:
        return self.text.partition("-")[2]


class Session:
    """One connection; `how` is ws, wss or unix."""

    def __init__(self, daemon: Daemon, how: str, path: str = "/api/current") -> None:
        if how == "unix":
            self._opening = unix_connect(str(daemon.socket), f"ws://localhost{path}")
        elif how == "ws":
            self._opening = connect(f"ws://127.0.0.1:{daemon.plain_port}{path}")
        else:
            trust = ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")
            self._opening = connect(f"wss://localhost:{daemon.tls_port}{path}", ssl=trust)
        self._stack = ExitStack()
        self._last = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._socket = self._stack.enter_context(self._opening)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, method: str, *params: object) -> dict[str, Any]:
        self._last += 1
        call = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        self._socket.send(json.dumps(call))
        while (answer := self._receive(PATIENCE)).get("id") != self._last:
            self._events.append(answer["params"])
        return answer

    def result(self, method: str, *params: object) -> Any:
        answer = self.ask(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    def login_ex(self, mechanism: str, **more: object) -> dict[str, Any]:
        found: dict[str, Any] = self.result("auth.login_ex", {"mechanism": mechanism, **more})
        return found

    def scram(self, client: ScramClient) -> dict[str, Any]:
        """Log in; the answer to the second message, after its proof was looked at."""
        first = self.login_ex("SCRAM", scram_type="CLIENT_FIRST_MESSAGE", rfc_str=client.first)
        final = client.final(first["rfc_str"])
        answer = self.login_ex("SCRAM", scram_type="CLIENT_FINAL_MESSAGE", rfc_str=final)
        if answer["response_type"] == "SCRAM_RESPONSE":
            assert client.is_server(answer["rfc_str"])
        return answer

    def event(self) -> dict[str, Any]:
        """Give the `params` of the next event; wait for it."""
        if not self._events:
            self._events.append(self._receive(PATIENCE)["params"])
        return self._events.pop(0)

    def events(self) -> list[dict[str, Any]]:
        """Give those of all that have come."""
        with suppress(TimeoutError):
            while True:
                self._events.append(self._receive(0)["params"])
        found, self._events = self._events, []
        return found

    def wait_for_pong(self) -> None:
        assert self._socket.ping().wait(PATIENCE)

    def _receive(self, timeout: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=timeout))
        return message

    @property
    def name(self) -> str | None:
        """Who we are; None for nobody."""
        answer = self.ask("auth.me")
        return answer["result"]["pw_name"] if "result" in answer else None


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, {"auth": PATIENT})) as daemon:
        yield daemon


def make_key(daemon: Daemon, name: str, *arguments: str, user: str = FULL.name) -> Key:
    made = daemon.cli(
        "--config", str(daemon.config), "apikey", "add", name, "--user", user, "--json", *arguments
    )
    assert made.returncode == 0, made.stderr
    fields = json.loads(made.stdout)
    return Key(fields["id"], fields["key"])


@pytest.fixture(scope="module")
def key(shared) -> Key:
    """A key that was made while the daemon ran."""
    return make_key(shared, "shared")


@pytest.mark.parametrize("how", ["ws", "wss"])
def test_every_plain_mechanism_logs_in_over_tcp(how, shared, key):
    password = {"username": READ.name, "password": READ.password}
    with Session(shared, how) as one:
        assert one.name is None
        answer = one.login_ex("PASSWORD_PLAIN", **password, login_options={"reconnect_token": True})
        assert answer["user_info"]["privilege"]["roles"] == {"$set": ["READONLY_ADMIN"]}
        assert one.name == READ.name
        assert one.result("auth.login", FULL.name, FULL.password) is True
        assert one.name == FULL.name
        keyed = one.login_ex("API_KEY_PLAIN", username=FULL.name, api_key=key.text)
        assert keyed["response_type"] == "SUCCESS"
        assert one.result("auth.login_with_api_key", key.text) is True
        token = one.result("auth.generate_token")
        with Session(shared, how) as other:
            assert (
                other.login_ex("TOKEN_PLAIN", token=answer["reconnect_token"])["response_type"] == "SUCCESS"
            )
            assert other.name == READ.name
            assert other.result("auth.login_with_token", token) is True
            assert other.name == FULL.name
        assert one.result("auth.logout") is True
        assert one.name is None


def test_scram_is_bound_to_the_certificate_over_tls_and_to_nothing_over_the_unix_socket(shared, key):
    user = f"{FULL.name}:{key.id}"
    binding = end_point_of(shared.state_dir / "tls.crt")
    with Session(shared, "wss") as one:
        assert "SCRAM" in one.result("auth.mechanism_choices")
        answer = one.scram(ScramClient(user, key.secret, header="p=tls-server-end-point,,", binding=binding))
        assert (answer["scram_type"], answer["user_info"]["pw_name"]) == (
            "SERVER_FINAL_RESPONSE",
            FULL.name,
        )
        assert one.name == FULL.name
    with Session(shared, "unix") as one:
        assert one.scram(ScramClient(user, key.secret))["response_type"] == "SCRAM_RESPONSE"
    with Session(shared, "ws") as one:
        assert "SCRAM" not in one.result("auth.mechanism_choices")


def test_who_sits_in_between_with_another_certificate_is_found_out(shared, key):
    client = ScramClient(
        f"{FULL.name}:{key.id}", key.secret, header="p=tls-server-end-point,,", binding=bytes(32)
    )
    with Session(shared, "wss") as one:
        before = time.monotonic()
        answer = one.scram(client)

        assert answer == {"response_type": "AUTH_ERR"}
        assert time.monotonic() - before >= 1
        assert one.name is None


def test_a_removed_key_and_a_changed_account_end_their_sessions_at_their_next_call(
    make_daemon,
):
    daemon = make_daemon()
    key = make_key(daemon, "backup")
    with (
        Session(daemon, "ws") as by_key,
        Session(daemon, "ws") as by_password,
        Session(daemon, "ws") as by_token,
    ):
        by_key.result("auth.login_with_api_key", key.text)
        by_password.result("auth.login", READ.name, READ.password)
        by_token.result("auth.login_with_token", by_key.result("auth.generate_token"))
        for one in (by_key, by_password, by_token):
            one.result("core.subscribe", "core.get_jobs")

        daemon.cli("--config", str(daemon.config), "apikey", "remove", str(key.id), check=True)
        ended = [one for one in (by_key, by_token) if one.name is None]
        assert ended == [by_key, by_token]
        assert by_password.name == READ.name
        assert by_key.result("auth.login_with_api_key", key.text) is False

        daemon.cli("--config", str(daemon.config), "passwd", READ.name, "--delete", check=True)
        assert by_password.name is None
        told = daemon.log_dir / "audit.log"
        until(lambda: told.read_text().count('"by":"api_key"') == 2, "the audit has both key logins")
        assert key.secret not in told.read_text() + daemon.stderr


def test_a_session_that_only_listens_soon_hears_nothing_more_when_its_key_is_removed(make_daemon):
    daemon = make_daemon()
    key = make_key(daemon, "graphs", "--level", "read")
    with Session(daemon, "unix") as root, Session(daemon, "ws") as listener:
        listener.result("auth.login_with_api_key", key.text)
        for one in (root, listener):
            one.result("core.subscribe", "core.get_jobs")

        number = root.result("dispatcher.submit", ["sleep 0.1"] * 600)["number"]
        heard: set[int] = set()

        def hears() -> bool:
            """Whether the listener is told what root is told. Neither asks for anything: that would be noticed."""
            told = root.event()["extra"]["seq"]
            # Both are told in the same breath, and the pong stands behind what was told.
            listener.wait_for_pong()
            heard.update(event["extra"]["seq"] for event in listener.events())
            return told in heard

        assert hears()
        daemon.cli("--config", str(daemon.config), "apikey", "remove", str(key.id), check=True)
        until(lambda: not hears(), "the removed key's session hears nothing more")
        assert listener.name is None
        root.result("dispatcher.kill", number)


def test_the_file_of_keys_is_for_the_daemons_user_only(shared, key):
    file = shared.folder / "api_keys.json"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key.secret not in file.read_text()


def test_over_the_unix_socket_root_is_logged_in_at_connect(shared):
    with Session(shared, "unix") as one:
        me = one.result("auth.me")

        assert me["pw_uid"] == os.geteuid()
        assert me["privilege"]["roles"] == {"$set": ["FULL_ADMIN"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")
def test_over_the_unix_socket_another_user_is_what_its_groups_give_it(make_daemon):
    group = grp.getgrgid(pwd.getpwuid(NOBODY).pw_gid).gr_name
    with a_folder_for_all() as folder:
        path = folder / "d.sock"
        auth = {"methods": ["accounts"], "read_groups": [group]}
        make_daemon({"listen": [{"unix": str(path)}], "auth": auth})
        with as_user(NOBODY):
            me = daemon_call(path, "auth.me")
            refused = daemon_call(path, "dispatcher.reload")

    assert json.loads(me)["result"]["privilege"]["roles"] == {"$set": ["READONLY_ADMIN"]}
    assert json.loads(me)["result"]["pw_uid"] == NOBODY
    assert json.loads(refused)["error"]["data"]["errname"] == "EACCES"
