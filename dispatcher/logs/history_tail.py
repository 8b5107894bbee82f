"""Follow a history as it grows: each line once, in order, over its rotation. Everything here blocks.

The file that is read is held open, so it is found again among the older ones however often it was
renamed, and after it the next one is read. What was thrown away before it was read is lost.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dispatcher.logs.history import History, is_entry

_PIECE = 1024 * 1024


class HistoryTail:
    """Gives what is new in a history; with `since` first what is there from an instant on."""

    def __init__(self, history: History, since: bytes | None = None) -> None:
        self._names = history.names
        self._since = since or b""
        self._file: BinaryIO | None = None
        self._offset = 0
        if since is None:
            self._file = next(filter(None, map(_open, self._names)), None)
            for _ in self._lines():
                pass  # it was there before

    def read(self) -> Iterator[bytes]:
        """Give the lines that came since the last call, without their ends. Raises OSError.

        Take them all: what was not taken is not given again.
        """
        if self._file is None:
            self._file = next(filter(None, map(_open, reversed(self._names))), None)
        while self._file is not None:
            yield from self._entries()
            if _inode_at(self._names[0]) == _inode(self._file):
                return
            # It was renamed, so nothing more comes into it than what has come meanwhile.
            yield from self._entries()
            newer = self._next()
            if newer is None:
                return
            self._file.close()
            self._file, self._offset = newer, 0

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _next(self) -> BinaryIO | None:
        """Open the file that was begun after ours; None if there is none yet."""
        own = _inode(self._file) if self._file is not None else 0
        while True:
            place = next((n for n, path in enumerate(self._names) if _inode_at(path) == own), None)
            # Thrown away: go on with the oldest. A name may be free for a moment while others move up.
            later = self._names[:place] if place is not None else self._names
            found = next(filter(None, map(_open, reversed(later))), None)
            if place is None or _inode_at(self._names[place]) == own:
                return found
            if found is not None:
                found.close()  # files were renamed meanwhile: it may be another one

    def _entries(self) -> Iterator[bytes]:
        return (one for one in self._lines() if is_entry(one, self._since))

    def _lines(self) -> Iterator[bytes]:
        """Give whole lines; what stands behind the last one is still being written."""
        if self._file is None:
            return
        descriptor, size = self._file.fileno(), _PIECE
        # What could not be written whole, because the disk was full, is taken back.
        self._offset = min(self._offset, os.fstat(descriptor).st_size)
        while data := os.pread(descriptor, size, self._offset):
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) < size:
                return
            size = _PIECE if end else size * 2
            self._offset += end
            yield from data[:end].splitlines()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _inode_at(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
