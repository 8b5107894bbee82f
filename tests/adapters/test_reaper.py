"""Promises of the process table and the reaper, kept with real processes below a real reaper."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.runner import processes, reaper
from tests.offspring import Offspring, heard, is_living, offspring_in, tell, wait_until_ended

WORKER = "reaper.become_reaper()\n"
DOUBLE_FORK = """
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(os.getpid()); rest()
"""
NOBODY: frozenset[int] = frozenset()


@pytest.fixture
def offspring(tmp_path: Path) -> Iterator[Offspring]:
    with offspring_in(tmp_path) as made:
        yield made


def pids_below(program: subprocess.Popen[bytes]) -> set[int]:
    return {one.pid for one in reaper.descendants(program.pid) if not one.is_zombie}


def test_a_grandchild_that_left_by_setsid_and_double_fork_is_still_below_its_reaper(offspring):
    worker = offspring.start(WORKER + DOUBLE_FORK + "os.wait(); say('left'); rest()")
    words = {heard(worker)[0], heard(worker)[0]}
    (pid,) = words - {"left"}

    assert pids_below(worker) == {int(pid)}
    assert processes.table()[int(pid)].ppid == worker.pid


def test_being_a_reaper_is_not_inherited_and_can_be_said_again_after_a_fork(offspring):
    again = "reaper.become_reaper()\n"
    source = "if os.fork(): rest()\n{}" + DOUBLE_FORK + "os.wait(); say(os.getpid()); rest()"
    without = offspring.start(WORKER + source.format(""))
    with_it = offspring.start(WORKER + source.format(again))
    parents = []
    for worker in (without, with_it):
        heads = {int(heard(worker)[0]), int(heard(worker)[0])}
        parents.append((worker.pid, {one.ppid for one in map(processes.process, heads) if one}))

    assert parents[0][1] == {without.pid}
    assert with_it.pid in parents[1][1]
    assert len(parents[1][1]) == 2


def test_parents_come_before_their_children(offspring):
    deep = "for _ in range(4):\n    if os.fork(): rest()\nsay('deep'); rest()"
    worker = offspring.start(WORKER + deep)
    heard(worker)

    found = reaper.descendants(worker.pid)
    assert [one.ppid for one in found] == [worker.pid, *(one.pid for one in found[:-1])]
    assert len(found) == 4


def test_a_signal_reaches_everything_that_lives_and_counts_no_zombie(offspring):
    worker = offspring.start(
        WORKER + "if os.fork() == 0: os._exit(0)\n"
        "os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)\n"
        "for _ in range(2):\n    if os.fork() == 0: say(os.getpid()); rest()\nsay('all'); rest()"
    )
    children = [int(words) for words in (heard(worker)[0] for _ in range(3)) if words != "all"]

    assert len(reaper.descendants(worker.pid)) == 3
    assert reaper.signal_tree(worker.pid, signal.SIGTERM, NOBODY) == 2
    for pid in children:
        wait_until_ended(pid)
    assert reaper.signal_tree(worker.pid, signal.SIGTERM, NOBODY) == 0


def test_a_kill_ends_what_ignores_term_and_what_is_stopped_but_not_the_root(offspring):
    worker = offspring.start(WORKER + DOUBLE_FORK + "os.wait(); rest()")
    pid = int(heard(worker)[0])
    os.kill(pid, signal.SIGSTOP)
    reaper.signal_tree(worker.pid, signal.SIGTERM, NOBODY)
    assert is_living(pid)

    assert reaper.kill_tree(worker.pid, NOBODY) == 1
    wait_until_ended(pid)
    assert pids_below(worker) == set()
    assert is_living(worker.pid)


CHAINS = """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        links = 0
        while alive():
            if os.fork(): os._exit(0)
            {each}
            links += 1
            if links == 20: say('going')  # once: a full pipe would stop the chain for us
        os._exit(0)
rest()
"""


@pytest.mark.parametrize("each", ["pass", "os.setsid(); time.sleep(0.003)"])
def test_chains_that_fork_and_exit_all_the_time_are_gone_after_one_kill(offspring, each):
    worker = offspring.start(WORKER + CHAINS.format(each=each))
    for _ in range(3):
        heard(worker)

    assert reaper.kill_tree(worker.pid, NOBODY) >= 3
    assert set(offspring.living()) == {worker.pid}


def test_a_process_with_another_start_time_gets_no_signal(offspring):
    program = offspring.start("say('up'); rest()")
    heard(program)
    found = processes.process(program.pid)
    assert found is not None
    earlier = processes.Process(found.pid, found.start - 1, found.ppid, found.pgid, found.sid, found.name)

    assert not reaper.send(earlier, signal.SIGKILL)
    assert is_living(program.pid)
    assert reaper.send(found, signal.SIGKILL)
    program.wait()
    assert not reaper.send(found, signal.SIGKILL)


def test_a_process_whose_first_thread_has_ended_is_no_zombie_and_is_killed(offspring):
    worker = offspring.start(
        WORKER + "if os.fork() == 0:\n"
        "    import ctypes, threading\n"
        "    libc = ctypes.CDLL(None)\n"
        "    def other():\n"
        "        while open('/proc/self/stat').read().rpartition(')')[2].split()[0] != 'Z': pass\n"
        "        say(os.getpid()); rest()\n"
        "    threading.Thread(target=other).start()\n"
        "    libc.syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)\n"
        "rest()"
    )
    pid = int(heard(worker)[0])

    assert pids_below(worker) == {pid}
    assert reaper.kill_tree(worker.pid, NOBODY) == 1
    wait_until_ended(pid)
    assert pids_below(worker) == set()


# --- what is never part of a job ---------------------------------------------------------------

SUPERVISOR = """
from pathlib import Path
from dispatcher.runner.lock import SupervisorLock
def supervise():
    lock = SupervisorLock.acquire(Path(os.environ['STATE']) / 'lock')
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: say('below', os.getpid()); rest()
        rest()
    say('supervisor', os.getpid())
"""
JOB = """
if os.fork() == 0:
    if os.fork() == 0: supervise(); sys.stdin.readline(); again(); rest()
    if os.fork() == 0: say('sibling', os.getpid()); rest()
    say('above', os.getpid()); rest()
rest()
"""
FORK_AGAIN = """
def again():
    if os.fork() == 0: say('late', os.getpid()); rest()
"""


def who(program: subprocess.Popen[bytes], count: int) -> dict[str, int]:
    return {name: int(pid) for name, pid in (heard(program) for _ in range(count))}


def test_a_supervisor_in_a_job_is_spared_with_those_between_and_all_below_it(offspring, tmp_path):
    worker = offspring.start(WORKER + SUPERVISOR + FORK_AGAIN + JOB, {"STATE": str(tmp_path)})
    found = who(worker, 4)

    spare = reaper.spared(worker.pid, tmp_path)
    tell(worker)  # the supervisor forks once more after the look
    late = heard(worker)
    assert reaper.kill_tree(worker.pid, spare) == 1

    wait_until_ended(found["sibling"])
    assert late[0] == "late"
    assert all(is_living(pid) for pid in (found["supervisor"], found["above"], found["below"], int(late[1])))
    assert reaper.signal_tree(worker.pid, 0, spare) == 0


def test_a_pid_in_a_lock_that_nobody_holds_spares_nobody(offspring, tmp_path):
    worker = offspring.start(WORKER + "if os.fork() == 0: say(os.getpid()); rest()\nrest()")
    pid = int(heard(worker)[0])
    (tmp_path / "lock").write_text(f"{pid}\n")

    assert reaper.spared(worker.pid, tmp_path) == NOBODY


def test_a_supervisor_above_the_worker_spares_nothing_of_the_job(offspring, tmp_path):
    source = "supervise()\nif os.fork() == 0:\n    reaper.become_reaper()\n    say('worker', os.getpid())\n"
    job = "    if os.fork() == 0: say('command', os.getpid()); rest()\n    rest()\nrest()"
    program = offspring.start(SUPERVISOR + source + job, {"STATE": str(tmp_path)})
    found = who(program, 4)

    assert reaper.spared(found["worker"], tmp_path) == NOBODY


def test_another_worker_is_spared_when_its_spawner_is_gone(offspring, tmp_path):
    (tmp_path / "spool").mkdir()
    other = """
from pathlib import Path
from dispatcher.runner.journal import Journal
if os.fork() == 0:
    reaper.become_reaper()
    journal = Journal.open_locked(Path(os.environ['STATE']) / 'spool' / '9.journal', 9)
    journal.header(os.getpid(), reaper.start_of(os.getpid()))
    if os.fork() == 0: say('command', os.getpid()); rest()
    say('other', os.getpid()); rest()
if os.fork() == 0: say('mine', os.getpid()); rest()
rest()
"""
    worker = offspring.start(WORKER + other, {"STATE": str(tmp_path)})
    found = who(worker, 3)

    assert reaper.kill_tree(worker.pid, reaper.spared(worker.pid, tmp_path)) == 1
    wait_until_ended(found["mine"])
    assert is_living(found["other"])
    assert is_living(found["command"])


# --- the table ---------------------------------------------------------------------------------


def test_a_name_with_blanks_and_parentheses_is_read_whole(offspring, tmp_path):
    program = tmp_path / "a) R (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as named:
        try:
            found = processes.process(named.pid)
        finally:
            named.kill()

    assert found is not None
    assert (found.name, found.ppid) == ("a) R (b", os.getpid())
    assert str(found) == f"a) R (b (pid {named.pid})"


def test_what_has_gone_has_no_start_and_no_environment(offspring):
    program = offspring.start("say('up')", {"SIGN": "a=b"})
    heard(program)
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert processes.table()[program.pid].is_zombie
    assert processes.environment(program.pid) == {}
    program.wait()

    assert processes.start_of(program.pid) is None
    assert processes.environment(program.pid) == {}


def test_an_environment_is_the_one_of_the_last_exec(offspring):
    program = offspring.start("os.environ.pop('SIGN'); say('up'); rest()", {"SIGN": "a=b"})
    heard(program)

    assert processes.environment(program.pid)["SIGN"] == "a=b"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who is refused")
def test_a_refused_environment_is_empty():
    source = (
        "import os; from dispatcher.runner import processes\n"
        "os.setuid(65534); print(processes.environment(1), processes.start_of(1) is not None)"
    )
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert answer.stdout == "{} True\n"
