"""The one connection that writes: a batch is one synced transaction, or nothing.

No trio here: `sqlite.py` calls these methods in a thread, one at a time.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from dispatcher.core.model import Job
from dispatcher.store import queries, rows
from dispatcher.store.port import Batch, Restored

T = TypeVar("T")

_ADD = """
INSERT INTO job
    (key, queue, owner, method, submitted,
    state, outcome, worker, started, finished, changed, progress, number)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
    state = excluded.state, outcome = excluded.outcome, worker = excluded.worker, started = excluded.started,
    finished = excluded.finished, changed = excluded.changed, progress = excluded.progress"""
_ADD_BODY = "INSERT OR IGNORE INTO submission (number, body) VALUES (?, ?)"
_CHANGE = """
UPDATE job SET state = ?, outcome = ?, worker = ?, started = ?, finished = ?, changed = ?, progress = ?
WHERE number = ?"""
_COUNTERS = "UPDATE meta SET next_number = max(next_number, ?), changed = max(changed, ?)"


class Writer:
    """Owns the writing connection. Raises sqlite3.Error; then nothing of the call was saved."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        meta = connection.execute(queries.META).fetchone()
        self._next_number: int = meta[2]
        self._changed: int = meta[3]

    def restore(self, heads: int, *, count_start: bool) -> Restored:
        """Count this start, if it is one, and read what the engine starts from."""

        def work() -> Restored:
            if count_start:
                self.connection.execute("UPDATE meta SET generation = generation + 1")
            return queries.restored(self.connection, heads)

        return self._transaction(work)

    def commit(self, batch: Batch, loads: Sequence[tuple[str, int, int]]) -> list[tuple[Job, ...]]:
        """Save a batch and answer its loads.

        The loads are read before the commit, so that no error can come after it.
        """

        def work() -> list[tuple[Job, ...]]:
            self._save(batch)
            return [queries.loaded(self.connection, *load) for load in loads]

        answer = self._transaction(work)
        self._next_number = max(self._next_number, batch.next_number)
        self._changed = max(self._changed, batch.changed)
        return answer

    def forget(self, finished_before: float, limit: int) -> tuple[int, ...]:
        """Delete old finished jobs and remember up to which event the record is incomplete."""

        def work() -> tuple[int, ...]:
            numbers = [(n,) for n in queries.oldest_finished(self.connection, finished_before, limit)]
            raise_first = (
                "UPDATE meta SET first_kept = max(first_kept, 1 + (SELECT changed FROM job WHERE number = ?))"
            )
            self.connection.executemany(raise_first, numbers)
            self.connection.executemany("DELETE FROM job WHERE number = ?", numbers)
            return tuple(n for (n,) in numbers)

        return self._transaction(work)

    def close(self) -> None:
        """Bring everything into the main file and close it."""
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.connection.close()

    def _transaction(self, work: Callable[[], T]) -> T:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            answer = work()
            self.connection.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back by itself (a full disk); then this does nothing.
            self.connection.rollback()
            raise
        return answer

    def _save(self, batch: Batch) -> None:
        run = self.connection
        # Known jobs first: one may end in the batch that gives its key to a new one.
        old = [job for job in batch.jobs if job.number < self._next_number]
        if old and run.executemany(_CHANGE, map(rows.changing, old)).rowcount != len(old):
            self._add(old)
        if len(old) < len(batch.jobs):
            self._add([job for job in batch.jobs if job.number >= self._next_number])
        for queue, is_paused in batch.paused.items():
            change = (
                "INSERT OR IGNORE INTO paused VALUES (?)"
                if is_paused
                else "DELETE FROM paused WHERE queue = ?"
            )
            run.execute(change, (queue,))
        if batch.next_number > self._next_number or batch.changed > self._changed:
            run.execute(_COUNTERS, (batch.next_number, batch.changed))

    def _add(self, jobs: Sequence[Job]) -> None:
        self.connection.executemany(_ADD, map(rows.added, jobs))
        self.connection.executemany(_ADD_BODY, map(rows.body, jobs))
