"""The daemon's own log: on stderr, in a file, or at syslog, as the setting `log` says.

Who logs never waits for the disk or for whoever reads stderr: lines go into a bounded queue, which one
thread empties. If it does not keep up, lines are left out, and one line says how many. Lines that come
by the thousand (ends of jobs) are gathered for a moment; all others leave at once.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dispatcher.errors import StartupError
from dispatcher.settings import Settings
from dispatcher.start_report import Lines
from dispatcher.syslog import Syslog

MANY = "dispatcher.jobs"  # the logger of lines that may come by the thousand
GATHER = 0.1  # seconds that these wait for more of them
MOST = 20_000  # lines that may wait
_LAST_WORDS = 5.0  # seconds for what is left at the end of the daemon


class Target(Protocol):
    """Where lines go: (level, text without line end), oldest first. May block."""

    def write(self, lines: list[tuple[int, str]]) -> None:
        """Write lines. Raises OSError; then they are gone."""
        ...

    def close(self) -> None:
        """Let go for good; nobody writes any more."""
        ...


class OwnLog(logging.Handler):
    """The handler of the root logger, and the thread behind it."""

    def __init__(self, target: Target, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._target = target
        self._lines: list[tuple[int, str]] = []
        self._missed = 0
        self._begun = threading.Event()  # something waits
        self._urgent = threading.Event()  # and is to leave at once
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line; never waits."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - as any handler: a wrong line must not end the daemon
            self.handleError(record)
            return
        if len(self._lines) >= MOST:
            self._missed += 1
            return
        self._lines.append((record.levelno, text))
        if record.name != MANY:
            self._urgent.set()
        if not self._begun.is_set():
            self._begun.set()

    @property
    def waiting(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    def close(self) -> None:
        """Write what waits, for a few seconds at most, and end the thread."""
        self._is_over = True
        self._urgent.set()
        self._begun.set()
        self._thread.join(_LAST_WORDS)
        if not self._thread.is_alive():
            self._target.close()
        super().close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        # logging.Handler holds this one around `emit`; no line may be put into a list that was taken.
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _run(self) -> None:
        while not self._is_over or self._lines:
            self._begun.wait()
            self._begun.clear()
            self._urgent.wait(GATHER)
            self._urgent.clear()
            with self._alone():
                lines, self._lines = self._lines, []
                missed, self._missed = self._missed, 0
            if missed:
                lines.append((logging.WARNING, f"warning: {missed} lines of this log were left out"))
            if not lines:
                continue
            # Nobody can be told if the log cannot be written; the daemon goes on all the same.
            with contextlib.suppress(OSError, ValueError):
                self._target.write(lines)


class Stderr:
    """Lines on stderr as they are: daemon(8) and the journal write the time in front themselves."""

    def write(self, lines: list[tuple[int, str]]) -> None:
        """Write lines."""
        sys.stderr.write("".join(f"{text}\n" for _, text in lines))
        sys.stderr.flush()

    def close(self) -> None:
        """Leave it open: others may write there."""


class LogFile:
    """Lines with their time in a file that somebody may move away at any time. Raises StartupError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        try:
            self._open()
        except OSError as error:
            raise StartupError(
                f"cannot write the log {path}: {error.strerror}; correct log_file: in queues.yaml, "
                "or write log: stderr"
            ) from error

    def write(self, lines: list[tuple[int, str]]) -> None:
        """Append lines to the file that has the name now."""
        if self._has_moved():
            self._open()
        if self._fd is not None:
            data = memoryview("".join(f"{text}\n" for _, text in lines).encode("utf-8", "backslashreplace"))
            while data:
                data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def _has_moved(self) -> bool:
        if self._fd is None:
            return True
        ours = os.fstat(self._fd)
        try:
            there = self._path.stat()
        except OSError:
            return True
        return (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def _open(self) -> None:
        self.close()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class _Dated(logging.Formatter):
    """A line with its time, UTC, and its level: 2026-11-22T07:33:00.123Z info ready."""

    def format(self, record: logging.LogRecord) -> str:
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{whole}.{int(record.msecs):03d}Z {record.levelname.lower()} {super().format(record)}"


@contextlib.contextmanager
def keeping_log(settings: Settings) -> Iterator[OwnLog]:
    """Send what is logged where the settings say; write the rest at the end. Raises StartupError."""
    target: Target
    formatter: logging.Formatter = Lines()
    match settings.log:
        case "file":
            target, formatter = LogFile(settings.log_file), _Dated()
        case "syslog":
            target = Syslog()
        case _:
            target = Stderr()
    log = OwnLog(target, formatter)
    root = logging.getLogger()
    root.addHandler(log)
    root.setLevel(logging.INFO)
    try:
        yield log
    finally:
        log.close()
        root.removeHandler(log)
