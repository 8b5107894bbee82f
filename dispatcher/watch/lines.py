"""Follow a text file that grows: each line once, over rotation, truncation and restarts. Blocks.

By stat and read: FreeBSD tells of changes only to those who hold the file open, Linux in another way,
and both say nothing of network file systems. The last bytes before the offset are remembered, so a file
that was emptied and has grown again, or has the number of an old one, is not taken for that one.
"""

import os
from pathlib import Path
from typing import BinaryIO

from dispatcher.core.model import Value

MARK = 64
PIECE = 1024 * 1024
LONGEST = 64 * 1024  # of a line; what is longer is no line of these files


class Place(Value, frozen=True):
    """How far a file was read: its inode, the offset, and the bytes before it (as Latin-1)."""

    inode: int = 0
    offset: int = 0
    mark: str = ""


class Follower:
    """Follows `path` from a place on; without one from the beginning."""

    def __init__(self, path: Path, place: Place | None = None) -> None:
        self.path = path
        self.place = place or Place()
        self._file: BinaryIO | None = None

    def skip_to_tail(self, size: int) -> None:
        """Begin with the last whole lines of about `size` bytes."""
        with self.path.open("rb", buffering=0) as file:
            start = max(0, os.fstat(file.fileno()).st_size - size)
            begin = os.pread(file.fileno(), LONGEST, start).find(b"\n") + 1 if start else 0
            self.place = Place(os.fstat(file.fileno()).st_ino, start + begin)

    def read(self) -> list[str]:
        """Give the whole lines that came since the last call. Raises OSError; no file is no line."""
        lines: list[str] = []
        try:
            found = self.path.stat()
        except FileNotFoundError:
            found = None
        if self._file is not None and (found is None or os.fstat(self._file.fileno()).st_ino != found.st_ino):
            lines += self._rest(self._file)  # it was renamed: what came before that is in it
            self.close()
            self.place = Place()
        if found is None:
            return lines
        if self._file is None:
            lines += self._open(found.st_ino)
        if self._file is not None and not self._is_the_same(self._file):
            self.place = Place(found.st_ino)
        return lines + (self._rest(self._file) if self._file is not None else [])

    def unfinished(self) -> str:
        """Give what stands behind the last whole line."""
        if self._file is None:
            return ""
        return os.pread(self._file.fileno(), LONGEST, self.place.offset).decode("utf-8", "replace")

    def close(self) -> None:
        """Close the file; the place is kept."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, inode: int) -> list[str]:
        lines: list[str] = []
        if self.place.inode not in (0, inode):
            lines = self._from_rotated()
            self.place = Place(inode)
        self._file = self.path.open("rb", buffering=0)
        self.place = Place(os.fstat(self._file.fileno()).st_ino, self.place.offset, self.place.mark)
        return lines

    def _from_rotated(self) -> list[str]:
        """Read what a file that was rotated while nobody followed still had to say."""
        for suffix in (".0", ".1"):  # newsyslog's name and logrotate's
            old = self.path.with_name(self.path.name + suffix)
            try:
                with old.open("rb", buffering=0) as file:
                    if os.fstat(file.fileno()).st_ino == self.place.inode and self._is_the_same(file):
                        return self._rest(file)
            except FileNotFoundError:
                continue
        return []

    def _is_the_same(self, file: BinaryIO) -> bool:
        mark = self.place.mark.encode("latin-1")
        return os.pread(file.fileno(), len(mark), self.place.offset - len(mark)) == mark

    def _rest(self, file: BinaryIO) -> list[str]:
        lines: list[str] = []
        while True:
            data = os.pread(file.fileno(), PIECE, self.place.offset)
            end = data.rfind(b"\n") + 1
            if end == 0 and len(data) < PIECE:
                break
            whole = data[:end] or data
            lines += [one.decode("utf-8", "replace") for one in whole.split(b"\n") if 0 < len(one) <= LONGEST]
            seen = self.place.mark.encode("latin-1") + whole
            self.place = Place(
                self.place.inode, self.place.offset + len(whole), seen[-MARK:].decode("latin-1")
            )
        return lines
