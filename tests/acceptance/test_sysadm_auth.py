"""Who gets in, asked of a real daemon: users of the system, owners of local connections, and who guesses."""

import json
import os
import statistics
import subprocess
import time
from contextlib import ExitStack

import pytest
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect, unix_connect

from tests.acceptance import pam_daemon
from tests.acceptance.sysadm_client import Client, call, tls_context
from tests.acceptance.test_access import a_folder_for_all, as_user
from tests.daemon import FULL, READ, Account, Daemon, running

NOBODY = 65534
LIST = call("dispatcher", {"action": "list"})
QUERY = call("query", "")
FILE_ONLY = {"methods": ["accounts"]}
NOGROUP_READS = {**FILE_ONLY, "read_groups": ["nogroup"]}
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")


def from_address(daemon: Daemon, address: str, account: Account | None = None) -> Client:
    url = f"wss://localhost:{daemon.tls_port}/"
    trust = tls_context(daemon)
    opening = connect(url, ssl=trust, compression=None, source_address=(address, 0))
    return Client(daemon, account, opening)


def local(daemon: Daemon, uid: int, origin: str | None = None, host: str = "127.0.0.1") -> Client:
    """A client over loopback without TLS whose socket belongs to a user."""
    url = f"ws://{host}:{daemon.plain_port}/"  # read before: other users may not
    with as_user(uid):
        shown = None if origin is None else Origin(origin)
        return Client(daemon, None, connect(url, origin=shown, compression=None))


def log_in(client: Client, name: str, password: str = "") -> str:
    """Log in; give the level by what rpc/query says, or the code of the error."""
    answer = client.log_in(Account(name, password))
    if answer["name"] == "error":
        return str(answer["args"]["code"])
    assert [type(one) for one in answer["args"]] == [str, int]
    return str(client.ask(QUERY)["args"]["rpc/dispatcher"])


# --- PAM ----------------------------------------------------------------------------------------


@pytest.fixture
def pam(tmp_path_factory, accounts_file):
    """A daemon that asks PAM behind the accounts file: root, nobody (reads), and games (nothing)."""
    if not pam_daemon.WRAPPERS:
        pytest.skip("libpam-wrapper is not installed")
    folder = tmp_path_factory.mktemp("d")
    program = pam_daemon.program(
        folder, "root:of root:system\nnobody:of nobody:login\ngames:of games:login\n"
    )
    auth = {"read_groups": ["nogroup"], "failures": 100}
    with running(Daemon(folder, accounts_file, {"auth": auth}, program)) as daemon:
        yield daemon


@only_root
def test_users_of_the_system_log_in_by_pam_and_their_groups_say_what_they_may(pam):
    with Client(pam, None) as client:
        assert log_in(client, "root", "of root") == "read/write"
        assert log_in(client, "nobody", "of nobody") == "read"
        assert client.ask(call("dispatcher", {"action": "run", "a": "true"}))["args"]["code"] == "403"
        # Accounts of the file are there, too, and wrong in both is wrong.
        assert log_in(client, *FULL) == "read/write"
        assert log_in(client, *READ) == "read"


@only_root
@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("games", "of games"),  # right, but in no group that counts
        ("games", "wrong"),
        ("root", "wrong"),
        ("root", ""),
        ("root", "of nobody"),
        ("nobody", "of root"),
        ("no-such-user", "x"),
        ("root\x00", "of root"),
        ("", ""),
    ],
)
def test_who_is_not_let_in_by_pam_cannot_tell_why(pam, name, password):
    with Client(pam, None) as client:
        answer = client.log_in(Account(name, password))
        after = client.ask(LIST)

    assert answer["name"] == answer["namespace"] == "error"
    assert answer["args"]["code"] == after["args"]["code"] == "401"
    if password:
        assert answer["args"]["reason"] == "wrong user name or password"


# --- Without a password -------------------------------------------------------------------------


@only_root
def test_over_loopback_a_user_is_itself_without_a_password_and_nobody_else(make_daemon):
    daemon = make_daemon({"auth": {**NOGROUP_READS, "failures": 100}})
    with local(daemon, NOBODY) as client:
        assert log_in(client, "nobody") == "read"
        for other in ("root", "daemon", "games", FULL.name, "", "no-such-user"):
            assert log_in(client, other) == "401"
        assert log_in(client, "nobody", "a password") == "401"
        assert client.ask(LIST)["args"]["code"] == "401"
    with local(daemon, 0) as client:
        assert log_in(client, "root") == "401"  # never, not even root itself
        assert log_in(client, "nobody") == "401"


@only_root
def test_the_stock_client_needs_no_password_there_and_a_web_page_gets_nothing(make_daemon):
    daemon = make_daemon({"auth": NOGROUP_READS})
    with local(daemon, NOBODY, "sysadm-client") as client:
        assert log_in(client, "nobody") == "read"
    for origin in ("https://evil.example", "null", "file://"):
        with local(daemon, NOBODY, origin) as client:
            assert log_in(client, "nobody") == "401"


@only_root
def test_a_user_in_no_group_gets_nothing_and_off_is_off(make_daemon):
    nothing = make_daemon({"auth": FILE_ONLY})
    off = make_daemon({"auth": {**NOGROUP_READS, "loopback": "off"}})
    for daemon in (nothing, off):
        with local(daemon, NOBODY) as client:
            assert log_in(client, "nobody") == "401"


@only_root
def test_the_owner_is_found_over_ipv6_too_and_on_the_unix_socket(make_daemon):
    with a_folder_for_all() as folder:
        path = folder / "d.sock"
        listen = [{"unix": str(path)}, {"address": "::1", "port": 0, "tls": False}]
        daemon = make_daemon({"auth": NOGROUP_READS, "listen": listen})
        with local(daemon, NOBODY, host="[::1]") as client:
            assert log_in(client, "root") == "401"
            assert log_in(client, "nobody") == "read"
        with as_user(NOBODY):
            opening = unix_connect(str(path), compression=None)
        with Client(daemon, None, opening) as client:
            assert log_in(client, "games") == "401"
            assert log_in(client, "nobody") == "read"


# --- Guessing -----------------------------------------------------------------------------------


def fail(daemon: Daemon, times: int, address: str = "127.0.0.2") -> None:
    for _ in range(times):
        with from_address(daemon, address) as guesser:
            assert log_in(guesser, FULL.name, "wrong") == "401"


def is_let_in(daemon: Daemon, address: str) -> bool:
    try:
        with from_address(daemon, address, FULL) as client:
            return client.list_jobs() == {"jobs": {}}
    except (OSError, ConnectionClosed, InvalidMessage, EOFError):
        return False


def test_failures_count_over_all_connections_of_an_address_and_only_of_that_one(daemon):
    with (
        from_address(daemon, "127.0.0.2", FULL) as inside,
        from_address(daemon, "127.0.0.2") as waiting,
    ):
        fail(daemon, 5)
        refused = waiting.log_in(FULL)  # the right one, on a connection from before

        assert refused["args"]["code"] == "401"
        assert "too many logins from this address have failed" in refused["args"]["reason"]
        assert not is_let_in(daemon, "127.0.0.2")
        # Who is in stays in, and no other address is meant, not one that begins or ends alike.
        assert inside.list_jobs() == {"jobs": {}}
        assert waiting.ask(call("auth_token", {"token": inside.token}))["name"] == "response"
    for other in ("127.0.0.1", "127.0.0.20", "127.0.0.22", "127.0.0.21"):
        assert is_let_in(daemon, other)


def test_loopback_is_no_exception_but_the_unix_socket_is_always_open(daemon):
    fail(daemon, 5, "127.0.0.1")

    assert not is_let_in(daemon, "127.0.0.1")
    assert daemon.cli("list", check=True).returncode == 0
    with unix_connect(str(daemon.socket), compression=None) as socket:
        for _ in range(10):
            socket.send(json.dumps(call("auth", {"username": FULL.name, "password": "wrong"})))
            assert json.loads(socket.recv(20))["args"]["reason"] == "wrong user name or password"
        socket.send(json.dumps(call("auth", {"username": FULL.name, "password": FULL.password})))
        assert json.loads(socket.recv(20))["name"] == "response"


def test_a_refusal_survives_a_restart_and_ends(make_daemon):
    daemon = make_daemon({"auth": {**FILE_ONLY, "failures": 2, "block": "4 s"}})
    fail(daemon, 2)
    begun = time.monotonic()
    daemon.restart()
    still = is_let_in(daemon, "127.0.0.2")
    assert time.monotonic() < begun + 4, "the machine is too slow for this test"
    assert not still
    assert (daemon.state_dir / "refused.json").stat().st_mode & 0o777 == 0o600

    while not is_let_in(daemon, "127.0.0.2"):
        assert time.monotonic() < begun + 20


def test_a_right_login_begins_the_count_anew(daemon):
    for _ in range(3):
        fail(daemon, 4)
        assert is_let_in(daemon, "127.0.0.2")


def test_all_protocols_share_the_count(daemon):
    fail(daemon, 2, "127.0.0.1")
    header = "Authorization: Basic YWRtaW46d3Jvbmc="  # admin:wrong
    url = f"https://localhost:{daemon.tls_port}/rpc/query"

    curl = ["curl", "-sk", "-4", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, url]
    codes = [subprocess.run(curl, capture_output=True, text=True, check=False).stdout for _ in range(2)]
    with connect(f"ws://127.0.0.1:{daemon.plain_port}/api/current", compression=None) as socket:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "auth.login", "params": [FULL.name, "wrong"]}
        socket.send(json.dumps(ask))
        assert json.loads(socket.recv(20))["result"] is False
        socket.send(json.dumps({**ask, "params": [*FULL]}))
        assert json.loads(socket.recv(20))["result"] is False

    assert codes == ["401", "401"]
    assert not is_let_in(daemon, "127.0.0.1")


def test_three_thousand_guesses_over_fifty_connections_get_nobody_in_and_hold_up_nobody(daemon):
    wrong, right = (
        call("auth", {"username": FULL.name, "password": one}) for one in ("wrong", FULL.password)
    )
    each = 20  # three times from each of fifty; `python -m bench passwords` does it with more
    quiet, loud = [], []
    with ExitStack() as stack:
        client = stack.enter_context(Client(daemon))
        # All of them are there before the first guess: later ones are turned away.
        guessers = [stack.enter_context(from_address(daemon, "127.0.0.2")) for _ in range(50)]
        for _ in range(3):
            quiet += times_of_lists(client, 0.5)
            for guesser in guessers:
                for _ in range(each):
                    guesser.say(wrong)
            loud += times_of_lists(client, 1.0)
            # The lists were made during the attack, not after it.
            early = guessers[-1].silence(0.01)
            assert len(early) < each
            answers = early + [guessers[-1].answer() for _ in range(each - len(early))]
            answers += [guesser.answer() for guesser in guessers[:-1] for _ in range(each)]
            assert {(one["name"], one["args"]["code"]) for one in answers} == {("error", "401")}
        # Nor does the right one get in from there.
        for guesser in guessers:
            guesser.say(right)
            guesser.say(LIST)
        assert {guesser.answer()["args"]["code"] for guesser in guessers for _ in range(2)} == {"401"}
    middle = statistics.median(quiet), statistics.median(loud)
    print(f"median list: quiet {middle[0]:.4f} s, during guesses {middle[1]:.4f} s")

    assert middle[1] <= 3 * middle[0]


def times_of_lists(client: Client, seconds: float) -> list[float]:
    """Make one list after the other for so long; the seconds that each took."""
    took: list[float] = []
    until = time.monotonic() + seconds
    while (begun := time.monotonic()) < until:
        assert client.list_jobs() == {"jobs": {}}
        took.append(time.monotonic() - begun)
    return took
