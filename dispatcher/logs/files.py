"""The log of one job as its worker writes it: all commands in order, each capped.

Of a command's output the first `cap` bytes and the last `tail` bytes are kept, with one line between
that names the bytes cut. The end is kept in memory and on disk at least every second.
A full disk never stops a command: what cannot be written is counted as cut, and tried again later.
Standard library only, because workers import it.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

REFRESH_SECONDS = 1.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a command's part of the log ends, and how many bytes of its output are not in it."""

    length: int
    cut: int


class LogWriter:
    """Writes the log of one job. `begin` a command, `write` its output, `end` it.

    The file is made at the first byte, mode 0600, its folder with mode 0700. `complain` is called
    once with a sentence when the log cannot be written. Never raises OSError.
    """

    def __init__(
        self,
        path: str,
        cap: int,
        tail: int,
        complain: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._cap = cap
        self._tail_cap = tail
        self._complain = complain
        self._clock = clock
        self._fd = -1
        self._end = 0  # behind the last byte that stays where it is
        self._shown = 0  # length of the line about the cut, once it is on disk behind `_end`
        self._has_line_end = True
        self._has_complained = False
        self._reset()

    def _reset(self) -> None:
        self._seen = 0  # bytes of output that the first part took, also those that were lost
        self._tail = bytearray()
        self._cut = 0  # pushed out of the tail
        self._lost = 0  # could not be written
        self._gap = 0  # those of `_lost` behind `_end`, where no line tells of them yet
        self._retry_at = 0.0
        self._refresh_at: float | None = None

    @property
    def stable(self) -> int:
        """The length up to which a follower may read; below it one number is rewritten, nothing else."""
        return self._end + self._shown

    @property
    def refresh_at(self) -> float | None:
        """When `refresh` must be called, by the clock; None while disk and memory agree."""
        return self._refresh_at

    def begin(self) -> int:
        """Start the part of the next command; return its offset."""
        return self._end

    def write(self, data: bytes) -> None:
        """Take output of the running command."""
        room = self._cap - self._seen
        if room > 0:
            first = data[:room]
            self._seen += len(first)
            self._append(first)
            data = data[room:]
        if not data:
            return
        self._tail += data
        excess = len(self._tail) - self._tail_cap
        if excess > 0:
            del self._tail[:excess]
            self._cut += excess
        if self._refresh_at is None:
            self._refresh_at = self._clock() + REFRESH_SECONDS

    def refresh(self) -> None:
        """Bring the end on disk up to date if it is time; a failure is tried again in a second."""
        if self._refresh_at is None or self._clock() < self._refresh_at:
            return
        line = self._line()
        whole = line + self._tail
        if self._write_at(whole, self._end) == len(whole):
            self._shown = len(line)
            self._refresh_at = None
        else:
            self._refresh_at = self._clock() + RETRY_SECONDS

    def end(self) -> LogEnd:
        """Finish the part of the running command; the next one's bytes start behind it."""
        line = self._line()
        whole = line + self._tail
        written = self._write_at(whole, self._end)
        cut = self._cut + self._lost
        if written < len(whole):
            cut += min(len(whole) - written, len(self._tail))
            # An earlier refresh may have left an older, longer end there.
            self._truncate(self._end + written)
        self._end += written
        if written:
            self._has_line_end = whole[written - 1 : written] == b"\n"
        self._shown = 0
        self._reset()
        return LogEnd(self._end, cut)

    def close(self) -> None:
        """Close this process's copy of the file; more output would begin it anew."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        """Write output of the first part, with a line before it if some was lost before."""
        if self._gap:
            line = self._line()
            is_early = self._clock() < self._retry_at
            if is_early or self._write_at(line, self._end) < len(line):
                self._lose(len(data))
                return
            self._end += len(line)
            self._gap = 0
            self._has_line_end = True
        written = self._write_at(data, self._end)
        self._end += written
        if written:
            self._has_line_end = data[written - 1 : written] == b"\n"
        if written < len(data):
            self._lose(len(data) - written)

    def _lose(self, count: int) -> None:
        if not self._gap or self._clock() >= self._retry_at:
            self._retry_at = self._clock() + RETRY_SECONDS
        self._lost += count
        self._gap += count

    def _line(self) -> bytes:
        """Tell people what is missing here; the width is fixed, because the number grows in place."""
        count = self._cut + self._gap
        if not count:
            return b""
        why = f"were cut here, cap {self._cap}" if self._cut else "could not be written here"
        text = f"[dispatcher: {count:012d} bytes of output {why}]\n"
        return text.encode() if self._has_line_end else b"\n" + text.encode()

    def _write_at(self, data: bytes | bytearray, offset: int) -> int:
        """Write as much as possible; return how much that was."""
        written = 0
        try:
            if data and self._fd < 0:
                self._fd = _create(self._path)
            while written < len(data):
                written += os.pwrite(self._fd, memoryview(data)[written:], offset + written)
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                self._complain(
                    f"cannot write the log {self._path}: {error.strerror}; "
                    "its command runs on, what it says now is lost; make room or repair the folder"
                )
        return written

    def _truncate(self, length: int) -> None:
        if self._fd >= 0:
            try:
                os.ftruncate(self._fd, length)
            except OSError:
                return  # already said: it is the same disk


def _create(path: str) -> int:
    """Make the file, and its folder only if that is missing: most jobs find it there."""
    # A job number never returns, so an old file of this name is nobody's.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)  # noqa: PTH103, PTH120 (no pathlib for one name)
        return os.open(path, flags, 0o600)
