"""One command as a process: started in a session of its own, its output read from a pipe.

Nobody here waits for it: the worker's loop alone reaps, because once it has done so, `Popen.poll`
would answer 0 whatever the status was. Standard library only.
"""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dispatcher.runner.inheritance import MARK
from dispatcher.runner.loop import READ, Loop
from dispatcher.runner.processes import start_of

_CHUNK = 64 * 1024


class CannotStart(Exception):
    """The command did not become a process; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """A process that was started: `start` is its raw start time, `began` the monotonic clock then."""

    pid: int
    start: int | None
    began: float
    pipe: int


def start(argv: tuple[str, ...], cwd: str, env: Mapping[str, str], umask: int, mark: str) -> Command:
    """Start a command; it has what is given here and nothing of ours. Raises CannotStart.

    The program is looked up on the PATH of `env`. Without preexec_fn and user= this is a vfork.
    """
    try:
        reader, writer = os.pipe()
    except OSError as error:
        raise CannotStart(f"cannot start {argv[0]!r}: {error.strerror}") from error
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            cwd=cwd,
            env={**env, MARK: mark},
            umask=umask,
            start_new_session=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        os.close(reader)
        raise CannotStart(_sentence(argv[0], cwd, env, error)) from error
    finally:
        os.close(writer)
    # Else a forgotten Popen would reap, later, whoever has the same pid then.
    process.returncode = 0
    os.set_blocking(reader, False)
    return Command(process.pid, start_of(process.pid), began, reader)


def exit_code(status: int) -> tuple[int, str | None]:
    """Turn a wait status into the return code and, after death by signal, the signal's name."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code, None
    try:
        return 128 - code, signal.Signals(-code).name
    except ValueError:
        return 128 - code, f"SIG{-code}"  # a real-time signal without a name


class Output:
    """The read end of a command's pipe. It is read until its end, whether anybody wants it or not.

    A background child may hold it open long after the command: from `finish` on, what comes is thrown
    away, because closing the pipe would kill that child by SIGPIPE.
    """

    def __init__(self, pipe: int, loop: Loop, sink: Callable[[bytes], None]) -> None:
        self._pipe = pipe
        self._loop = loop
        self._sink: Callable[[bytes], None] | None = sink
        loop.watch(pipe, READ, self._on_ready)

    @property
    def is_open(self) -> bool:
        """Whether somebody may still write to the pipe."""
        return self._pipe >= 0

    def finish(self) -> None:
        """Read what is there now and no more, then stop keeping it."""
        if self.is_open:
            left = _waiting(self._pipe)
            while (got := self._read()) is not None:
                left -= got
                if left <= 0:
                    break
        self._sink = None

    def look(self) -> bool:
        """Tell whether the pipe is still open, with its end noticed if that has come."""
        if self.is_open:
            self._read()
        return self.is_open

    def detach(self) -> int:
        """Give the descriptor away; it is not watched any more."""
        pipe, self._pipe = self._pipe, -1
        self._loop.unwatch(pipe)
        return pipe

    def _on_ready(self, _events: int) -> None:
        if self.is_open:
            self._read()

    def _read(self) -> int | None:
        """Read once; return how much that was, None if nothing is there."""
        try:
            data = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return None
        if not data:
            os.close(self.detach())
            return None
        if self._sink is not None:
            self._sink(data)
        return len(data)


def _waiting(pipe: int) -> int:
    """Tell how many bytes lie in the pipe: a leftover that writes without end must not hold us up."""
    answer = fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(answer, sys.byteorder)


def _sentence(program: str, cwd: str, env: Mapping[str, str], error: Exception) -> str:
    """Say why a command could not start and what would help."""
    cannot = f"cannot start {program!r}"
    if not isinstance(error, OSError):
        return f"{cannot}: {error}"
    if error.filename == cwd and not os.path.isdir(cwd):  # noqa: PTH112 (no pathlib for one name)
        return f"{cannot}: the working directory {cwd!r} cannot be entered ({error.strerror})"
    match error.errno:
        case errno.ENOENT if "/" not in program:
            path = env.get("PATH", os.defpath)
            return f"{cannot}: no such program on PATH ({path}); give its full path or correct PATH"
        case errno.ENOENT if os.path.lexists(os.path.join(cwd, program)):  # noqa: PTH118
            return f"{cannot}: the file is there, the interpreter in its first line is not"
        case errno.ENOENT:
            return f"{cannot}: no such file"
        case errno.EACCES:
            return f"{cannot}: permission denied; it must be an executable file"
        case errno.ENOEXEC:
            return f"{cannot}: it is neither a program of this system nor a script with a first line '#!...'"
        case errno.E2BIG:
            return f"{cannot}: its arguments and environment are too long for this system"
        case errno.EAGAIN:
            return f"{cannot}: this user may have no more processes; end some or raise the limit"
        case _:
            return f"{cannot}: {error.strerror}"
