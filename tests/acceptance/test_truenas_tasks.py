"""Tasks of queues.yaml called over TrueNAS's protocols, by a real daemon with real commands."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.daemon_clients import until
from tests.acceptance.sysadm_client import Client as SysadmClient
from tests.acceptance.sysadm_client import record
from tests.acceptance.truenas_client import JOBS, KEYS, Connection, Current, Older
from tests.daemon import FULL, READ, Daemon, running

SECRET = "kept-to-ourselves"
TASKS = {
    "word.say": {
        "parameters": {"word": {"type": "string"}, "times": {"type": "integer", "default": 1}},
        "commands": [["echo", "{word}"], ["echo", "{times}"]],
        "result": "stdout",
        "description": "Say a word",
    },
    "word.read": {
        "parameters": {"text": {"type": "any"}, "lines": {"type": "list", "of": {"type": "string"}}},
        "commands": [["cat"]],
        "stdin": "{text}",
        "result": "json",
    },
    "code.last": {"commands": [["true"], ["true"]], "result": "return_code"},
    "code.bad": {"commands": [["true"], ["sh", "-c", "echo one; echo two >&2; exit 3"], ["true"]]},
    "login.try": {
        "parameters": {
            "password": {"type": "string", "secret": True, "required": True},
            "options": {"type": "object", "keys": {"key": {"type": "string", "secret": True}}},
        },
        "commands": [
            ["sh", "-c", 'test "$1" = "$WORD" && cat | cksum', "x", "{password}"],
            ["sh", "-c", 'printf %s "$1" | cksum', "x", "{options}"],
        ],
        "env": {"WORD": "{password}"},
        "stdin": "{password}",
        "result": "stdout",
    },
    "count.quickly": {
        "commands": [
            ["sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do echo at $n %; sleep 0.15; done; echo at 99 %"]
        ],
        "progress": {"pattern": "(?P<description>at (?P<percent>[0-9]+) %)"},
    },
    "count.apart": {
        "commands": [
            ["sh", "-c", 'printf \'{"percent": 40, "description": "forty", "extra": {"of": 100}}\\n\' >&3']
        ],
        "progress": {"fd": True},
    },
    "line.up": {
        "parameters": {"word": {"type": "string", "default": "a"}},
        "commands": [["sh", "-c", 'while [ ! -e "$1" ]; do sleep 0.02; done', "x", "{word}"]],
        "queue": "line",
    },
    "reader.may": {"commands": [["true"]], "level": "read"},
}
SETTINGS = {"tasks": TASKS, "queues": {"line": {"concurrency": 1, "on_duplicate": "attach"}}}


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def current(shared) -> Iterator[Current]:
    with Current(shared) as one:
        one.follow()
        yield one


@pytest.fixture(scope="module")
def older(shared) -> Iterator[Older]:
    with Older(shared) as one:
        one.follow()
        yield one


@pytest.fixture(params=["current", "older"])
def client(request) -> Connection:
    found: Connection = request.getfixturevalue(request.param)
    return found


def test_the_result_is_what_the_commands_wrote_and_all_events_are_there(client):
    number = client.result("word.say", {"word": "héllo"})
    assert isinstance(number, int)
    ended = client.ended(number)

    assert (ended["state"], ended["result"], ended["method"]) == ("SUCCESS", "héllo\n1\n", "word.say")
    assert (ended["arguments"], ended["description"]) == ([{"word": "héllo"}], "Say a word")
    assert ended["logs_excerpt"] == "héllo\n1"
    assert ended["logs_path"].endswith(f"/{number}.log")
    assert ended["credentials"]["type"] == "UNIX_SOCKET"
    told = client.events(number)
    assert told[0]["state"] == "WAITING"
    assert all(set(one) == KEYS for one in told)
    assert client.job(number) == ended | {"message_ids": []}


@pytest.mark.parametrize(
    ("method", "arguments", "result"),
    [
        ("word.say", ["a b", 2], "a b\n2\n"),
        ("word.read", [{"a": [1, None]}], {"a": [1, None]}),
        ("word.read", [{"$set": [1]}], {"$set": [1]}),
        ("code.last", [], 0),
        (
            "dispatcher.run",
            [{"commands": ["true", ["sh", "-c", "exit 0"]]}],
            {"outcome": "success", "return_codes": [0, 0]},
        ),
    ],
)
def test_each_kind_of_result(method, arguments, result, client):
    ended = client.ended(client.result(method, *arguments))

    assert (ended["state"], ended["result"], ended["result_encoding_error"]) == ("SUCCESS", result, None)


def test_a_command_that_fails_is_told_with_its_code_and_its_last_lines(client):
    ended = client.ended(client.result("code.bad"))

    reason = '[EFAULT] Command sh -c "echo one; echo two >&2; exit 3" failed (code 3):\none\ntwo'
    assert (ended["state"], ended["error"], ended["result"]) == ("FAILED", reason, None)
    assert (ended["exc_info"]["type"], ended["exc_info"]["errno"]) == ("CallError", 14)


def test_wrong_arguments_are_a_failed_job(client):
    info = client.ended(client.result("word.say", 5, "x"))["exc_info"]

    assert info["type"] == "VALIDATION"
    assert [one[0] for one in info["extra"]] == ["word", "times"]


def test_progress_is_told_once_a_second_and_at_the_end(client):
    number = client.result("count.quickly")
    client.ended(number)

    told = client.events(number)
    seen = [one["progress"]["percent"] for one in told]
    assert seen == sorted(seen)
    assert len(set(seen)) <= 5, "0, the first, one a second later, the last, 100"
    assert told[-1]["progress"] == {"percent": 100, "description": "at 99 %", "extra": None}
    assert "at 1 %" in [one["progress"]["description"] for one in told]


def test_progress_may_be_written_to_a_descriptor_of_its_own(client):
    ended = client.ended(client.result("count.apart"))

    assert ended["progress"] == {"percent": 100, "description": "forty", "extra": {"of": 100}}
    assert ended["logs_excerpt"] == ""


def test_equal_calls_are_one_job_and_each_of_the_callers_is_answered(shared, current):
    go = shared.folder / "go"
    with Current(shared) as other, Older(shared) as third:
        current.use_new_style()
        other.use_new_style()
        try:
            running_call = current.call("line.up", str(go))
            running_id = current.take(
                lambda one: running_call in (current.fields_of(one) or {}).get("message_ids", [])
            )["params"]["id"]
            first = current.call("line.up", str(go))
            waiting = current.take(
                lambda one: first in (current.fields_of(one) or {}).get("message_ids", [])
            )["params"]["id"]
            second = other.call("line.up", str(go), call_id="the other's")
            assert third.result("line.up", str(go)) == waiting != running_id
            assert third.result("line.up", "another") != waiting
            current.job_when(
                waiting, lambda job: job["message_ids"] == [first, second], "both calls are named"
            )
            go.touch()
            assert current.answer(first)["result"] == other.answer(second)["result"]
            assert [one["state"] for one in current.events(waiting)].count("WAITING") >= 2
        finally:
            current.result("core.set_options", {"legacy_jobs": True})
        third.result("core.job_abort", third.result(JOBS, [], {"order_by": ["-id"], "limit": 1})[0]["id"])


def test_a_secret_reaches_its_command_and_nobody_else(shared, current, older):
    options = {"key": f"{SECRET} too"}
    with SysadmClient(shared) as sysadm:
        sysadm.subscribe()
        sysadm.run_jobs(**{"holds-the-line": ["true"]})
        number = current.result("login.try", SECRET, options)
        ended = current.ended(number)
        older.ended(number)
        key = current.result("dispatcher.show", number)["key"]
        finished = sysadm.finished(key)
        again = older.result("login.try", {"password": SECRET, "options": options})
        sysadm.finished(older.result("dispatcher.show", again)["key"])
        listed = sysadm.list_jobs()
        waiting = current.result("dispatcher.run", {"commands": [["sleep", "60"]], "queue": "line"})
        queued = current.result("login.try", SECRET, options)
        current.ended(queued)
        current.result("core.job_abort", waiting)

    assert ended["state"] == "SUCCESS", ended
    sums = [line.split()[1] for line in ended["result"].splitlines()]
    assert sums == [str(len(SECRET)), str(len(json.dumps(options, separators=(",", ":"))))]
    assert ended["arguments"] == ["********", "********"]
    assert older.job(again)["arguments"] == [{"password": "********", "options": "********"}]
    shown = {
        "TrueNAS's events": str(current.seen + older.seen),
        "TrueNAS's lists": str(current.result(JOBS) + older.result(JOBS)),
        "SysAdm's events": str(finished),
        "SysAdm's list": str(listed),
        "the command line": "".join(
            shared.cli(*arguments, "--json").stdout
            for arguments in (["list", "--all"], ["show", str(number)])
        ),
        "the audit": (shared.log_dir / "audit.log").read_text(),
        "the daemon": shared.stderr,
        "the log of the job": (shared.log_dir / "0" / f"{number}.log").read_text(),
    }
    for where, text in shown.items():
        assert SECRET not in text, where
    assert "Traceback" not in shared.stderr
    assert "login.try" in shown["TrueNAS's lists"]
    assert "********" in shown["the command line"]
    assert key in shown["the command line"] + shown["SysAdm's events"]


def test_one_world_sysadm_sees_the_jobs_of_truenas_and_the_other_way_round(shared, current):
    with SysadmClient(shared) as sysadm:
        sysadm.subscribe()
        sysadm.run_jobs(**{"from-sysadm": ["echo a b", "true"]})
        sysadm.finished("from-sysadm")
        (job,) = current.result(JOBS, [["arguments.0.id", "=", "from-sysadm"]])
        number = current.result("word.say", "x")
        key = current.result("dispatcher.show", number)["key"]
        told = record(sysadm.events_until(lambda args: record(args)["process_id"] == key)[-1]["args"])

    assert job["method"] == "dispatcher.run"
    assert job["arguments"] == [{"id": "from-sysadm", "queue": "no_queue", "commands": ["echo a b", "true"]}]
    assert job["credentials"]["data"]["username"] == FULL.name
    assert key.startswith("word.say-{")
    assert len(key) == len("word.say-{}") + 36
    assert told["cmd_list"] == ["echo x", "echo 1"]


def test_who_may_read_sees_all_jobs_and_starts_only_tasks_that_say_so(shared, current):
    number = current.result("word.say", "x")
    with Current(shared, "ws") as reader:
        reader.log_in(READ)
        reader.follow()
        mine = reader.result("reader.may")
        assert reader.ended(mine)["credentials"]["data"]["username"] == READ.name
        assert reader.finished(number)["state"] == "SUCCESS"
        for method, arguments in (("word.say", ["x"]), ("dispatcher.run", [{"commands": ["true"]}])):
            assert reader.error(method, *arguments)["data"]["reason"].startswith("[EACCES]")
        assert reader.error("core.job_abort", number)["data"]["errname"] == "EPERM"


@pytest.mark.parametrize("how", ["ws", "wss", "unix"])
@pytest.mark.parametrize("kind", [Current, Older])
def test_jobs_are_run_over_every_kind_of_connection(kind, how, shared):
    with kind(shared, how) as one:
        if how != "unix":
            one.log_in()
        one.follow()
        assert one.ended(one.result("word.say", how))["result"] == f"{how}\n1\n"


def test_ten_clients_that_wait_for_twelve_jobs_each_list_and_abort_them_at_once(shared):
    with ExitStack() as stack:
        clients = [stack.enter_context(Current(shared)) for _ in range(10)]
        waits: list[tuple[Current, object]] = []
        for place, one in enumerate(clients):
            one.use_new_style()
            for other in range(12):
                # Equal ones would be one job. In a queue that runs one at a time they are few processes.
                job = {"commands": [["sleep", f"600.{place}{other}"]], "queue": "line"}
                waits.append((one, one.call("dispatcher.run", job)))
        mine = [["state", "in", ["WAITING", "RUNNING"]], ["arguments.0.queue", "=", "line"]]
        until(lambda: clients[0].result(JOBS, mine, {"count": True}) == 120, "all jobs are there")
        live = [one["id"] for one in clients[0].result(JOBS, mine, {"select": ["id"]})]

        begun = time.monotonic()
        for place, number in enumerate(live):
            one = clients[place % 10]
            assert one.result(JOBS, [["id", "=", number]])[0]["id"] == number
            assert one.result("core.job_abort", number) is None
        assert time.monotonic() - begun < 15, "240 calls of connections that wait for 120 jobs"
        assert [one.answer(call)["result"] for one, call in waits] == [None] * 120


def test_numbers_go_on_over_a_restart_and_jobs_with_them(accounts_file, tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)
    go = daemon.folder / "go"
    with running(daemon):
        with Current(daemon) as one:
            going = one.result("line.up", str(go))
            waiting = one.result("core.job_wait", going)
            until(lambda: one.job(going)["state"] == "RUNNING", "it runs")
        daemon.restart()
        with Current(daemon) as one:
            one.follow()
            lost = one.finished(waiting)
            assert (lost["state"], lost["exc_info"]["errno"]) == ("FAILED", 103)
            assert one.job(going)["state"] == "RUNNING"
            go.touch()
            assert one.finished(going)["state"] == "SUCCESS"
            assert one.result("word.say", "next") == waiting + 1
            seq = one.take(lambda it: (one.fields_of(it) or {}).get("id") == waiting + 1)["params"]["extra"][
                "seq"
            ]
        with Current(daemon) as late:
            late.result("core.subscribe", f"{JOBS}:since={seq - 1}")
            assert late.ended(waiting + 1)["result"] == "next\n1\n"
            assert {fields["id"] for fields in map(late.fields_of, late.seen) if fields} == {waiting + 1}
