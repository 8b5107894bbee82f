"""Open the database file: who may read it, how durable it is, which schema it has.

Every failure becomes one sentence that names the file, the reason and the next move.
"""

import os
import re
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from dispatcher.errors import StoreFailed

SCHEMA = Path(__file__).parent / "schema"
APPLICATION = 0x44495350
BUSY_SECONDS = 5.0

_NEXT_MOVE = {
    "SQLITE_FULL": "make room on its file system",
    "SQLITE_BUSY": "end the other program that has the file open",
    "SQLITE_CORRUPT": "stop the dispatcher and bring back a saved copy, or move the file away",
    "SQLITE_NOTADB": "move it away, or name another state_dir",
    "SQLITE_CONSTRAINT": "nothing of the batch was saved",
}


def failed(verb: str, path: Path, error: Exception) -> StoreFailed:
    """Make the sentence for an error of SQLite, or for content that cannot be written or read."""
    # Names are as in https://www.sqlite.org/rescode.html; the first two words are the kind.
    kind = "_".join(str(getattr(error, "sqlite_errorname", "")).split("_")[:2])
    move = _NEXT_MOVE.get(kind, "check the disk and the permissions of its directory")
    why = error.strerror if isinstance(error, OSError) else error
    return StoreFailed(f"cannot {verb} {path}: {why}; {move}")


def open_writer(path: Path, schema: Path = SCHEMA) -> sqlite3.Connection:
    """Open the file for the one writer; create it or bring its schema up to date first."""
    try:
        # SQLite gives the -wal and -shm files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connect(path, "rw")
    except (OSError, sqlite3.Error) as error:
        raise failed("open", path, error) from error
    try:
        _prepare(connection, path, schema)
    except sqlite3.Error as error:
        connection.close()
        raise failed("open", path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that can only read; the file exists by now."""
    try:
        connection = _connect(path, "rw")
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise failed("open", path, error) from error
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # isolation_level None: transactions begin and end where we say. The connection wanders
    # between threads, but a limiter lets only one have it at a time.
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, schema: Path) -> None:
    known = {int(file.stem): file for file in schema.glob("*.sql") if re.fullmatch(r"\d{4}", file.stem)}
    version = _refuse_strangers(connection, path, max(known))
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreFailed(
            f"cannot keep jobs in {path}: its file system cannot share memory between connections "
            "(no WAL); put state_dir on a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -16384")
    # A checkpoint syncs the file itself, so it should be rare; and one held reader must not leave
    # a huge file behind for ever.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    for number in sorted(known):
        if number > version:
            _upgrade(connection, known[number].read_text(encoding="utf-8"), number)
    connection.execute("INSERT OR IGNORE INTO meta (id, installation) VALUES (1, ?)", (str(uuid.uuid4()),))


def _refuse_strangers(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    # Before anything is written, or another program's file would be turned into ours.
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    with closing(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1")) as tables:
        is_new = tables.fetchone() is None and version == 0
    if application != APPLICATION and not (is_new and application == 0):
        raise StoreFailed(
            f"cannot open {path}: it is another program's database; move it away, or name another state_dir"
        )
    if version > newest:
        raise StoreFailed(
            f"cannot open {path}: a newer dispatcher wrote it (schema {version}, this one knows {newest}); "
            "install that version again, or bring back the copy made before it"
        )
    return version


def _upgrade(connection: sqlite3.Connection, script: str, number: int) -> None:
    # If it fails, the caller closes the connection, which undoes what it began.
    connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
