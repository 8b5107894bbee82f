"""The daemon, with what its database does counted by SQLite itself: python -m tests.acceptance.counting_daemon ...

`DISPATCHER_COUNTS` names a folder. `counts` there holds two numbers, kept up to date: instructions of
SQLite's machine and rows that came out; `statements` holds each statement that was run.
"""

import mmap
import os
import sqlite3
import struct
import sys
from pathlib import Path
from typing import NamedTuple

from dispatcher.cli import main

VARIABLE = "DISPATCHER_COUNTS"
_NUMBERS = struct.Struct("QQ")


class Counts(NamedTuple):
    """How much the database has worked since the start."""

    steps: int
    rows: int


def counts(folder: Path) -> Counts:
    """Read the numbers that a counting daemon keeps."""
    return Counts(*_NUMBERS.unpack((folder / "counts").read_bytes()))


def _count_in(folder: Path) -> None:
    with (folder / "counts").open("w+b") as file:
        file.truncate(_NUMBERS.size)
        numbers = memoryview(mmap.mmap(file.fileno(), _NUMBERS.size)).cast("Q")
    statements = (folder / "statements").open("ab", buffering=0)
    connect = sqlite3.connect

    def step() -> None:
        numbers[0] += 1

    def row(_cursor: sqlite3.Cursor, values: tuple[object, ...]) -> tuple[object, ...]:
        numbers[1] += 1
        return values

    def counted(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        connection.set_progress_handler(step, 1)
        connection.set_trace_callback(lambda sql: statements.write(sql.encode() + b"\0") and None)
        connection.row_factory = row
        return connection

    sqlite3.connect = counted  # type: ignore[assignment]


if __name__ == "__main__":
    _count_in(Path(os.environ[VARIABLE]))
    sys.exit(main())
