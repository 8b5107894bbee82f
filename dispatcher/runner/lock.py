"""The supervisor's lock: one dispatcher per state directory.

The lock is held until death and the file is never unlinked: whoever unlinks a locked file lets
a second one lock a new file of the same name.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from dispatcher.errors import StartupError

RETRY_SECONDS = 0.1


class SupervisorLock:
    """The held lock. Made by `acquire`; `close` or the end of the process lets go."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path, patience: float = 10.0) -> Self:
        """Lock the file, made with mode 0600 if it is new, and write our pid into it.

        Blocks up to `patience` seconds: in a restart the old supervisor may still be ending, and
        a probe holds the lock for an instant. Raises StartupError after that.
        """
        try:
            # Not inherited over exec, or a worker would keep the dispatcher from starting again.
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            sentence = f"cannot lock {path}: {error.strerror}; state_dir must be writable for us"
            raise StartupError(sentence) from error
        try:
            _wait_for_lock(fd, path, patience)
            # The pid first and the cut after: the file is at no time empty, which nobody could read.
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
            os.ftruncate(fd, len(b"%d\n" % os.getpid()))
        except OSError as error:
            os.close(fd)
            raise StartupError(f"cannot write {path}: {error.strerror}; make room in state_dir") from error
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def close(self) -> None:
        """Let go. The pid stays in the file and means nothing without the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def holder(path: Path) -> int | None:
    """Tell the pid of the supervisor that holds the lock; None if nobody does."""
    try:
        # A fresh open, because a lock is never refused to the descriptor that has it.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(fd)
    finally:
        os.close(fd)
    return None


def _wait_for_lock(fd: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        # flock(2) can wait for ever or not at all, and an alarm would only reach the main thread:
        # hence a few tries a second, at start and nowhere else.
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                other = _pid(fd)
                who = "another dispatcher" if other is None else f"another dispatcher (pid {other})"
                sentence = f"cannot start: {who} holds {path}; stop it or give this one another state_dir"
                raise StartupError(sentence) from None
            time.sleep(min(RETRY_SECONDS, left))
        else:
            return


def _pid(fd: int) -> int | None:
    first, newline, _ = os.pread(fd, 64, 0).partition(b"\n")
    return int(first) if newline and first.isdigit() else None
