"""Stopping a job, and what a command leaves behind: real processes that do not want to go."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dispatcher.runner import journal
from tests.integration.fake_supervisor import PATIENCE, Connection, FakeSupervisor, Line, sh, wait_until

STUBBORN = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        while True: time.sleep(100)
    os._exit(0)
os.wait()
time.sleep(100)
"""
# Holds the lock of the state directory and has a child, as a supervisor and its spawner do.
SUPERVISOR = """
import fcntl, os, sys, time
if os.fork(): os._exit(0)
os.setsid()
fd = os.open(sys.argv[1] + "/lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
os.write(fd, b"%d\\n" % os.getpid())
if os.fork() == 0: fd = os.close(fd)
else: print("ready", flush=True)
time.sleep(100)
"""


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path_factory.mktemp("w"))
    yield fake
    fake.end()


def start(worker: Connection, order: dict[str, object]) -> None:
    """Start a job and wait until it has said something."""
    worker.send(**order)
    worker.until(lambda line: line.get("log") == order["job"] and "fact" not in line)


def stop(worker: Connection, job: int, grace: float) -> list[Line]:
    worker.send(do="stop", job=job, grace=grace)
    return worker.facts_until("done", job)


def daemon(orders: Path, replies: Path) -> list[str]:
    """Leave a shell in the background that carries out what is written to `orders`."""
    return sh(f"(while read line <{orders}; do eval $line; echo done >{replies}; done) & echo started")


def ask(line: str, orders: Path, replies: Path) -> None:
    orders.write_text(f"{line}\n")
    assert replies.read_text() == "done\n"


@pytest.fixture
def fifos(tmp_path: Path) -> tuple[Path, Path]:
    pair = (tmp_path / "orders", tmp_path / "replies")
    for path in pair:
        os.mkfifo(path)
    return pair


def test_a_stop_ends_the_command_and_the_list(supervisor):
    worker = supervisor.worker()
    start(worker, supervisor.order(7, sh("echo ready; sleep 100"), ["true"]))

    facts = stop(worker, 7, 5.0)

    assert [fact["fact"] for fact in facts] == ["ended", "done"]
    assert (facts[0]["code"], facts[0]["signal"]) == (143, "SIGTERM")
    assert (facts[1]["outcome"], facts[1]["by"]) == ("killed", "TERM")
    assert supervisor.living(7) == []


def test_a_grandchild_with_its_own_session_that_ignores_term_is_gone_after_the_grace(supervisor):
    worker = supervisor.worker()
    start(worker, supervisor.order(7, [sys.executable, "-c", STUBBORN]))
    assert len(supervisor.living(7)) == 2
    began = time.monotonic()

    facts = stop(worker, 7, 0.3)

    assert 0.3 <= time.monotonic() - began < 1.3
    assert supervisor.living(7) == []
    assert (facts[-1]["outcome"], facts[-1]["by"]) == ("killed", "KILL")
    assert facts[0]["leftovers"] == []


def test_a_command_that_ends_well_at_term_is_killed_all_the_same(supervisor):
    worker = supervisor.worker()
    start(
        worker,
        supervisor.order(7, sh('trap "echo bye; exit 0" TERM; echo ready; while :; do sleep .1; done')),
    )

    facts = stop(worker, 7, 5.0)

    assert facts[0]["code"] == 0
    assert (facts[-1]["outcome"], facts[-1]["by"]) == ("killed", "TERM")
    assert supervisor.log(7).read_text().endswith("bye\n")


def test_a_second_stop_may_shorten_the_grace_and_not_lengthen_it(supervisor):
    worker = supervisor.worker()
    start(worker, supervisor.order(7, sh('trap "" TERM; echo ready; while :; do sleep 100; done')))
    worker.send(do="stop", job=7, grace=60.0)
    worker.send(do="stop", job=7, grace=0.1)
    facts = stop(worker, 7, 60.0)

    assert facts[-1]["by"] == "KILL"
    assert facts[0]["signal"] == "SIGKILL"


def test_a_job_that_is_stopped_before_it_is_taken_never_begins(supervisor):
    worker = supervisor.worker()
    start(worker, supervisor.order(7, sh("echo ready; sleep 100")))
    worker.send(**supervisor.order(8, sh("echo never")))

    facts = stop(worker, 8, 5.0)

    assert [(fact["fact"], fact["outcome"], fact["by"]) for fact in facts] == [("done", "killed", None)]
    stop(worker, 7, 5.0)
    assert not supervisor.log(8).exists()


def test_a_stop_for_a_job_that_is_over_does_nothing(supervisor):
    worker = supervisor.worker()
    worker.run(supervisor.order(7, ["true"]))
    worker.send(do="stop", job=7, grace=5.0)

    facts = worker.run(supervisor.order(8, ["true"]))

    assert facts[-1]["outcome"] == "success"


def test_a_daemon_that_a_command_left_lives_on_and_is_named(supervisor, fifos):
    worker = supervisor.worker()

    facts = worker.run(supervisor.order(7, daemon(*fifos), sh("echo next")))

    [left] = supervisor.living(7)
    assert [fact["leftovers"] for fact in facts if fact["fact"] == "ended"] == [[f"sh (pid {left.pid})"], []]
    assert facts[-1]["outcome"] == "success"
    assert supervisor.log(7).read_text() == "started\nnext\n"
    ask("for i in 1 2 3; do echo to a pipe that nobody keeps; done", *fifos)
    assert left.is_running()
    assert supervisor.log(7).read_text() == "started\nnext\n"


def test_a_daemon_may_write_more_than_a_pipe_holds_and_later_jobs_do_not_touch_it(supervisor, fifos):
    worker = supervisor.worker()
    worker.run(supervisor.order(7, daemon(*fifos)))
    [left] = supervisor.living(7)
    # What escapes to pid 1 was not below the new process: it must be a reaper, too.
    start(worker, supervisor.order(8, [sys.executable, "-c", STUBBORN]))
    ask("sleep 100 & dd if=/dev/zero bs=1000 count=1000 2>/dev/null", *fifos)

    facts = stop(worker, 8, 0.2)

    assert facts[-1]["outcome"] == "killed"
    assert supervisor.living(8) == []
    ask("echo still here", *fifos)
    assert [child.name() for child in left.children()] == ["sleep"]


def test_after_a_daemon_was_left_the_worker_is_another_process_with_the_same_lock(supervisor, fifos):
    worker = supervisor.worker()
    first = worker.heard[0]["pid"]
    worker.send(**supervisor.order(7, daemon(*fifos)))

    said = worker.until(lambda line: line.get("fact") == "done")

    [moved] = [line for line in said if set(line) == {"pid", "start"}]
    assert moved["pid"] != first
    headers = [line for line in supervisor.journal() if "worker" in line]
    assert headers == [
        {"worker": 1, "pid": first, "start": worker.heard[0]["start"]},
        {"worker": 1, **moved},
    ]
    path = supervisor.state_dir / "spool" / "1.journal"
    assert journal.is_locked(path)
    psutil.Process(moved["pid"]).kill()
    # The kernel closes one after the other; who stayed behind would hold the lock for ever.
    wait_until(lambda: not journal.is_locked(path))
    assert supervisor.started[0].poll() is None


def test_who_stayed_behind_ends_with_the_worker_and_the_daemon(supervisor, fifos):
    worker = supervisor.worker()
    facts = worker.run(supervisor.order(7, daemon(*fifos)))
    worker.send(do="ack", seq=facts[-1]["seq"])
    worker.send(do="exit")
    assert worker.ended()
    assert supervisor.started[0].poll() is None

    fifos[0].write_text("exit\n")

    assert supervisor.started[0].wait(PATIENCE) == 0


def test_who_stayed_behind_waits_for_the_worker_when_the_daemon_has_ended(supervisor, fifos):
    worker = supervisor.worker()
    facts = worker.run(supervisor.order(7, daemon(*fifos)))
    fifos[0].write_text("exit\n")

    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.started[0].wait(0.3)
    worker.send(do="ack", seq=facts[-1]["seq"])
    worker.send(do="exit")
    assert supervisor.started[0].wait(PATIENCE) == 0


def test_a_command_that_ended_well_before_the_first_signal_was_not_killed(supervisor, tmp_path):
    worker = supervisor.worker()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    start(worker, supervisor.order(7, sh(f"echo ready; read x <{gate}; sleep 100 & exit 0")))
    [command] = supervisor.living(7)
    process = psutil.Process(worker.heard[0]["pid"])
    process.suspend()
    worker.send(do="stop", job=7, grace=5.0)
    gate.write_text("go\n")
    wait_until(lambda: command.status() == psutil.STATUS_ZOMBIE)

    process.resume()
    facts = worker.facts_until("done", 7)

    assert (facts[-1]["outcome"], facts[-1]["by"]) == ("success", None)
    assert [left.name() for left in supervisor.living(7)] == ["sleep"]


def test_a_queue_may_stop_what_is_left_before_the_next_command_begins(supervisor):
    worker = supervisor.worker()
    order = supervisor.order(
        7,
        sh("sleep 100 & (trap '' TERM; sleep 101) & echo $!"),
        sh("echo next"),
        leftovers="stop",
        grace=0.2,
    )

    facts = worker.run(order)

    assert len(facts[2]["leftovers"]) >= 2
    assert facts[3]["mono"] - facts[2]["mono"] >= 0.2
    assert (facts[-1]["outcome"], facts[-1]["by"]) == ("success", None)
    assert supervisor.living(7) == []


def test_a_supervisor_that_a_job_started_is_no_part_of_it(supervisor):
    worker = supervisor.worker()
    program = [sys.executable, "-c", SUPERVISOR, str(supervisor.state_dir)]
    start(worker, supervisor.order(7, [*sh('"$@"; sleep 100; :'), "sh", *program], ["true"]))
    began = time.monotonic()

    facts = stop(worker, 7, 5.0)

    assert time.monotonic() - began < 3
    assert (facts[-1]["outcome"], facts[-1]["by"]) == ("killed", "TERM")
    assert len(supervisor.living(7)) == 2, "the supervisor and its child"
    facts = worker.run(supervisor.order(8, sh("echo alive")))
    assert facts[-1]["outcome"] == "success"
    assert len(supervisor.living(7)) == 2
