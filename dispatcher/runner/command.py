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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dispatcher.runner.inheritance import MARK, PROGRESS_FD, keep_progress_fd
from dispatcher.runner.loop import READ, Loop
from dispatcher.runner.processes import start_of

PROGRESS = "DISPATCHER_PROGRESS_FD"
_CHUNK = 64 * 1024


class CannotStart(Exception):
    """The command did not become a process; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a command is connected to, besides the pipe of its output.

    It reads `stdin`, else nothing; writes to `stdout`, else to the pipe. With `splits` its stdout gets
    a second pipe; with `has_progress` one more is open as the descriptor that its environment names.
    """

    stdin: int | None = None
    stdout: int | None = None
    splits: bool = False
    has_progress: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A process that was started: `start` is its raw start time, `began` the monotonic clock then.

    `pipe` is the read end of its output, `stdout` and `progress` those of the pipes of their own.
    """

    pid: int
    start: int | None
    began: float
    pipe: int
    stdout: int | None = None
    progress: int | None = None


_PLAIN = Wiring()


def start(
    argv: tuple[str, ...],
    cwd: str,
    env: Mapping[str, str],
    umask: int,
    mark: str,
    *,
    wiring: Wiring = _PLAIN,
) -> Command:
    """Start a command; it has what is given here and nothing of ours. Raises CannotStart.

    The program is looked up on the PATH of `env`. Without preexec_fn and user= this is a vfork.
    """
    readers: list[int] = []
    writers: list[int] = []
    began = time.monotonic()
    try:
        for _ in range(1 + wiring.splits + wiring.has_progress):
            reader, writer = os.pipe()
            readers.append(reader)
            writers.append(writer)
        process = _execute(argv, {**env, MARK: mark}, wiring, writers, cwd=cwd, umask=umask)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        for reader in readers:
            os.close(reader)
        raise CannotStart(_sentence(argv[0], cwd, env, error)) from error
    finally:
        for writer in writers:
            os.close(writer)
    # Else a forgotten Popen would reap, later, whoever has the same pid then.
    process.returncode = 0
    for reader in readers:
        os.set_blocking(reader, False)
    stdout = readers[1] if wiring.splits else None
    progress = readers[-1] if wiring.has_progress else None
    return Command(process.pid, start_of(process.pid), began, readers[0], stdout, progress)


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


def _execute(
    argv: tuple[str, ...],
    env: dict[str, str],
    wiring: Wiring,
    writers: Sequence[int],
    *,
    cwd: str,
    umask: int,
) -> "subprocess.Popen[bytes]":
    """Make the process; `writers` are the pipes of its output, of its stdout and of its progress."""
    stdout = writers[1] if wiring.splits else writers[0]
    if wiring.has_progress:
        # A number of one digit: more is an error in the redirections of many shells.
        os.dup2(writers[-1], PROGRESS_FD, inheritable=False)
        env[PROGRESS] = str(PROGRESS_FD)
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if wiring.stdin is None else wiring.stdin,
            stdout=stdout if wiring.stdout is None else wiring.stdout,
            stderr=writers[0],
            cwd=cwd,
            env=env,
            umask=umask,
            start_new_session=True,
            pass_fds=(PROGRESS_FD,) if wiring.has_progress else (),
        )
    finally:
        if wiring.has_progress:
            keep_progress_fd()


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
