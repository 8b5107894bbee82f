"""Where the entries of rpc/logs come from: files that are only appended to, and the store's jobs.

Each source gives entries of a span, the newest first, and counts them; so a page can be cut anywhere
and the next one goes on behind it, whatever is added meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import trio

from dispatcher.access.roles import Caller
from dispatcher.api.sysadm.log_times import Window
from dispatcher.core.model import Finished, Job, Value
from dispatcher.logs.history import History, span
from dispatcher.store.port import JobFilter, Page

_BATCH = 16  # jobs whose logs are read side by side
_decoder = msgspec.json.Decoder()

# Jobs -> of each the encoded record, as a text or as the args of its event.
Encode = Callable[[Sequence[Job]], Awaitable[Sequence[bytes]]]
ReadLine = Callable[[dict[str, object]], object]


class Entry(Value, frozen=True):
    """One entry: its instant, and what it is worth on the wire. `size` is about its length there."""

    at: float
    value: object
    size: int


class Pages(Protocol):
    """Who lists jobs."""

    async def page(self, caller: Caller, which: JobFilter, offset: int, limit: int) -> Page:
        """List jobs; finished ones newest first."""
        ...


class Source(Protocol):
    """One log."""

    async def newest(
        self, caller: Caller, window: Window, offset: int, limit_bytes: int
    ) -> tuple[list[Entry], bool]:
        """Give entries, the newest first, behind `offset` of them; the flag tells that older ones follow."""
        ...

    async def count(self, caller: Caller, window: Window) -> int:
        """Count all entries of a span."""
        ...


class HistorySource:
    """A history's lines; `read` makes the value of one, or None for a line that shows nothing."""

    def __init__(self, history: History, read: ReadLine, readers: trio.CapacityLimiter) -> None:
        self._history = history
        self._read = read
        self._readers = readers

    async def newest(
        self, caller: Caller, window: Window, offset: int, limit_bytes: int
    ) -> tuple[list[Entry], bool]:
        """Read lines, in a thread."""
        del caller
        lines, more = await trio.to_thread.run_sync(
            self._history.newest, span(*_of(window)), offset, limit_bytes, limiter=self._readers
        )
        return [self._entry(line) for line in lines], more

    async def count(self, caller: Caller, window: Window) -> int:
        """Count lines, in a thread."""
        del caller
        return await trio.to_thread.run_sync(self._history.count, span(*_of(window)), limiter=self._readers)

    def _entry(self, line: bytes) -> Entry:
        try:
            fields = _decoder.decode(line)
            at = datetime.fromisoformat(fields["at"]).replace(tzinfo=UTC).timestamp()
            return Entry(at, self._read(fields), len(line))
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
            return Entry(0.0, None, len(line))  # torn by a crash of the machine


class JobSource:
    """Finished jobs by the time of their end. `encode` is what one is worth; `as_text` keeps it a string."""

    def __init__(self, jobs: Pages, encode: Encode, *, as_text: bool) -> None:
        self._jobs = jobs
        self._encode = encode
        self._as_text = as_text

    async def newest(
        self, caller: Caller, window: Window, offset: int, limit_bytes: int
    ) -> tuple[list[Entry], bool]:
        """Read jobs from the store and their logs, a few at a time."""
        found: list[Entry] = []
        room = limit_bytes
        while True:
            page = await self._jobs.page(caller, _filter(window), offset + len(found), _BATCH)
            encoded = await self._encode(page.jobs)
            for job, record in zip(page.jobs, encoded, strict=True):
                room -= len(record)
                if room < 0 and found:
                    return found, True
                value = record.decode() if self._as_text else msgspec.Raw(record)
                found.append(Entry(_end(job), value, len(record)))
            if not page.jobs or offset + len(found) >= page.total:
                return found, False

    async def count(self, caller: Caller, window: Window) -> int:
        """Ask the store."""
        return (await self._jobs.page(caller, _filter(window), 0, 0)).total


def _of(window: Window) -> tuple[float, float]:
    return window.since, window.until


def _filter(window: Window) -> JobFilter:
    return JobFilter(live=False, since=window.since, until=window.until)


def _end(job: Job) -> float:
    return job.phase.finished_at if isinstance(job.phase, Finished) else 0.0
