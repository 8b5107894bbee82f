"""Programs for tests about processes, and their certain end.

Each is Python source in a process of its own that carries a mark in its environment; `ended`
kills whatever carries it, by another way than the code under test. A program that must not
outlive the test in any case watches the file in `ALIVE`.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

MARK = "TEST_OFFSPRING"
PRELUDE = """
import os, signal, sys, time
from dispatcher.runner import reaper
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def alive(): return os.path.exists(os.environ["ALIVE"])
def rest():
    while alive(): time.sleep(0.2)
    os._exit(0)
"""


class Offspring:
    def __init__(self, folder: Path) -> None:
        self.mark = uuid.uuid4().hex
        self.alive = folder / "alive"
        self.alive.touch()
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, source: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Run source; `say` sends lines to its stdout, `rest()` waits for the end of the test."""
        program = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {}), MARK: self.mark, "ALIVE": str(self.alive)},
        )
        self._started.append(program)
        return program

    def living(self) -> list[int]:
        """Tell the pids of all that carries the mark and is no zombie."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def end(self) -> None:
        self.alive.unlink()
        while living := self.living():
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in living:
                wait_until_ended(pid)
        for program in self._started:
            program.kill()
            program.communicate()


@contextlib.contextmanager
def offspring_in(folder: Path) -> Iterator[Offspring]:
    """Give a maker of programs; at the end none of them and none of their descendants is left."""
    made = Offspring(folder)
    try:
        yield made
    finally:
        made.end()


def heard(program: subprocess.Popen[bytes]) -> list[str]:
    """Wait for the next line that the program says; give its words."""
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line, "the program ended without a word"
    return line.decode().split()


def tell(program: subprocess.Popen[bytes]) -> None:
    """Let the program go on that waits in `sys.stdin.readline()`."""
    assert program.stdin is not None
    program.stdin.write(b"\n")
    program.stdin.flush()


def is_living(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(pid: int) -> None:
    """Return when the process, whose child it may not be, is gone or a zombie; fail after 10 s."""
    with contextlib.suppress(OSError):
        fd = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            assert poll.poll(10_000), f"process {pid} has not ended"
        finally:
            os.close(fd)
