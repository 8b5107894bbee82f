"""A real spawner: it forks workers that have nothing of it, and its death harms none."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.fake_supervisor import PATIENCE, ROOT, Connection, FakeSupervisor, sh


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path_factory.mktemp("w"))
    yield fake
    fake.end()


@pytest.fixture
def spawner(supervisor: FakeSupervisor) -> "subprocess.Popen[bytes]":
    return supervisor.run("dispatcher.runner.spawner", supervisor.state_dir, stdin=subprocess.PIPE)


def fork(supervisor: FakeSupervisor, spawner: "subprocess.Popen[bytes]", *numbers: int) -> list[Connection]:
    assert spawner.stdin is not None
    spawner.stdin.write(b"".join(b"fork %d\n" % number for number in numbers))
    spawner.stdin.flush()
    found = [supervisor.accept() for _ in numbers]
    for connection in found:
        connection.read()
    return found


def descriptors(pid: int) -> dict[str, str]:
    folder = Path(f"/proc/{pid}/fd")
    return {path.name: str(path.readlink()) for path in folder.iterdir()}


def test_each_request_forks_a_worker_of_that_number(supervisor, spawner):
    workers = fork(supervisor, spawner, 1, 2, 2**53)

    assert {worker.heard[0]["hello"] for worker in workers} == {1, 2, 2**53}
    for job, worker in enumerate(workers):
        assert worker.run(supervisor.order(job, ["true"]))[-1]["outcome"] == "success"


def test_a_worker_has_only_its_own_descriptors(supervisor, spawner):
    workers = fork(supervisor, spawner, 1, 2)
    pipe = str(Path(f"/proc/self/fd/{spawner.stdin.fileno()}").readlink())

    for worker in workers:
        held = descriptors(worker.heard[0]["pid"])
        # 3 is kept for commands that write their progress.
        assert {held.pop(fd) for fd in "0123"} == {"/dev/null"}
        assert pipe not in held.values()
        # Its journal, its socket, its epoll, and the two ends of its wake-up.
        assert len(held) == 5, held
    assert {descriptors(spawner.pid)[fd] for fd in "012"} == {"/dev/null"}


def test_the_spawner_ends_with_its_supervisor_and_its_workers_go_on(supervisor, spawner):
    [worker] = fork(supervisor, spawner, 1)
    spawner.stdin.close()

    assert spawner.wait(PATIENCE) == 0
    assert worker.run(supervisor.order(7, ["true"]))[-1]["outcome"] == "success"


def test_workers_are_unharmed_when_the_spawner_is_killed(supervisor, spawner):
    [worker] = fork(supervisor, spawner, 1)
    spawner.kill()
    spawner.wait()

    assert worker.run(supervisor.order(7, ["true"]))[-1]["outcome"] == "success"


def test_dead_workers_are_reaped(supervisor, spawner):
    workers = fork(supervisor, spawner, 1, 2)
    dead = [psutil.Process(worker.heard[0]["pid"]) for worker in workers]
    for process in dead:
        process.kill()

    # A process that is not our child can be waited for only until its pid is gone: it has been reaped.
    gone, alive = psutil.wait_procs(dead, timeout=PATIENCE)

    assert alive == []
    assert len(gone) == 2


def test_ignored_and_blocked_signals_of_whoever_starts_it_do_not_reach_commands(supervisor):
    starter = (
        "import os, signal, sys;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGQUIT, signal.SIG_IGN);"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGCHLD]);"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    spawner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            starter,
            "-m",
            "dispatcher.runner.spawner",
            str(supervisor.state_dir),
        ],
        stdin=subprocess.PIPE,
        cwd=ROOT,
    )
    supervisor.started.append(spawner)
    [worker] = fork(supervisor, spawner, 1)
    look = (
        "import json, signal;"
        "print(json.dumps([[int(s) for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN],"
        "[int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])]]))"
    )

    worker.run(supervisor.order(7, [sys.executable, "-c", look]))

    assert json.loads(supervisor.log(7).read_text()) == [[signal.SIGPIPE, signal.SIGXFSZ], []]


def test_a_spawner_started_by_a_job_sheds_its_mark(supervisor, monkeypatch):
    monkeypatch.setenv("DISPATCHER_JOB", "other:1:0")
    spawner = supervisor.run("dispatcher.runner.spawner", supervisor.state_dir, stdin=subprocess.PIPE)

    [worker] = fork(supervisor, spawner, 1)

    for pid in (spawner.pid, worker.heard[0]["pid"]):
        assert b"DISPATCHER_JOB" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_request_that_makes_no_sense_is_noted_and_passed_over(supervisor, spawner):
    spawner.stdin.write(b"spoon 1\nfork\nfork x\n")

    [worker] = fork(supervisor, spawner, 3)

    assert worker.heard[0]["hello"] == 3
    assert supervisor.trouble().count("known is 'fork NUMBER'") == 3


def test_a_worker_that_breaks_down_leaves_a_note(supervisor, spawner):
    spool = supervisor.state_dir / "spool"
    spool.write_text("in the way")
    spawner.stdin.write(b"fork 1\n")
    spawner.stdin.flush()
    spawner.stdin.close()
    spawner.wait(PATIENCE)
    # The worker has no more than the spawner's end to be waited for: its note is written before it ends.
    psutil.wait_procs([one for one in psutil.process_iter() if supervisor._is_ours(one)], timeout=PATIENCE)

    assert "worker 1 broke down" in supervisor.trouble()
    assert supervisor.trouble().count("\n") > 3
    assert (supervisor.state_dir / "worker.log").stat().st_mode & 0o777 == 0o600


def test_a_command_of_a_forked_worker_has_no_descriptors_of_ours(supervisor, spawner):
    [worker] = fork(supervisor, spawner, 1)

    worker.run(supervisor.order(7, sh("ls /proc/$$/fd")))

    assert supervisor.log(7).read_text().split() == ["0", "1", "2"]
