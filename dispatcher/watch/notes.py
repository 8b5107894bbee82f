"""Small JSON files of what a watch has to know after a restart. They block: call them in a thread."""

import logging
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from dispatcher.core.model import Value

_V = TypeVar("_V", bound=Value)

_log = logging.getLogger("dispatcher.watch")


def read_note(path: Path, kind: type[_V]) -> _V | None:
    """Read a note; None if there is none, or none that can be read, which is said."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("cannot read %s, so what it held begins anew: %s", path, error)
        return None


def write_note(path: Path, note: Value) -> None:
    """Replace a note in one go. One that cannot be written is said, and costs no more than a repetition."""
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.encode(note) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        _log.warning("cannot write %s: %s; make room in state_dir", path, error.strerror)
