"""Exit statuses and the sentences that go with them."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.fake_daemon import Failure, Silence, event, finished, log_data, pending, running, stranger

ROOT = Path(__file__).parent.parent.parent
ENDS = [
    ({"outcome": "success", "return_code": 0}, 0),
    ({"outcome": "failed", "return_code": 3}, 3),
    ({"outcome": "failed", "return_code": 139}, 139),
    ({"outcome": "failed", "return_code": -1}, 127),
    ({"outcome": "failed", "return_code": None}, 1),
    ({"outcome": "killed", "return_code": 143, "ended_by": "TERM"}, 143),
    ({"outcome": "killed", "return_code": 137, "ended_by": "KILL"}, 137),
    ({"outcome": "killed", "return_code": None, "ended_by": None}, 143),
    ({"outcome": "timed_out", "return_code": 143}, 124),
    ({"outcome": "lost", "return_code": None}, 75),
    ({"outcome": "skipped", "return_code": None}, 1),
]


@pytest.mark.parametrize(("end", "status"), ENDS)
def test_watching_a_job_exits_as_the_job_did(scripted, say, end, status):
    scripted.script["dispatcher.submit"] = [{**pending(), "attached": False}]
    scripted.script["dispatcher.wait"] = [finished(**end)]
    scripted.then["dispatcher.log_follow"] = [[log_data("x\n", 0, end=True)]]

    assert say("wait", "7").status == status
    assert say("run", "--wait", "--", "true").status == status
    assert say("run", "--follow", "--", "true").status == status
    assert say("log", "-f", "7").status == status


@pytest.mark.parametrize("verb", ["show", "log", "wait", "pause"])
def test_an_unknown_name_is_4(scripted, say, verb):
    failure = Failure("ENOENT", "there is no job 'x'; dispatcher list --all shows what there is")
    scripted.script = {f"dispatcher.{verb}": [failure]}
    said = say(verb, "x")

    assert (said.status, said.out) == (4, "")
    assert said.err == "dispatcher: there is no job 'x'; dispatcher list --all shows what there is\n"


def test_following_an_unknown_job_is_4(scripted, say):
    scripted.script = {"dispatcher.log_follow": [Failure("ENOENT", "no")]}

    assert say("log", "-f", "x").status == 4


def test_killing_stops_those_that_are_there_and_says_which_are_not(scripted, say):
    scripted.script["dispatcher.kill"] = [{"killed": None}, {"killed": running()}]
    said = say("kill", "gone", "7")

    assert said == (
        4,
        "job 7 (build-7) is being stopped\n",
        "dispatcher: cannot kill 'gone': no pending or running job has this key\n",
    )
    assert scripted.params("dispatcher.kill") == [{"job": "gone"}, {"job": 7}]


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (Failure("EBUSY", "key 'a' is in use"), "key 'a' is in use"),
        (Failure("EACCES", "account 'x' may only read"), "account 'x' may only read"),
        (Failure("EINVAL", "", [["commands.0", "Expected 'str'", 22]], -32602), "commands.0: Expected 'str'"),
        (Failure("EINVAL", "", [[None, "no program", 22]], -32602), "no program"),
        (Failure("ENOTAUTHENTICATED", "Not authenticated"), "call as root or as the daemon's user"),
    ],
)
def test_refused_invalid_and_forbidden_are_1(scripted, say, failure, sentence):
    scripted.script["dispatcher.submit"] = [failure]
    said = say("run", "--", "true")

    assert (said.status, said.out) == (1, "")
    assert sentence in said.err


def test_wrong_settings_at_a_reload_are_2_as_at_a_check(scripted, say):
    scripted.script["dispatcher.reload"] = [Failure("EINVAL", "/q.yaml:2:15: no")]
    wrong = say("reload")
    scripted.script["dispatcher.reload"] = [Failure("EBUSY", "jobs are waiting")]
    refused = say("reload")

    assert wrong == (2, "", "dispatcher: /q.yaml:2:15: no\n")
    assert refused.status == 1


def test_without_a_daemon_it_is_69_with_the_path_and_how_to_start_it(say, tmp_path):
    said = say("list")

    assert (said.status, said.out) == (69, "")
    assert str(tmp_path / "none.sock") in said.err
    assert "service dispatcher start" in said.err


def test_what_listens_and_is_no_dispatcher_is_69(say, tmp_path):
    path = tmp_path / "other.sock"
    with stranger(path, b"HTTP/1.1 404 Not Found\r\n\r\n"):
        said = say("list", socket=path)

    assert said.status == 69
    assert "404 Not Found" in said.err


def test_a_daemon_that_goes_away_in_the_middle_is_69(scripted, say, monkeypatch):
    monkeypatch.setattr("dispatcher.cli.connection.RESTART_SECONDS", 0.0)
    scripted.then["dispatcher.log_follow"] = [[None]]
    said = say("log", "-f", "7")

    assert said.status == 69
    assert "going away" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["list", "--since", "whenever"],
        ["list", "--limit", "-1"],
        ["list", "--", "x"],
        ["kill"],
        ["log", "7", "--command", "0"],
        ["run"],
        ["run", "--file", "x", "--", "true"],
        ["run", "--wait", "--follow", "--", "true"],
        ["run", "--env", "A", "--", "true"],
        ["passwd"],
        ["passwd", "x"],
    ],
)
def test_wrong_arguments_are_2(say, arguments):
    said = say(*arguments)

    assert (said.status, said.out) == (2, "")
    assert said.err


def test_an_argument_that_is_no_utf8_is_2(scripted, say):
    said = say("run", "--", "echo", "\udcff")

    assert said.status == 2
    assert "not UTF-8" in said.err
    assert scripted.calls == []


@pytest.mark.parametrize(
    ("arguments", "method"),
    [(["wait", "7"], "dispatcher.wait"), (["run", "--wait", "--", "true"], "dispatcher.wait")],
)
def test_ctrl_c_ends_the_watching_and_says_how_to_kill(scripted, arguments, method):
    scripted.script = {"dispatcher.submit": [{**pending(), "attached": False}], method: [Silence()]}
    command = [sys.executable, "-m", "dispatcher", "--socket", str(scripted.path), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not scripted.calls or scripted.calls[-1][0] != method:
            assert scripted.called.acquire(timeout=20)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "job 7 goes on; stop it with: dispatcher kill 7" in err
    assert "Traceback" not in err


def test_a_reader_that_goes_away_ends_it_quietly(scripted):
    page = {"jobs": [finished()] * 1000, "total": 1000}
    scripted.script["dispatcher.list"] = [page]
    call = f"{sys.executable} -m dispatcher --socket {scripted.path} list --limit 1000 --json | head -c 10"
    done = subprocess.run(
        ["/bin/sh", "-c", call], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )

    assert (done.stdout, done.stderr) == ('{"jobs": [', "")


@pytest.mark.parametrize("verb", ["events", "log -f 7"])
def test_a_stream_ends_with_its_reader_even_if_nothing_more_comes(scripted, verb):
    scripted.then["dispatcher.events"] = [[event(8, running())]]
    scripted.script["dispatcher.events"] = [{"last": 8, "truncated": None}]
    scripted.then["dispatcher.log_follow"] = [[log_data("one\n", 0, end=False)]]
    call = f"{sys.executable} -m dispatcher --socket {scripted.path} {verb} | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", call], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )

    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_call_loads_nothing_that_takes_long(scripted):
    scripted.script["dispatcher.list"] = [{"jobs": [finished()], "total": 1}]
    program = (
        "import sys; from dispatcher.cli import main; main(sys.argv[1:]);"
        "print(sorted({'trio', 'msgspec', 'rich', 'yaml', 'wsproto', 'h11', 'ssl', 'asyncio', 'typing', 'pathlib'}"
        " & sys.modules.keys()), file=sys.stderr)"
    )
    command = [sys.executable, "-S", "-c", program, "--socket", str(scripted.path), "list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)

    assert "build-7" in done.stdout
    assert done.stderr == "[]\n"


def test_help_is_a_verb_too(say):
    assert say("help") == say("--help")
    assert say("help", "kill") == say("kill", "--help")
    assert say("help", "kil").status == 2


def test_without_a_verb_it_says_where_they_are_listed(say):
    said = say()

    assert said.status == 2
    assert said.err.endswith("give a VERB; dispatcher --help lists them\n")


def test_the_help_of_each_verb_has_examples_and_the_statuses_are_listed(say):
    said = say("--help")
    verbs = re.findall(r"^    ([a-z]+) ", said.out, re.MULTILINE)

    assert len(verbs) == 20
    assert "69" in said.out
    for verb in verbs:
        assert f"examples:\n  dispatcher {verb}" in say(verb, "--help").out
