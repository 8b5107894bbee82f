"""Promises about what is left of a command whose worker died: all of it is stopped, and nothing else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.runner import processes, reaper
from dispatcher.runner.remains import stop_remains
from tests.offspring import Offspring, heard, is_living, offspring_in, tell, wait_until_ended

NOBODY: frozenset[int] = frozenset()
MARK = "here:7:1"
JOB = {"DISPATCHER_JOB": MARK}
IGNORE = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
REST = "say(os.getpid()); rest()\n"
# Executed anew without the mark, as by a program that cleans its environment.
UNMARKED = """
def unmarked():
    env = {name: value for name, value in os.environ.items() if name != 'DISPATCHER_JOB'}
    code = 'import os, time; os.write(1, b"%d\\\\n" % os.getpid())\\n'
    code += 'while os.path.exists(os.environ["ALIVE"]): time.sleep(0.2)'
    os.execve(sys.executable, [sys.executable, '-c', code], env)
"""


@pytest.fixture
def offspring(tmp_path: Path) -> Iterator[Offspring]:
    with offspring_in(tmp_path) as made:
        yield made


def number(program: subprocess.Popen[bytes]) -> int:
    return int(heard(program)[0])


def named(pid: int) -> str:
    return f"{Path(sys.executable).name} (pid {pid})"


def begun(pid: int) -> tuple[int, int]:
    start = processes.start_of(pid)
    assert start is not None
    return pid, start


def test_all_with_the_mark_of_the_running_command_are_stopped_and_named(offspring):
    command = offspring.start("os.setsid()\nif os.fork() == 0:\n    os.setsid()\n    " + REST + REST, JOB)
    pids = {number(command), number(command)}

    assert sorted(stop_remains(MARK, None, NOBODY, 10)) == sorted(named(pid) for pid in pids)
    assert not any(is_living(pid) for pid in pids)


@pytest.mark.parametrize("mark", ["here:7:0", "here:7:11", "here:17:1", "other:7:1", "xhere:7:1"])
def test_what_an_earlier_or_other_command_left_is_not_touched(offspring, mark):
    leftover = offspring.start("os.setsid()\n" + REST, {"DISPATCHER_JOB": mark})
    pid = number(leftover)

    assert stop_remains(MARK, None, NOBODY, 10) == []
    assert is_living(pid)


def test_those_in_the_session_of_the_command_are_stopped_also_without_the_mark(offspring):
    command = offspring.start(
        UNMARKED + "os.setsid()\nif os.fork() == 0: unmarked()\nsys.stdin.readline()\nos._exit(0)", JOB
    )
    pid, running = number(command), begun(command.pid)
    tell(command)
    command.wait()  # the leader is gone, and with it the descent from a mark

    assert stop_remains(MARK, running, NOBODY, 10) == [named(pid)]
    assert not is_living(pid)


def test_a_session_of_the_same_number_that_began_at_another_time_is_not_touched(offspring):
    other = offspring.start("os.setsid()\n" + REST)
    pid, start = begun(number(other))

    assert stop_remains(MARK, (pid, start - 1), NOBODY, 10) == []
    assert is_living(pid)


def test_descendants_without_mark_and_session_are_stopped_even_if_their_parents_end_first(offspring):
    # The parent ends at TERM; its child ignores it and is an orphan by the time of the KILL.
    command = offspring.start(
        UNMARKED + "if os.fork() == 0:\n    os.setsid()\n    " + IGNORE + "    unmarked()\nrest()", JOB
    )
    pid = number(command)
    begin = time.monotonic()

    assert sorted(stop_remains(MARK, None, NOBODY, 0.3)) == sorted(named(one) for one in (command.pid, pid))
    assert 0.3 <= time.monotonic() - begin < 5
    wait_until_ended(pid)
    assert not is_living(pid)


def test_the_grace_is_not_waited_for_when_all_have_ended(offspring):
    command = offspring.start(REST, JOB)
    number(command)
    begin = time.monotonic()
    stop_remains(MARK, None, NOBODY, 60)

    assert time.monotonic() - begin < 20


def test_what_is_born_of_the_signal_is_stopped_within_the_same_grace(offspring):
    handler = (
        "def last_words(*_):\n    signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "    if os.fork(): os._exit(0)\n    os.setsid(); say(os.getpid()); rest()\n"
        "signal.signal(signal.SIGTERM, last_words)\n"
    )
    command = offspring.start(handler + REST, JOB)
    number(command)
    stopped = stop_remains(MARK, None, NOBODY, 60)

    assert len(stopped) == 2
    assert offspring.living() == []


def test_a_supervisor_that_the_command_started_is_spared_with_all_below_it(offspring, tmp_path):
    source = """
from pathlib import Path
from dispatcher.runner.lock import SupervisorLock
os.setsid()
if os.fork() == 0:
    lock = SupervisorLock.acquire(Path(os.environ['STATE']) / 'lock')
    if os.fork() == 0: say('spawner', os.getpid()); rest()
    say('supervisor', os.getpid()); sys.stdin.readline()
    if os.fork() == 0: unmarked()
    rest()
if os.fork() == 0: say('remains', os.getpid()); rest()
say('above', os.getpid()); rest()
"""
    command = offspring.start(UNMARKED + source, {**JOB, "STATE": str(tmp_path)})
    found = {name: int(pid) for name, pid in (heard(command) for _ in range(4))}
    spare = reaper.spared(0, tmp_path)
    tell(command)  # the supervisor forks a worker after the look
    late = number(command)

    # All but that worker carry the mark: the supervisor has not executed itself anew here.
    assert stop_remains(MARK, begun(command.pid), spare, 10) == [named(found["remains"])]
    assert all(is_living(found[name]) for name in ("supervisor", "spawner", "above"))
    assert is_living(late)


def test_remains_that_came_to_another_worker_are_stopped_and_that_worker_is_not(offspring, tmp_path):
    (tmp_path / "spool").mkdir()
    source = """
from pathlib import Path
from dispatcher.runner.journal import Journal
reaper.become_reaper()
journal = Journal.open_locked(Path(os.environ['STATE']) / 'spool' / '9.journal', 9)
journal.header(os.getpid(), reaper.start_of(os.getpid()))
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    os.execve(sys.executable, [sys.executable, '-c', os.environ['CODE']],
        {**os.environ, 'DISPATCHER_JOB': 'here:7:1'})
os.wait(); rest()
"""
    code = "import os, time; os.write(1, b'%d\\n' % os.getpid())\nwhile os.path.exists(os.environ['ALIVE']): time.sleep(0.2)"
    worker = offspring.start(source, {"STATE": str(tmp_path), "CODE": code})
    pid = number(worker)

    assert stop_remains(MARK, None, reaper.spared(0, tmp_path), 10) == [named(pid)]
    assert is_living(worker.pid)
