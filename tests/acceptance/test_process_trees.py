"""Stop means stopped, and no more than that: kills and leftovers of whole trees, through the real daemon."""

import contextlib
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.daemon_clients import Rpc, until
from tests.conftest import MakeDaemon
from tests.daemon import Daemon

GRACE = 1.0
SETTINGS = {
    "queues": {"no_queue": {"grace": GRACE}, "tidy": {"concurrency": 4, "leftovers": "stop", "grace": 1}}
}

# Every process of these programs says that it is there in a file of its own name.
PRELUDE = f"""#!{sys.executable}
import os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def here(): (folder / str(os.getpid())).touch()
"""

# The grandchild leaves the session, shrugs off TERM and everything else that can be shrugged off,
# and forks twice, so that its parents are gone; what is left goes on forking.
ESCAPER = """
def stubborn():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    here()
stubborn()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        stubborn()
        if os.fork():
            os._exit(0)
        if os.fork():
            os._exit(0)
        here()
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                here()
                break
        (folder / f"ready-{os.getpid()}").touch()
    here()
while True:
    time.sleep(60)
"""

# A service that goes into the background with its stdout kept. It writes a line each 10 ms, and
# counts what it could write; whenever it is asked it has a new child.
SERVICE = """
if os.fork():
    while not (folder / "service").exists():
        time.sleep(0.01)
    os._exit(0)
os.setsid()
here()
(folder / "service.new").write_text(str(os.getpid()))
(folder / "service.new").rename(folder / "service")
written = 0
while True:
    written += os.write(1, b"still here" * 100)
    (folder / "written.new").write_text(str(written))
    (folder / "written.new").rename(folder / "written")
    if (folder / "ask").exists():
        (folder / "ask").unlink()
        child = os.fork()
        if child == 0:
            here()
            time.sleep(600)
        (folder / "child.new").write_text(str(child))
        (folder / "child.new").rename(folder / "child")
    time.sleep(0.01)
"""


@pytest.fixture
def daemon(make_daemon: MakeDaemon) -> Daemon:
    return make_daemon(SETTINGS)


def program(daemon: Daemon, name: str, text: str) -> Path:
    """Put a program on the PATH of commands; give the folder in which its processes show themselves."""
    path = daemon.bin / name
    path.write_text(PRELUDE + text)
    path.chmod(0o755)
    folder = daemon.folder / f"{name}.seen"
    folder.mkdir()
    return folder


def seen(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def living(pids: Iterable[int]) -> list[int]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def of_job(daemon: Daemon, number: int) -> list[psutil.Process]:
    """List what carries the mark of a job in its environment, by another way than the code under test."""
    found = []
    for process in daemon.processes():
        with contextlib.suppress(psutil.Error):
            if f":{number}:" in process.environ().get("DISPATCHER_JOB", ""):
                found.append(process)
    return found


def test_a_kill_leaves_nothing_of_a_tree_that_escapes_and_ignores_term(daemon):
    folder = program(daemon, "escaper", ESCAPER)
    with Rpc(daemon) as rpc:
        number = rpc.submit(f"escaper {folder}", "touch /should/not/run")
        until(lambda: len([*folder.glob("ready-*")]) == 4, "the tree stands")
        before = living(seen(folder))
        marked = of_job(daemon, number)

        asked = time.monotonic()
        rpc.call("kill", job=number)
        until(lambda: not living(before) and not of_job(daemon, number), "nothing is left", GRACE + 1)
        took = time.monotonic() - asked
        job = rpc.wait(number)

    print(f"{len(before)} processes were gone {took:.2f} s after the kill, grace {GRACE} s")
    assert len(before) >= 6
    assert {process.pid for process in marked} >= set(before)
    assert took >= GRACE  # they had their grace, and did not use it
    assert (job["outcome"], job["ended_by"]) == ("killed", "KILL")
    assert [command["code"] for command in job["commands"]] == [137, None]
    assert job["commands"][0]["leftovers"] == []


def test_the_record_says_term_if_term_was_enough(daemon):
    with Rpc(daemon) as rpc:
        number = rpc.submit("sleep 600", "touch /should/not/run")
        until(lambda: of_job(daemon, number), "it runs")
        asked = time.monotonic()
        rpc.call("kill", job=number)
        job = rpc.wait(number)
        took = time.monotonic() - asked

    assert (job["outcome"], job["ended_by"]) == ("killed", "TERM")
    assert (job["commands"][0]["code"], job["commands"][0]["signal"]) == (143, "SIGTERM")
    assert job["commands"][1]["started"] is None
    assert took < GRACE


def test_a_daemon_of_an_ended_command_outlives_the_kill_of_a_later_one(daemon):
    folder = program(daemon, "service", SERVICE)

    def written() -> int:
        return int((folder / "written").read_text())

    with Rpc(daemon) as rpc:
        number = rpc.submit(f"service {folder}", "echo second", "sleep 600")
        until((folder / "written").exists, "the service writes")
        service = int((folder / "service").read_text())
        until(lambda: rpc.call("show", job=number)["commands"][2]["pid"], "the third command runs")
        sleeper = rpc.call("show", job=number)["commands"][2]["pid"]
        (folder / "ask").touch()
        until((folder / "child").exists, "the service has a child that is younger than the sleep")
        child = int((folder / "child").read_text())

        rpc.call("kill", job=number)
        job = rpc.wait(number)
        at_kill = written()
        # More than a pipe holds: somebody reads what it writes, or it would be stuck.
        until(lambda: written() > at_kill + 100_000, "the service has written on")
        left = living([service, child, sleeper])
        log = rpc.log(number)

    assert left == [service, child]
    assert (job["outcome"], job["ended_by"]) == ("killed", "TERM")
    assert [command["code"] for command in job["commands"]] == [0, 0, 143]
    (named,) = job["commands"][0]["leftovers"]
    assert re.fullmatch(rf".+ \(pid {service}\)", named)
    assert [command["leftovers"] for command in job["commands"][1:]] == [[], []]
    # What it says after its command's end belongs to no command.
    second = job["commands"][1]
    assert log[second["log_start"] : second["log_end"]] == "second\n"
    assert len(log) == job["commands"][2]["log_end"]


def test_a_leftover_outlives_its_jobs_end_and_a_restart_of_the_daemon(daemon):
    folder = program(daemon, "service", SERVICE)
    with Rpc(daemon) as rpc:
        job = rpc.run(f"service {folder}")
    service = int((folder / "service").read_text())
    daemon.restart()
    at_restart = int((folder / "written").read_text())
    until(lambda: int((folder / "written").read_text()) > at_restart + 100_000, "it has written on")

    assert (job["outcome"], job["commands"][0]["code"]) == ("success", 0)
    assert f"(pid {service})" in job["commands"][0]["leftovers"][0]
    assert living([service]) == [service]


def test_a_queue_may_say_that_leftovers_are_stopped_before_the_next_command(daemon):
    folder = program(daemon, "service", SERVICE)
    escaper = program(daemon, "escaper", ESCAPER)
    daemon.script("still", f'kill -0 "$(cat "{folder}/service")" 2>&1 || echo nobody')
    daemon.script(
        "leave", f'escaper "{escaper}" & sleep 0.1; until [ -e "{escaper}/go" ]; do sleep 0.05; done'
    )
    with Rpc(daemon) as rpc:
        job = rpc.run(f"service {folder}", "still", queue="tidy")
        number = rpc.submit("leave", "echo after", queue="tidy")
        until(lambda: len([*escaper.glob("ready-*")]) == 4, "the tree stands")
        stubborn = living(seen(escaper))
        (escaper / "go").touch()
        other = rpc.wait(number)
        logs = [rpc.log(one["number"]) for one in (job, other)]

    assert living(seen(folder) + stubborn) == []
    assert logs[0].endswith("nobody\n")
    assert [command["code"] for command in job["commands"]] == [0, 0]
    assert (job["outcome"], job["ended_by"]) == ("success", None)
    assert re.search(r"\(pid \d+\)", job["commands"][0]["leftovers"][0])
    assert (len(stubborn) >= 6, other["outcome"], other["ended_by"]) == (True, "success", None)
    assert logs[1] == "after\n"
