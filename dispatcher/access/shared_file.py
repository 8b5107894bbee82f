"""A small file that other programs change too: read again when it has changed, written by one at a time."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from dispatcher.access.files import replace_file
from dispatcher.errors import SettingsError

T = TypeVar("T")

_log = logging.getLogger("dispatcher.access")


class SharedFile(Generic[T]):
    """The file at `path`. `read` makes its content, `absent` is the content of none.

    `what` names it in sentences and `remedy` says how to get at it. `on_change` is called with each
    new content.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        absent: Callable[[], T],
        on_change: Callable[[T], None],
        *,
        what: str,
        remedy: str,
    ) -> None:
        self.path = path
        self.version: tuple[int, ...] | None = None  # equal as long as the file, as last loaded, is the same
        self._read = read
        self._absent = absent
        self._on_change = on_change
        self._what = what
        self._remedy = remedy
        self._complaint = ""

    def load(self) -> None:
        """Read the file if it has changed. Raises SettingsError; what was known stays then."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self.version = None
            self._on_change(self._absent())
            return
        except OSError as error:
            raise self._cannot("read", error) from error
        version = (found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode, found.st_uid)
        if version == self.version:
            return
        try:
            content = self._read(self.path)
        except OSError as error:
            raise self._cannot("read", error) from error
        self._on_change(content)
        self.version = version

    def refresh(self) -> bool:
        """Load if the file has changed; False, with a line in the log, if that is not possible."""
        try:
            self.load()
        except SettingsError as error:
            # Asked again and again: once is enough for the log.
            if error.sentence != self._complaint:
                _log.error("%s", error.sentence)
            self._complaint = error.sentence
            return False
        self._complaint = ""
        return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Read the file, and let nobody else write it before the block has ended."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self.path.with_name(self.path.name + ".lock")
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._cannot("write", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self.load()
            yield
        finally:
            os.close(descriptor)

    def write(self, text: str) -> None:
        """Replace the content in one go, and load it. Raises SettingsError."""
        try:
            replace_file(self.path, text)
        except OSError as error:
            raise self._cannot("write", error) from error
        self.load()

    def _cannot(self, verb: str, error: OSError) -> SettingsError:
        return SettingsError(f"{self.path}: cannot {verb} {self._what}: {error.strerror}; {self._remedy}")
