"""A worker's journal: what it has done, on disk before it is told; and the lock that proves it lives.

One JSON object per line, appended, never synced. A last line without newline was cut short and
does not count. The lock is held from open to death: never a LOCK_UN, which would also release
the copy that a hand-over gave to the child.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

Record = dict[str, Any]


class Journal:
    """The journal of the worker that runs here. Made by `open_locked`."""

    def __init__(self, fd: int, worker: int) -> None:
        self._fd = fd
        self._worker = worker
        self._unwritten = bytearray()

    @classmethod
    def open_locked(cls, path: Path, worker: int) -> Self:
        """Open the journal, made with mode 0600 if it is new, and lock it for life.

        Waits for the lock: a probe holds it for an instant, and must not make a worker fail.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(fd)
            raise
        journal = cls(fd, worker)
        journal._end_cut_line()
        return journal

    def header(self, pid: int, start: int) -> None:
        """Say which process the worker is: first in an empty journal, and again after a hand-over."""
        self.write({"worker": self._worker, "pid": pid, "start": start})

    def write(self, fact: Record) -> None:
        """Append one fact. Never raises: what cannot be written stays in memory and is tried again.

        A full disk must not stop a command; the fact is sent to the supervisor all the same.
        """
        line = json.dumps(fact, separators=(",", ":"))
        self._unwritten += line.encode() + b"\n"
        self._push()

    def is_written(self) -> bool:
        """Try again what could not be written; tell whether every fact so far is in the file."""
        self._push()
        return not self._unwritten

    def empty(self) -> None:
        """Forget all facts, because each one has been acknowledged. The header must be written again."""
        self._unwritten.clear()
        # Facts that cannot be cut off now are repeated at worst, and a repeated fact is ignored.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        self._end_cut_line()

    def fileno(self) -> int:
        """Give the locked descriptor, for a hand-over."""
        return self._fd

    def close(self) -> None:
        """Close this process's copy. The lock lives on in a child that has another."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _push(self) -> None:
        # A short write leaves half a line on disk: what follows is its other half, so no line is broken.
        with contextlib.suppress(OSError):
            while self._unwritten:
                written = os.write(self._fd, self._unwritten)
                del self._unwritten[:written]

    def _end_cut_line(self) -> None:
        """Keep the next line apart from one that an earlier holder could not finish."""
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            self._unwritten += b"\n"


@dataclass(frozen=True, slots=True)
class JournalView:
    """What a dead worker's journal says of one job; `running` is (command, pid, raw start time)."""

    taken: bool
    done: bool
    facts: list[Record]
    running: tuple[int, int, int] | None


def read(path: Path) -> list[Record]:
    """Read the records of a journal in order; a missing file has none.

    Lines that are no JSON object are skipped: a journal is evidence, and part of it is better than none.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    records: list[Record] = []
    for line in raw.split(b"\n")[:-1]:  # behind the last newline: nothing, or a line cut short
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def is_locked(path: Path) -> bool:
    """Tell whether the journal's worker lives: a held lock is the only proof. A missing file is free.

    The file is opened afresh, because a lock is never refused to the descriptor that has it, and
    the probe is shared, so that two probes do not take each other for a worker.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def pid_of(records: Sequence[Record]) -> tuple[int, int] | None:
    """Tell the worker's pid and raw start time from the newest header; None if there is no header."""
    for record in reversed(records):
        match record:
            case {"worker": int(), "pid": int(pid), "start": int(start)}:
                return pid, start
    return None


def summary(records: Sequence[Record], job: int) -> JournalView:
    """Sum up what the journal says of one job."""
    facts = [record for record in records if "fact" in record and record.get("job") == job]
    taken = done = False
    running: tuple[int, int, int] | None = None
    for fact in facts:
        match fact:
            case {"fact": "taken"}:
                taken = True
            case {"fact": "started", "command": int(command), "pid": int(pid), "start": int(start)}:
                running = command, pid, start
            case {"fact": "ended"}:
                running = None
            case {"fact": "done"}:
                done = True
    return JournalView(taken, done, facts, running)
