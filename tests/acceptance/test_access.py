"""Who may do what, asked of a real daemon: nobody, readers, strangers on the Unix socket, and who is gone."""

import grp
import json
import os
import pwd
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import unix_connect

from tests.acceptance.launchers import changed
from tests.acceptance.sysadm_client import Client, call
from tests.daemon import FULL, READ, Account, Daemon, running

NOBODY = 65534
PATIENT = {"methods": ["accounts"], "failures": 1000}  # for tests that guess more than five times
UNAUTHORIZED = {"code": "401", "message": "Unauthorized"}
OVER = {"args": UNAUTHORIZED, "id": "", "name": "error", "namespace": "error"}
WRONG = call("auth", {"username": FULL.name, "password": "wrong"})
RUN = call("dispatcher", {"action": "run", "intruder": "true"})
LIST = call("dispatcher", {"action": "list"})
KILL = call("dispatcher", {"action": "kill", "job_id": "long"})
SUBSCRIBE = call("subscribe", "dispatcher", namespace="events")


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    """One daemon for the tests that change none of its accounts."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, {"auth": PATIENT})) as daemon:
        yield daemon


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "operator",
        "user",
        "::::",
        pytest.param(lambda token: token[:-1], id="beginning"),
        pytest.param(lambda token: token[1:], id="suffix"),
        pytest.param(lambda token: token[5:15], id="part"),
        pytest.param(lambda token: token + token, id="longer"),
    ],
)
def test_who_has_not_a_whole_token_is_nobody(token, shared):
    with Client(shared) as admin, Client(shared, account=None) as stranger:
        before = [stranger.ask(RUN), stranger.ask(LIST), stranger.ask(KILL), stranger.ask(SUBSCRIBE)]
        args = {} if token is None else {"token": token(admin.token) if callable(token) else token}
        shown = stranger.ask(call("auth_token", args))
        after = [stranger.ask(RUN), stranger.ask(LIST), stranger.ask(KILL), stranger.ask(SUBSCRIBE)]

        assert [answer["args"] for answer in before + after] == [UNAUTHORIZED] * 8
        assert (shown["name"], shown["args"]["code"]) == ("error", "401")
        # The owner of the whole token has lost nothing by it, and nothing was run.
        assert admin.list_jobs() == {"jobs": {}}
        assert stranger.ask(call("auth_token", {"token": admin.token}))["args"] == [admin.token, 900]
        assert stranger.list_jobs() == {"jobs": {}}
    assert shared.cli("list", "--all", "--json", check=True).stdout.count("intruder") == 0


def test_a_reader_lists_and_listens_and_is_refused_all_else_on_a_socket_that_stays(daemon):
    with Client(daemon) as admin, Client(daemon, READ) as reader:
        assert reader.subscribe() == {"subscribe": "dispatcher"}
        admin.run_jobs(long="sleep 1000")
        reader.begun("long")
        refusals = [reader.ask(RUN), reader.ask(KILL)]

        for refusal in refusals:
            reason = refusal["args"].pop("reason")
            assert refusal == {
                "args": {"code": "403", "message": "Forbidden"},
                "id": "1",
                "name": "error",
                "namespace": "error",
            }
            assert "full" in reason
        assert reader.list_jobs()["jobs"]["no_queue"]["long"]["state"] == "running"
        assert set(reader.list_jobs()["jobs"]["no_queue"]) == {"long"}
        assert admin.ask(KILL)["args"] == {"killed": {"jobs": ["long"]}}
        assert reader.finished("long")["outcome"] == "killed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")
def test_another_user_on_the_unix_socket_is_nobody(make_daemon):
    with a_folder_for_all() as folder:
        path = folder / "d.sock"
        daemon = make_daemon({"listen": [{"unix": str(path)}, {"address": "127.0.0.1", "port": 0}]})
        with Client(daemon, None, unix_connect(str(path), compression=None)) as root:
            assert root.list_jobs() == {"jobs": {}}
            with (
                as_user(NOBODY),
                Client(daemon, None, unix_connect(str(path), compression=None)) as stranger,
            ):
                answers = [stranger.ask(one) for one in (RUN, LIST, KILL, SUBSCRIBE)]
                assert stranger.ask(call("identify", ""))["args"]["type"] == "server"
                assert stranger.log_in(READ)["args"][1] == 900  # a password makes somebody of nobody
                assert stranger.list_jobs() == {"jobs": {}}

        assert [answer["args"] for answer in answers] == [UNAUTHORIZED] * 4
        with as_user(NOBODY):
            refused = daemon_call(path, "dispatcher.list")
        assert "error" in refused
        assert "result" in daemon_call(path, "dispatcher.list")


def daemon_call(path: Path, method: str) -> str:
    """One JSON-RPC call over the Unix socket, as text."""
    with unix_connect(str(path), uri="ws://localhost/api/current", compression=None) as socket:
        socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}))
        return str(socket.recv(timeout=20))


@contextmanager
def a_folder_for_all() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Be another user for the kernel, which tells the daemon who connected."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_wrong_passwords_delay_nobody_elses_list(shared):
    quiet, loud = [], []
    with ExitStack() as stack:
        client = stack.enter_context(Client(shared, READ))
        guessers = [stack.enter_context(Client(shared, None)) for _ in range(20)]
        for _ in range(3):
            quiet.append(median_of_lists(client))
            for guesser in guessers:
                guesser.say(WRONG)
            loud.append(median_of_lists(client))
            # Somebody in the line still waits: the lists were not made after the checks.
            assert not all(guesser.has_heard() for guesser in guessers)
            answers = [guesser.answer() for guesser in guessers]
            assert [answer["args"]["code"] for answer in answers] == ["401"] * 20
            assert {answer["args"]["reason"] for answer in answers} == {"wrong user name or password"}
    print(f"median list: quiet {quiet}, during 20 checks {loud}")

    assert statistics.median(loud) <= 3 * statistics.median(quiet)


def median_of_lists(client: Client) -> float:
    took = []
    for _ in range(50):
        begun = time.monotonic()
        assert client.list_jobs() == {"jobs": {}}
        took.append(time.monotonic() - begun)
    return statistics.median(took)


def test_logins_beyond_the_line_are_refused_with_a_sentence_and_those_in_it_are_answered(make_daemon):
    daemon = make_daemon({"limits": {"password_line": 3}, "auth": PATIENT})
    with ExitStack() as stack:
        guessers = [stack.enter_context(Client(daemon, None)) for _ in range(20)]
        for guesser in guessers:
            guesser.say(WRONG)
        reasons = [guesser.answer()["args"]["reason"] for guesser in guessers]
        full = [reason for reason in reasons if "3 logins are waiting" in reason]

        # Two are checked and three wait at once; a place may become free while the others arrive.
        assert 5 <= reasons.count("wrong user name or password") < 20
        assert len(full) == 20 - reasons.count("wrong user name or password")
        assert "(password_line: 3); try again" in full[0]
        assert guessers[0].log_in(FULL)["name"] == "response"


def test_a_removed_account_hears_no_event_after_the_reload(daemon):
    settings = ("--config", str(daemon.config))
    with Client(daemon) as admin, Client(daemon, READ) as reader:
        admin.subscribe()
        reader.subscribe()
        admin.run_jobs(before="true")
        reader.finished("before")
        admin.finished("before")
        daemon.cli(*settings, "passwd", READ.name, "--delete", check=True)
        reloaded = daemon.cli("reload", check=True)

        assert reader.answer() == OVER
        admin.run_jobs(after="true")
        admin.finished("after")
        assert reader.ask(LIST)["args"] == UNAUTHORIZED
        assert reader.silence(0.1) == []
        assert reader.ask(call("auth_token", {"token": reader.token}))["args"]["code"] == "401"
    assert reloaded.stdout == "accounts changed: in force now\n"


@pytest.fixture
def inattentive(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    """A daemon that looks at its accounts only when somebody says so."""
    folder = tmp_path_factory.mktemp("d")
    program = changed(folder, "from dispatcher.access import noticing", "noticing.SECONDS = 1000.0")
    with running(Daemon(folder, accounts_file, None, program)) as daemon:
        yield daemon


def test_passwd_ends_the_sessions_of_a_removed_account_before_it_returns_without_any_reload(inattentive):
    daemon = inattentive
    with Client(daemon) as admin, Client(daemon, READ) as reader:
        reader.subscribe()
        daemon.cli("--config", str(daemon.config), "passwd", READ.name, "--delete", check=True)

        assert reader.answer() == OVER
        admin.subscribe()
        admin.run_jobs(after="true")
        admin.finished("after")
        assert reader.ask(LIST)["args"] == UNAUTHORIZED
        assert reader.silence(0.1) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")
def test_the_groups_of_a_local_user_decide_and_who_is_in_none_is_told_which_is_missing(make_daemon):
    group = grp.getgrgid(pwd.getpwuid(NOBODY).pw_gid).gr_name
    said = []
    for auth in (
        {"full_groups": ["wheel", "admins"], "read_groups": ["operator"]},
        {"full_groups": ["wheel"], "read_groups": [group]},
        {"full_groups": [group], "read_groups": []},
        {"full_groups": [group], "read_groups": [], "loopback": "off"},
    ):
        with a_folder_for_all() as folder:
            listen = [{"unix": f"{folder}/d.sock"}, {"address": "127.0.0.1", "port": 0, "tls": False}]
            daemon = make_daemon({"auth": {"methods": ["accounts"]} | auth, "listen": listen})
            assert stat.S_IMODE((folder / "d.sock").stat().st_mode) == 0o666
            with as_user(NOBODY):
                for method in ("dispatcher.list", "dispatcher.reload"):
                    answer = json.loads(daemon_call(folder / "d.sock", method))
                    data = answer.get("error", {}).get("data", {})
                    said.append(data.get("errname", "done"))
                    hint = data.get("extra") or [[None, "", None]]
            daemon.stop()
            if auth["full_groups"][1:]:
                assert hint == [
                    [
                        None,
                        (
                            "nobody may not use this daemon's socket: it is not in the group 'wheel' or 'admins', "
                            "who may do all, or 'operator', who may look; have root add it to one, or log in"
                        ),
                        207,
                    ]
                ]

    assert said == [
        "ENOTAUTHENTICATED", "ENOTAUTHENTICATED", "done", "EACCES", "done", "done", "ENOTAUTHENTICATED",
        "ENOTAUTHENTICATED",
    ]  # fmt: skip


def test_a_new_password_ends_the_sessions_of_the_old_one_at_the_reload_and_no_others(daemon):
    settings = ("--config", str(daemon.config))
    with Client(daemon) as admin, Client(daemon, READ) as reader:
        reader.subscribe()
        daemon.cli(*settings, "passwd", READ.name, "--level", "read", "--stdin", text="another\n", check=True)
        daemon.cli("reload", check=True)

        assert reader.answer() == OVER
        assert reader.log_in(READ)["args"]["code"] == "401"
        assert reader.log_in(Account(READ.name, "another"))["name"] == "response"
        assert admin.list_jobs() == {"jobs": {}}
