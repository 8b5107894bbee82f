"""A small history: lines of JSON that are only appended to, in a few files of bounded size.

The newest file is `path`, older ones are `path.1`, `path.2` ... Each line begins with its time,
`{"at":"2026-11-22T07:33:00.123Z",`, so a span of time is found without reading the JSON.
Everything here blocks: call it in a thread. One writer at a time; readers need no care.
"""

import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_HEAD = b'{"at":"'
_TIME = slice(len(_HEAD), len(_HEAD) + len("2026-11-22T07:33:00.123Z"))


class Span(NamedTuple):
    """A span of time as lines carry it: `since` is included, `until` is not."""

    since: bytes
    until: bytes


def span(since: float, until: float) -> Span:
    """Make a span of instants, to the millisecond below."""
    return Span(stamp(since).encode(), stamp(until).encode())


def stamp(at: float) -> str:
    """Write an instant as a line carries it: UTC, milliseconds, always as long."""
    seconds, thousandths = divmod(math.floor(min(max(at, 0.0), 253_402_300_799.0) * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{thousandths:03d}Z"


def line(at: float, encoded: bytes) -> bytes:
    """Make a line of an encoded JSON object: the time comes first, whatever the object holds."""
    rest = encoded[1:]
    return b'%b%b"%b%b\n' % (_HEAD, stamp(at).encode(), b"" if rest == b"}" else b",", rest)


class History:
    """The files of one history: `files` older ones are kept beside the newest."""

    def __init__(self, path: Path, file_bytes: int, files: int) -> None:
        self.path = path
        self._file_bytes = file_bytes
        self._files = files

    @property
    def names(self) -> list[Path]:
        """The names that its files may have, the newest first."""
        return [self.path, *map(self._older, range(1, self._files + 1))]

    def append(self, lines: Sequence[bytes]) -> None:
        """Append whole lines. Raises OSError; then the file is as it was, or has some of the lines."""
        waiting = list(reversed(lines))
        while waiting:
            # Opened each time: somebody may have moved the file away.
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                piece = bytearray()
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    piece += b"\n"  # the daemon was killed while it wrote
                while waiting and self._has_room(size + len(piece), waiting[-1]):
                    piece += waiting.pop()
                _write(fd, piece, size)
            finally:
                os.close(fd)
            if waiting:
                self._rotate()

    def newest(self, which: Span, offset: int, limit_bytes: int) -> tuple[list[bytes], bool]:
        """Give lines of a span, the newest first, behind the first `offset` of them.

        At least one, and no more than `limit_bytes` in all; the flag tells whether older ones follow.
        """
        found: list[bytes] = []
        size = 0
        for one in self._backwards(which):
            if offset:
                offset -= 1
            elif found and size + len(one) > limit_bytes:
                return found, True
            else:
                found.append(one)
                size += len(one)
        return found, False

    def count(self, which: Span) -> int:
        """Count the lines of a span."""
        return sum(1 for _ in self._backwards(which))

    def forwards(self, since: bytes) -> Iterator[bytes]:
        """Give all lines from an instant on, the oldest first. Raises OSError, also if there is no file."""
        for path in reversed(self._paths()):
            for one in path.read_bytes().splitlines():
                if one[_TIME] >= since and one.startswith(_HEAD):
                    yield one

    def _has_room(self, size: int, one: bytes) -> bool:
        return size == 0 or size + len(one) <= self._file_bytes

    def _backwards(self, which: Span) -> Iterator[bytes]:
        for path in self._paths():
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            end = data.rfind(b"\n") + 1  # what stands behind it is still being written
            while end > 0:
                start = data.rfind(b"\n", 0, end - 1) + 1
                # No end at the first older line: the clock may have been set back between two.
                if which.since <= data[start + _TIME.start : start + _TIME.stop] < which.until:
                    one = data[start : end - 1]
                    if one.startswith(_HEAD) and one.endswith(b"}"):
                        yield one
                end = start

    def _paths(self) -> list[Path]:
        """Give the files, the newest first."""
        return [self.path, *(path for path in self.names[1:] if path.exists())]

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _rotate(self) -> None:
        for number in range(self._files - 1, 0, -1):
            if self._older(number).exists():
                self._older(number).replace(self._older(number + 1))
        if self._files:
            self.path.replace(self._older(1))
        else:
            self.path.unlink()


def is_entry(one: bytes, since: bytes) -> bool:
    """Tell whether this is a whole line, from an instant on."""
    return one.startswith(_HEAD) and one.endswith(b"}") and one[_TIME] >= since


def _write(fd: int, piece: bytes | bytearray, size: int) -> None:
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.ftruncate(fd, size)
        raise
