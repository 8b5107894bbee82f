"""`--json` of every verb that talks to the daemon, and what each of them sends."""

import json

import pytest

from tests.cli.fake_daemon import event, finished, golden, log_data, pending, running

QUEUE = {
    "name": "pkg_queue",
    "concurrency": 1,
    "grace": 120.0,
    "on_duplicate": "refuse",
    "after_lost": "pause",
    "paused": False,
    "held": False,
    "running": 1,
    "pending": 3,
}
STOPPED = {"number": 7, "key": "build-7", "queue": "pkg_queue", "outcome": "killed"}
PIECE = {"text": "one\n", "offset": 0, "next": 4, "size": 8, "end": False}
LAST_PIECE = {"text": "two\n", "offset": 4, "next": 8, "size": 8, "end": True}

VERBS = [
    ("list", ["list"], {"dispatcher.list": [{"jobs": [running()], "total": 1}]}, {}),
    ("show", ["show", "7"], {"dispatcher.show": [finished()]}, {}),
    ("kill", ["kill", "7", "gone"], {"dispatcher.kill": [{"killed": running()}, {"killed": None}]}, {}),
    ("wait", ["wait", "7"], {"dispatcher.wait": [finished()]}, {}),
    ("run", ["run", "--", "true"], {"dispatcher.submit": [{**pending(), "attached": False}]}, {}),
    (
        "run_wait",
        ["run", "--wait", "--", "true"],
        {"dispatcher.submit": [{**pending(), "attached": False}], "dispatcher.wait": [finished()]},
        {},
    ),
    (
        "run_follow",
        ["run", "--follow", "--", "true"],
        {"dispatcher.submit": [{**pending(), "attached": False}], "dispatcher.wait": [finished()]},
        {"dispatcher.log_follow": [[log_data("one\n", 0, end=False), log_data("two\n", 4, end=True)]]},
    ),
    ("log", ["log", "7"], {"dispatcher.log": [PIECE, LAST_PIECE]}, {}),
    (
        "log_follow",
        ["log", "-f", "7"],
        {"dispatcher.wait": [finished()]},
        {"dispatcher.log_follow": [[log_data("one\n", 0, end=True)]]},
    ),
    ("queues", ["queues"], {"dispatcher.queues": [[QUEUE]]}, {}),
    ("pause", ["pause", "q"], {"dispatcher.pause": [{"queue": "q", "paused": True}]}, {}),
    ("resume", ["resume", "q"], {"dispatcher.resume": [{"queue": "q", "paused": False}]}, {}),
    (
        "stopjobs",
        ["stopjobs", "--reason", "machine shutdown", "--wait", "2"],
        {
            "dispatcher.stop_jobs": [{"ended": [STOPPED], "running": []}],
            "dispatcher.queues": [[QUEUE]],
        },
        {},
    ),
    ("startjobs", ["startjobs"], {"dispatcher.start_jobs": [{"held": False}]}, {}),
    ("reload", ["reload"], {"dispatcher.reload": [{"changed": ["queue x is new"]}]}, {}),
]


@pytest.mark.parametrize("verb", VERBS, ids=[verb[0] for verb in VERBS])
def test_json_is_as_the_golden_file_has_it(scripted, say, verb):
    name, arguments, script, then = verb
    scripted.script = {method: list(answers) for method, answers in script.items()}
    scripted.then = dict(then)

    said = say(arguments[0], "--json", *arguments[1:])

    lines = [json.loads(line) for line in said.out.splitlines()]
    assert lines == golden(name), said


def test_events_are_one_line_each_and_go_on_over_a_restart_of_the_daemon(scripted, say, monkeypatch):
    monkeypatch.setattr("dispatcher.cli.connection.RESTART_SECONDS", 5.0)
    scripted.script["dispatcher.events"] = [{"last": 11, "truncated": None}]
    stop = KeyboardInterrupt()
    scripted.then["dispatcher.events"] = [[event(12, running()), None], [event(13, finished())]]
    written = []

    def write(value):
        written.append(value)
        if len(written) == 2:
            raise stop

    monkeypatch.setattr("dispatcher.cli.output.write_json", write)
    said = say("events", "--json")

    assert said.status == 130
    assert written == golden("events")
    assert scripted.params("dispatcher.events") == [{}, {"since": 12}]
    assert scripted.paths == ["/api/current"] * 2


def test_run_sends_one_command_as_a_list_of_arguments(scripted, say):
    scripted.script["dispatcher.submit"] = [{**pending(), "attached": False}]
    say("run", "-q", "q", "--id", "k", "--cwd", "/tmp", "--env", "A=1=2", "--", "sh", "-c", "a b", "--", "x")

    assert scripted.params("dispatcher.submit") == [
        {
            "commands": [["sh", "-c", "a b", "--", "x"]],
            "queue": "q",
            "id": "k",
            "cwd": "/tmp",
            "env": {"A": "1=2"},
        }
    ]


def test_list_sends_what_it_is_asked_for_and_reads_all_pages(scripted, say):
    scripted.script["dispatcher.list"] = [
        {"jobs": [finished()] * 500, "total": 1200},
        {"jobs": [finished()] * 100, "total": 1200},
    ]
    said = say("list", "--all", "--outcome", "failed", "-q", "q", "--limit", "600", "--offset", "9", "--json")

    which = {"all": True, "outcome": "failed", "queue": "q"}
    assert scripted.params("dispatcher.list") == [
        {**which, "offset": 9, "limit": 500},
        {**which, "offset": 509, "limit": 100},
    ]
    assert len(json.loads(said.out)["jobs"]) == 600


def test_a_followed_log_goes_on_where_it_was_when_the_daemon_is_restarted(scripted, say):
    scripted.script["dispatcher.wait"] = [finished(outcome="success", return_code=0)]
    scripted.then["dispatcher.log_follow"] = [
        [log_data("one\n", 0, end=False), None],
        [log_data("two\n", 4, end=True)],
    ]
    said = say("log", "-f", "7")

    assert (said.status, said.out) == (0, "one\ntwo\n")
    assert [one["offset"] for one in scripted.params("dispatcher.log_follow")] == [0, 4]


def test_people_count_commands_from_one_and_the_daemon_from_zero(scripted, say):
    scripted.script["dispatcher.log"] = [LAST_PIECE]
    say("log", "7", "--command", "2")

    assert scripted.params("dispatcher.log") == [{"job": 7, "command": 1, "offset": 0}]
