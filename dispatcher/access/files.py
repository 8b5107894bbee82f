"""Small secret files: trusted only if nobody else can read them, and replaced in one go.

The old one is whole until the new one is.
"""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from dispatcher.errors import SettingsError


def require_private(path: Path, found: os.stat_result, what: str, hint: str) -> None:
    """Raise SettingsError if somebody else could read or write the file; `hint` if it is none at all."""
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(f"{path}: cannot use {what}: it is no file; {hint}")
    if found.st_mode & 0o077:
        raise SettingsError(f"{path}: cannot use {what}: others may read or write the file; chmod 600 {path}")
    if found.st_uid not in (0, os.geteuid()):
        raise SettingsError(
            f"{path}: cannot use {what}: the file belongs to uid {found.st_uid};"
            " chown it to the daemon's user"
        )


def replace_file(path: Path, text: str) -> None:
    """Write a file that only we may read, and sync it. Raises OSError; the old file stays then."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it may be the state directory
    # mkstemp makes the file with mode 0600, so there is no moment in which others may read it.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
