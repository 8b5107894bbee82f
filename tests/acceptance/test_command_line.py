"""Each verb with the real daemon: its golden `--json`, its exit statuses, and what people read."""

import fcntl
import json
import os
import pty
import re
import runpy
import signal
import struct
import subprocess
import sys
import termios
from importlib.metadata import entry_points

import pytest

from tests.acceptance.command_line import SETTINGS, UNTIL, call, documents, golden, job, line, submit
from tests.daemon import PATIENCE, PROGRAM, ROOT, Daemon

# Golden --json

LOOKING = {
    "list": ["list"],
    "list_all": ["list", "--all"],
    "list_pending": ["list", "--state", "pending"],
    "list_failed": ["list", "--outcome", "failed", "--queue", "no_queue", "--limit", "2"],
    "list_since": ["list", "--since", "yesterday", "--queue", "no_queue"],
    "show": ["show", "good"],
    "show_running": ["show", "lasting"],
    "log": ["log", "good"],
    "log_command": ["log", "1", "--command", "2"],
    "log_follow": ["log", "-f", "good"],
    "wait": ["wait", "good"],
    "queues": ["queues"],
}


@pytest.mark.parametrize("name", LOOKING)
def test_the_json_of_what_only_looks_is_golden(world, name):
    done = world.cli(*LOOKING[name], "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert documents(world, done.stdout) == golden(name)


def test_the_json_of_what_changes_something_is_golden(make_daemon):
    daemon = make_daemon(SETTINGS)
    steps: list[tuple[str, int, list[str]]] = [
        ("pause", 0, ["pause", "brief"]),
        ("run", 0, ["run", "-q", "brief", "--id", "first", "--env", "A=1", "--", "sh", "-c", "echo $A"]),
        ("kill", 4, ["kill", "first", "none"]),
        ("resume", 0, ["resume", "brief"]),
        ("run_wait", 3, ["run", "--wait", "--", "sh", "-c", "exit 3"]),
        ("run_follow", 0, ["run", "--follow", "--id", "told", "--file", "-"]),
        ("reload", 0, ["reload"]),
    ]
    for name, status, arguments in steps:
        verb, *rest = arguments
        done = daemon.cli(verb, "--json", *rest, text="- echo one\n- [echo, two]\n")

        assert done.returncode == status, (arguments, done.stderr)
        assert together(documents(daemon, done.stdout)) == golden(name), name


def together(told):
    """Join the pieces of a log: into how many it falls is not promised."""
    pieces = [one for one in told if "text" in one]
    if not pieces:
        return told
    text = "".join(one["text"] for one in pieces)
    return [{**pieces[-1], "text": text, "offset": pieces[0]["offset"]}, *told[len(pieces) :]]


def test_the_json_of_events_is_golden_and_goes_on_until_ctrl_c(daemon):
    submit(daemon, "--wait", "--id", "before", "--", "true")
    with call(daemon, "events", "--since", "0", "--json") as events:
        told = [line(events)]
        submit(daemon, "--id", "meanwhile", "--", "true")
        told += [line(events) for _ in range(3)]
        events.send_signal(signal.SIGINT)
        rest = events.communicate(timeout=PATIENCE)

        assert documents(daemon, "".join(told)) == golden("events")
        assert (events.returncode, *rest) == (130, "", "")


def test_the_json_of_the_verbs_that_need_no_daemon_is_golden(accounts_file, tmp_path):
    daemon = Daemon(tmp_path, accounts_file)
    config = "--config", str(daemon.config)
    for name, arguments in (
        ("check", ["check", str(daemon.config)]),
        ("passwd", ["passwd", "ann", "--level", "read", "--stdin", *config]),
        ("passwd_list", ["passwd", "--list", *config]),
        ("passwd_delete", ["passwd", "ann", "--delete", *config]),
    ):
        done = daemon.cli(*arguments, "--json", text="secret\n", check=True)

        told, wanted = documents(daemon, done.stdout), golden(name)
        if name == "check":  # limits and the like have tests of their own
            told[0]["settings"] = {key: told[0]["settings"][key] for key in wanted[0]["settings"]}
        assert told == wanted, name
    assert daemon.cli("passwd", "ann", "--delete", *config).returncode == 1


# What people read


def test_run_says_when_a_command_will_ask(scratch):
    scratch.script("pkg", 'read answer || echo "no answer"')
    asks = scratch.cli("run", "--wait", "--", "pkg", "upgrade")
    listed = scratch.cli("run", "--file", "-", text="- pkg update\n- pkg install vim\n")
    silent = scratch.cli("run", "--", "pkg", "upgrade", "-y")

    assert asks.stderr.splitlines()[0] == (
        "dispatcher: warning: pkg upgrade asks before it acts, and nobody can answer: "
        "a command's stdin is empty; add -y"
    )
    assert "pkg install" in listed.stderr
    assert "warning" not in silent.stderr


def test_follow_shows_the_log_as_it_grows(scratch):
    go = scratch.folder / "go"
    with call(scratch, "run", "--follow", "--id", "told", "--", "sh", "-c", UNTIL, str(go)) as run:
        assert line(run) == "begun\n"
        assert job(scratch, "told")["state"] == "running"
        go.touch()
        out, err = run.communicate(timeout=PATIENCE)

    assert out == "over\n"
    assert re.fullmatch(
        r"job (\d+) \(told\) is pending in no_queue\njob \1 \(told\): success, after [0-9.]+ s\n", err
    )


def test_what_happened_last_night_is_one_command(world):
    done = world.cli("list", "--since", "yesterday", check=True)
    head, *rows = done.stdout.splitlines()

    assert head.split() == ["JOB", "KEY", "QUEUE", "STATE", "CODE", "SINCE", "TOOK", "COMMANDS"]
    assert [row.split()[0] for row in rows] == ["6", "7", "5", "4", "3", "2", "1"]
    assert [row.split()[3] for row in rows[2:]] == ["killed", "failed", "failed", "failed", "success"]
    assert [row[row.index(" no_queue") :].split()[2] for row in rows[2:]] == ["143", "137", "-1", "3", "0"]
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout


def test_a_terminal_gets_a_coloured_table_no_wider_than_it_is(world):
    shown = on_terminal(world, 80, "list", "--all")
    rows = [row for row in shown.splitlines() if row.strip()]

    assert len(rows) == 8, "one line each, and the titles"
    assert all(len(row) <= 80 for row in map(plain, rows))
    assert "\x1b[1;31mfailed" in shown
    assert json.loads(world.cli("list", "--all", "--json").stdout)["jobs"][3]["key"] not in shown


def test_a_terminal_is_told_when_there_is_nothing_to_list(daemon):
    said = "no pending or running jobs; finished ones: dispatcher list --all, or --since yesterday\n"

    assert on_terminal(daemon, 200, "list") == said


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def on_terminal(daemon: Daemon, columns: int, *arguments: str) -> str:
    """Call a verb on a terminal of its own; give what it shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [*PROGRAM, "--socket", str(daemon.socket), *arguments],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env | {"TERM": "xterm-256color"},
    ):
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # EIO: the last writer has gone
            pass
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def test_the_module_is_the_program(monkeypatch, capsys):
    (script,) = entry_points(group="console_scripts", name="dispatcher")
    monkeypatch.setattr(sys, "argv", ["dispatcher", "--version"])
    said = []
    for start in (script.load(), lambda: runpy.run_module("dispatcher", run_name="__main__")):
        with pytest.raises(SystemExit) as end:
            start()
        said.append((end.value.code, capsys.readouterr().out))

    assert said[0] == said[1]
    assert said[0][0] == 0
    assert said[0][1].startswith("dispatcher 0.")
