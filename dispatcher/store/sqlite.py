"""The store on SQLite: one writer in a thread of its own, and a few readers.

Nothing here blocks the loop, and no transaction lives over an await: each call is one hop to a
thread that begins and ends it. A held reader would let the write-ahead log grow without end.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from dispatcher.core.model import Job
from dispatcher.store import database, queries, search
from dispatcher.store.job_query import Counted, Found, JobQuery
from dispatcher.store.port import Batch, Changes, JobFilter, Page, Restored
from dispatcher.store.writer import Writer

READERS = 3

T = TypeVar("T")

# What a row or a request can be wrong with, besides SQLite's own errors: text that is no text,
# an integer that has no room, a stored record that no longer reads.
_ERRORS = (sqlite3.Error, UnicodeError, OverflowError, msgspec.MsgspecError)


async def open_store(path: Path) -> "SqliteStore":
    """Open or create the database file (mode 0600) and bring its schema up to date."""
    # Not the default limiter: all its threads may be busy with password checks.
    writing = trio.CapacityLimiter(1)
    return await trio.to_thread.run_sync(_open, path, writing, limiter=writing)


def _open(path: Path, writing: trio.CapacityLimiter) -> "SqliteStore":
    writer = Writer(database.open_writer(path))
    readers = deque[sqlite3.Connection]()
    try:
        while len(readers) < READERS:
            readers.append(database.open_reader(path))
    except BaseException:
        for connection in readers:
            connection.close()
        writer.close()
        raise
    return SqliteStore(path, writer, writing, readers)


class SqliteStore:
    """Jobs in one SQLite file; keeps the contract of `port.Store`. Use `open_store`."""

    def __init__(
        self, path: Path, writer: Writer, writing: trio.CapacityLimiter, readers: deque[sqlite3.Connection]
    ) -> None:
        self.path = path
        self._writer = writer
        self._writing = writing
        self._idle = readers
        self._reading = trio.CapacityLimiter(len(readers))
        self._is_closed = False

    async def restore(self, heads: int, *, count_start: bool = True) -> Restored:
        """Read what the engine starts from, and count this start unless told not to."""
        return await self._write(lambda: self._writer.restore(heads, count_start=count_start))

    async def commit(self, batch: Batch, loads: Sequence[tuple[str, int, int]] = ()) -> list[tuple[Job, ...]]:
        """Save a batch in one synced transaction and answer its loads."""
        return await self._write(lambda: self._writer.commit(batch, loads))

    async def find(self, targets: Sequence[int | str]) -> dict[int | str, Job]:
        """Find jobs by number, or live ones by key."""
        return await self._read(lambda connection: queries.found(connection, targets))

    async def newest(self, target: int | str) -> Job | None:
        """Find one job by number, or by key the live one, else the newest finished one."""
        return await self._read(lambda connection: queries.newest(connection, target))

    async def page(self, which: JobFilter, offset: int, limit: int) -> Page:
        """List jobs: running, pending, then finished ones."""
        return await self._read(lambda connection: queries.page(connection, which, offset, limit))

    async def live(self, queue: str, offset: int, limit: int) -> Page:
        """List the live jobs of one queue."""
        return await self.page(JobFilter(live=True, queue=queue), offset, limit)

    async def search(self, query: JobQuery, after: int | None, limit: int) -> Found:
        """Find jobs by number, piece by piece."""
        return await self._read(lambda connection: search.search(connection, query, after, limit))

    async def count(self, query: JobQuery, after: int | None) -> Counted:
        """Count jobs, piece by piece."""
        return await self._read(lambda connection: search.count(connection, query, after))

    async def methods(self) -> tuple[str, ...]:
        """Name every method that some job was called as."""
        return await self._read(search.methods)

    async def changed_since(self, number: int, limit: int) -> Changes:
        """Give each job that changed after an event."""
        return await self._read(lambda connection: queries.changed_since(connection, number, limit))

    async def forget(self, finished_before: float, limit: int) -> tuple[int, ...]:
        """Delete old finished jobs."""
        return await self._write(lambda: self._writer.forget(finished_before, limit))

    async def aclose(self) -> None:
        """Bring everything into the main file and close it; calls that run now end first."""
        if self._is_closed:
            return
        self._is_closed = True
        # Shielded without a deadline: a thread in a system call cannot be abandoned, and leaving
        # a connection open would end no sooner.
        with trio.CancelScope(shield=True):
            holds = [object() for _ in self._idle]
            for hold in holds:
                await self._reading.acquire_on_behalf_of(hold)
            # They stay in line: a late read gets SQLite's own sentence about a closed database.
            for connection in self._idle:
                connection.close()
            for hold in holds:
                self._reading.release_on_behalf_of(hold)
            await self._write(self._writer.close)

    async def _write(self, work: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                return work()
            except _ERRORS as error:
                raise database.failed("save to", self.path, error) from error

        return await trio.to_thread.run_sync(guarded, limiter=self._writing)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await trio.to_thread.run_sync(self._with_reader, work, limiter=self._reading)

    def _with_reader(self, work: Callable[[sqlite3.Connection], T]) -> T:
        # The limiter lets in as many threads as there are connections, so one is always idle.
        connection = self._idle.pop()
        try:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.rollback()
        except _ERRORS as error:
            raise database.failed("read", self.path, error) from error
        finally:
            self._idle.append(connection)
