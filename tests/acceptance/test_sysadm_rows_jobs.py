"""rpc/dispatcher and its events, row by row as the protocol has them, by a real daemon over wss."""

import os
import signal
import time

import pytest

from tests.acceptance.steps import begun, step
from tests.acceptance.sysadm_client import TIME, Client, Fields, call, record
from tests.daemon import Daemon, running

UUID = "{0c079421-ace9-4b6e-8870-d023b48f4c49}"
QUEUES = {
    "no_queue": {"concurrency": 256, "grace": 0.8},
    "one_by_one": {"concurrency": 1, "on_duplicate": "attach"},
}


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory):
    """One daemon for all tests; each leaves no job in it."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, {"queues": QUEUES})) as daemon:
        yield daemon


@pytest.fixture
def client(shared):
    """A client that hears of jobs."""
    with Client(shared) as one:
        one.subscribe()
        yield one


def events_of(client: Client, *keys: str) -> dict[str, list[Fields]]:
    """Wait until all of these jobs have ended; give the args of each one's events."""
    heard: dict[str, list[Fields]] = {key: [] for key in keys}
    while any(not events or events[-1]["state"] != "finished" for events in heard.values()):
        args = client.event()["args"]
        heard.setdefault(record(args)["process_id"], []).append(args)
    return heard


def ends_of(client: Client, *keys: str) -> list[Fields]:
    """Give the records with which these jobs have ended."""
    heard = events_of(client, *keys)
    return [record(heard[key][-1]) for key in keys]


def kill(client: Client, job_id: object) -> object:
    """Args of the answer to `kill`."""
    return client.ask(call("dispatcher", {"action": "kill", "job_id": job_id}))["args"]


def waiting_for(daemon: Daemon, gate: str) -> str:
    """Give a line of sh that waits for a file."""
    return f'until [ -e "{daemon.folder}/{gate}" ]; do sleep 0.01; done'


# --- run ------------------------------------------------------------------------------------------


def test_a_job_is_a_string_or_an_array_of_what_becomes_strings_and_any_other_value_is_skipped(client):
    started = client.run_jobs(
        two=["echo a", "echo b"], mixed=[None, "", {}, "true", 1.0, "true"], one="echo c", n=5, t=True, z=None
    )
    two, mixed, one = ends_of(client, "two", "mixed", "one")

    assert started == {"started": ["mixed", "one", "two"]}
    assert (two["echo a"], two["echo b"], one["cmd_list"]) == ("a\n", "b\n", ["echo c"])
    # A number is a command as any other: there is no such program, and the list ends with it.
    assert mixed["cmd_list"] == ["true", "1", "true"]
    assert {name: mixed[name] for name in mixed if name.startswith("return_codes/")} == {
        "return_codes/true": "0",
        "return_codes/1": "-1",
    }


def test_actions_may_be_in_any_case_and_without_args_the_envelope_names_no_job(client):
    message = {"namespace": "rpc", "name": "dispatcher", "id": "bare", "action": "RUN", "k": "true"}
    answer = client.ask(message)
    ends_of(client, "k")

    assert answer == {
        "args": {"started": ["k"]},
        "id": "bare",
        "name": "response",
        "namespace": "rpc",
    }
    assert client.ask(call("dispatcher", {"action": "LiSt", "junk": [1]}))["args"] == {"jobs": {}}
    assert client.ask(call("Dispatcher", {"action": "KILL", "job_id": "k"}))["args"] == {
        "killed": {"jobs": []}
    }


def test_a_command_meets_no_shell_and_its_errors_stand_between_its_output(client, shared):
    shared.script("show", """printf '[%s]' "$@"; echo; echo wrong >&2; echo right""")
    command = """show 'a  b' "c  d" \"""e\""" $HOME \\n *.x >/dev/null | cat; echo"""
    client.run_jobs(k=command)
    (end,) = ends_of(client, "k")

    assert end["cmd_list"] == [command]
    shown, *others = end[command].splitlines()
    assert shown == """['a][b'][c  d]["e"][$HOME][\\n][*.x][>/dev/null][|][cat;][echo]"""
    assert others == ["wrong", "right"]


def test_an_id_has_up_to_255_printable_characters_and_names_no_file(client, shared):
    good = ["x" * 255, "../../../escaped", "/etc/escaped", "a b|c;$(d)", "ключ"]
    bad = ["", "x" * 256, "a\nb", "a\x00b", "a\x7fb"]
    answer = client.run_jobs(**dict.fromkeys(good + bad, "echo hello"))
    ends = ends_of(client, *good)

    assert sorted(answer["started"]) == sorted(good)
    assert sorted(answer["rejected"]) == sorted(bad)
    assert all("id has" in reason for reason in answer["rejected"].values())
    assert {end["echo hello"] for end in ends} == {"hello\n"}
    assert [path for path in shared.folder.rglob("*") if "escaped" in path.name or "xx" in path.name] == []


def test_an_id_in_use_attaches_where_the_queue_says_so_and_the_commands_are_the_same(client, shared):
    shared.script("hold", waiting_for(shared, "held"))
    job = {"commands": ["true"], "queue": "one_by_one"}
    client.run_jobs(first={"commands": ["hold"], "queue": "one_by_one"})
    answers = [
        client.run_jobs(k=job),
        client.run_jobs(k=job),
        client.run_jobs(k=job | {"commands": ["false"]}),
    ]
    listed = client.list_jobs()["jobs"]["one_by_one"]
    (shared.folder / "held").touch()
    heard = events_of(client, "first", "k")

    assert answers[:2] == [{"started": ["k"]}] * 2
    assert (answers[2]["started"], list(answers[2]["rejected"])) == ([], ["k"])
    assert {key: (one["state"], one["queue_position"]) for key, one in listed.items()} == {
        "first": ("running", "0"),
        "k": ("pending", "1"),
    }
    assert [event["state"] for event in heard["k"]] == ["pending", "running", "finished"]


# --- queues and list ------------------------------------------------------------------------------


def test_iocage_queue_runs_one_job_at_a_time_in_order_and_is_listed_only_while_it_has_any(client, shared):
    shared.script("iocage", waiting_for(shared, "jail"))
    keys = ["c", "a", "b"]
    assert client.list_jobs() == {"jobs": {}}
    for key in keys:
        client.run_jobs(**{key: [f"iocage start {key}", "echo done"]})
    told: list[tuple[str, str]] = []

    def listen_until(key: str, state: str) -> None:
        while (key, state) not in told:
            args = client.event()["args"]
            if (move := (args["process_id"], args["state"])) not in told:
                told.append(move)

    listen_until("c", "running")
    listed = client.list_jobs()
    (shared.folder / "jail").touch()
    listen_until("b", "finished")

    assert listed == {
        "jobs": {
            "iocage_queue": {
                key: {
                    "commands": [f"iocage start {key}", "echo done"],
                    "queue_position": str(place),
                    "state": "pending" if place else "running",
                }
                for place, key in enumerate(keys)
            }
        }
    }
    assert [move for move in told if move[1] != "pending"] == [
        (key, state) for key in keys for state in ("running", "finished")
    ]
    assert client.list_jobs() == {"jobs": {}}


# --- kill -----------------------------------------------------------------------------------------


def test_kill_takes_what_runs_and_what_waits_and_a_second_one_is_no_error(client, shared):
    shared.script("stubborn", "trap '' TERM; echo deaf; while :; do sleep 0.01; done")
    client.run_jobs(k=["stubborn", "echo never"], soft="sleep 1000")
    client.run_jobs(ahead={"commands": ["sleep 1000"], "queue": "one_by_one"})
    client.run_jobs(later={"commands": ["echo never"], "queue": "one_by_one"})
    client.events_until(lambda args: args.get("stubborn") == "deaf\n")

    first = kill(client, ["later", "k", "k", "nonesuch", "ahead"])
    again = kill(client, "k")
    state = client.list_jobs()["jobs"]["no_queue"]["k"]["state"]
    soft = kill(client, "soft")
    heard = events_of(client, "k", "soft", "ahead", "later")
    after = kill(client, ["k", "soft", "later", "nonesuch"])

    assert first == {"killed": {"jobs": ["later", "k", "ahead"]}}
    # What is being stopped still runs, and is found; nothing else is.
    assert (again, state, soft) == ({"killed": {"jobs": ["k"]}}, "running", {"killed": {"jobs": ["soft"]}})
    assert after == {"killed": {"jobs": []}}
    ends = {key: record(events[-1]) for key, events in heard.items()}
    assert {end["outcome"] for end in ends.values()} == {"killed"}
    # TERM was not enough for the one; the other went by it; the last never began.
    assert (ends["k"]["return_codes/stubborn"], ends["soft"]["return_codes/sleep 1000"]) == ("137", "143")
    assert "echo never" not in ends["k"]
    assert set(ends["later"]) == {"cmd_list", "outcome", "process_id", "state", "time_finished"}
    assert client.silence(0.2) == []


# --- events ---------------------------------------------------------------------------------------


def test_each_event_is_complete_comes_once_a_second_and_increments_hold_only_what_is_new(client, shared):
    talk = ["echo 1", waiting_for(shared, "second"), "echo 2", waiting_for(shared, "third"), "echo 3"]
    shared.script("talk", "\n".join(talk))
    shared.script("hold", waiting_for(shared, "third"))
    wrapped = f"sysadm_pkg_install-{UUID}"
    at: dict[str, float] = {}
    heard: dict[str, list[Fields]] = {"plain": [], wrapped: [], "first": [], "waits": []}

    def is_there(key: str, text: str) -> bool:
        return any(record(args).get("talk") == text for args in heard[key])

    def listen_until(text: str) -> None:
        while not (is_there("plain", text) and is_there(wrapped, text)):
            listen()

    def listen() -> None:
        args = client.event()["args"]
        heard[record(args)["process_id"]].append(args)
        at.setdefault(record(args).get("talk", ""), time.monotonic())

    client.run_jobs(first={"commands": ["hold"], "queue": "one_by_one"})
    client.run_jobs(waits={"commands": ["true"], "queue": "one_by_one"})
    client.run_jobs(**{"plain": "talk", wrapped: "talk"})
    listen_until("1\n")
    (shared.folder / "second").touch()
    listen_until("1\n2\n")
    assert [args["state"] for args in heard["waits"]] == ["pending"]  # once, however long it waits
    (shared.folder / "third").touch()
    listen_until("1\n2\n3\n")
    while heard["waits"][-1]["state"] != "finished":
        listen()

    begun_at = heard["plain"][1]["time_started"]
    ended_at = heard["plain"][-1]["time_finished"]
    assert TIME.fullmatch(begun_at)
    assert TIME.fullmatch(ended_at)
    about = {"cmd_list": ["talk"], "process_id": "plain"}
    runs = about | {"current_cmd": "talk", "state": "running", "time_started": begun_at}
    assert heard["plain"] == [
        about | {"state": "pending"},
        runs | {"talk": ""},
        runs | {"talk": "1\n"},
        runs | {"talk": "1\n2\n"},
        about
        | {"outcome": "success", "state": "finished", "time_started": begun_at, "time_finished": ended_at}
        | {"return_codes/talk": "0", "talk": "1\n2\n3\n"},
    ]
    assert at["1\n2\n"] - at["1\n"] > 0.8
    assert [(args["state"], args["pkg_log"]) for args in heard[wrapped]] == [
        ("pending", ""),
        ("running", ""),
        ("running", "1\n"),
        ("running", "2\n"),
        ("finished", "3\n"),
    ]
    assert [args["state"] for args in heard["waits"]] == ["pending", "running", "finished"]


def test_every_form_of_an_id_is_told_as_its_class_has_it(client, shared):
    shared.script("fetch", r"printf 'x.iso\t10%% of 100\t5 Bps\nx.iso\t90%% of 100\t7 Bps\n'")
    shared.script("check", "echo 'Your packages are up to date.'")
    shared.script("audit", r"printf 'Packages that depend on foo: a, b\nPackages that depend on bar: c, a\n'")
    progress = {"filename": "x.iso", "percent_done": "90% of 100", "download_rate": "7 Bps"}
    forms: dict[str, tuple[str, str, Fields]] = {
        f"sysadm_iohyve_fetch::{UUID}": ("fetch", "sysadm/iohyve", progress),
        f"sysadm_iohyve_create::{UUID}": ("fetch", "sysadm/iohyve", {}),
        f"sysadm_update_runupdates::{UUID}": ("echo up", "sysadm/update", {"update_log": "up\n"}),
        f"sysadm_sourcectl_updateports::{UUID}": ("echo git", "sysadm/sourcectl", {"update_log": "git\n"}),
        f"sysadm_pkg_install-{UUID}": ("echo i", "sysadm/pkg", {"action": "pkg_install", "pkg_log": "i\n"}),
        f"sysadm_pkg_check_upgrade-{UUID}": (
            "check",
            "sysadm/pkg",
            {"action": "pkg_check_upgrade", "updates_available": "false"}
            | {"pkg_log": "Your packages are up to date.\n"},
        ),
        f"sysadm_pkg_check_upgrade-{UUID[:-1]}x}}": (
            "echo 3 upgrades",
            "sysadm/pkg",
            {"action": "pkg_check_upgrade", "updates_available": "true", "pkg_log": "3 upgrades\n"},
        ),
        f"sysadm_pkg_audit-{UUID}": (
            "audit",
            "sysadm/pkg",
            {"action": "pkg_audit", "vulnerable_pkgs": ["foo", "bar"], "impacts_pkgs": ["a", "b", "c"]}
            | {"pkg_log": "Packages that depend on foo: a, b\nPackages that depend on bar: c, a\n"},
        ),
        "sysadm_update_checkupdates": ("true", "", {}),
        f"sysadm_iocage_create_jail_{UUID}": ("true", "", {}),
        "system_fetch_ports_tree": ("true", "", {}),
        UUID: ("true", "", {}),
    }
    client.run_jobs(**{key: command for key, (command, _, _) in forms.items()})
    heard = events_of(client, *forms)

    for key, (_, system, extras) in forms.items():
        # Pending once, and no bare frame before that of the start.
        assert [args["state"] for args in heard[key]][:2] == ["pending", "running"], key
        end = heard[key][-1]
        if not system:
            assert (end["process_id"], "event_system" in end) == (key, False)
            continue
        texts = {"pkg_log", "update_log"} & set(extras)
        for name in texts:
            end[name] = "".join(args[name] for args in heard[key])
        details = end["process_details"]
        assert (
            end
            == {
                "event_system": system,
                "process_details": details,
                "state": "finished",
            }
            | extras
        ), key
        assert (details["process_id"], details["state"], details["outcome"]) == (key, "finished", "success")


def test_a_command_that_ran_when_its_job_was_lost_has_code_minus_1(client, shared):
    ran = step(shared)
    client.run_jobs(k=["step 1", "step 2 wait", "step 3"])
    os.kill(begun(ran, "2"), signal.SIGKILL)
    (end,) = ends_of(client, "k")

    assert (end["state"], end["outcome"]) == ("finished", "lost")
    assert (end["return_codes/step 1"], end["return_codes/step 2 wait"]) == ("0", "-1")
    assert "return_codes/step 3" not in end
    assert end["step 2 wait"] == "this is 2\n"


def test_an_event_holds_64_kib_of_a_command_and_256_kib_in_all_and_the_log_holds_everything(client, shared):
    shared.script("much", "head -c 70000 /dev/zero | tr '\\0' \"$1\"")
    commands = [f"much {letter}" for letter in "abcdef"]
    client.run_jobs(k=commands)
    (end,) = ends_of(client, "k")
    whole = shared.cli("log", "k", check=True).stdout

    def kept(command: str) -> tuple[int, str]:
        mark, _, text = end[command].partition("\n")
        assert mark.split()[1:4] == ["bytes", "were", "cut"]
        return int(mark.split()[0].removeprefix("[")), text

    assert [kept(command)[1] for command in commands] == ["", "", *(letter * 65536 for letter in "cdef")]
    assert [kept(command)[0] for command in commands] == [70000, 70000, *[70000 - 65536] * 4]
    assert whole == "".join(letter * 70000 for letter in "abcdef")
