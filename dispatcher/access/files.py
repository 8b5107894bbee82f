"""Small secret files that are replaced in one go: the old one is whole until the new one is."""

import contextlib
import os
import tempfile
from pathlib import Path


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
