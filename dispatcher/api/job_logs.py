"""Reading the logs of jobs for clients, piece by piece, while they grow."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from dispatcher.core.model import Finished, Job, Value
from dispatcher.errors import InvalidRequest, NotFound
from dispatcher.hub import Watchers
from dispatcher.logs.news import LogNews
from dispatcher.logs.reading import log_path, read_piece, size_of
from dispatcher.settings import Settings

LOG_PIECE = 1024 * 1024
LOG_READERS = 8


class LogPiece(Value, frozen=True):
    """Bytes of a log from `offset` on; `size` is how far it can be read now, `end` that no more follows."""

    data: bytes
    offset: int
    size: int
    end: bool


class JobLogs:
    """The logs of all jobs. Files are read in threads."""

    def __init__(self, news: LogNews, watchers: Watchers, settings: Callable[[], Settings]) -> None:
        self._news = news
        self._watchers = watchers
        self._settings = settings
        self._readers = trio.CapacityLimiter(LOG_READERS)

    async def read(
        self, job: Job, *, command: int | None = None, offset: int = 0, limit: int = 65536
    ) -> LogPiece:
        """Read a piece of a log, or of one command's part of it; for callers that may read it already.

        Offsets count from the start of what is read: the whole log, or that command's part.
        """
        if offset < 0 or limit < 0:
            raise InvalidRequest("an offset and a limit are not below 0")
        start, stop = await self._range(job, command)
        is_over = isinstance(job.phase, Finished) or (
            command is not None and command < len(job.runs) and job.runs[command].end is not None
        )
        begin = min(start + offset, stop)
        end = min(stop, begin + min(limit, LOG_PIECE))
        data = await self.read_bytes(job.number, begin, end)
        return LogPiece(data, begin - start, stop - start, end=is_over and begin + len(data) >= stop)

    async def read_bytes(self, number: int, start: int, end: int) -> bytes:
        """Read bytes of a job's log file, in a thread."""
        path = log_path(self._settings().log_dir, number)
        return await trio.to_thread.run_sync(read_piece, path, start, end, limiter=self._readers)

    async def _range(self, job: Job, command: int | None) -> tuple[int, int]:
        """Give the bytes of a log that can be read now, of one command or of all."""
        if command is not None and not 0 <= command < len(job.commands):
            raise NotFound(f"job {job.number} has commands 1 to {len(job.commands)}, not {command + 1}")
        if command is None:
            return 0, await self._length(job)
        if command >= len(job.runs):
            return 0, 0
        run = job.runs[command]
        stop = run.end.log_end if run.end is not None else await self._length(job)
        return run.log_start, max(run.log_start, stop)

    async def _length(self, job: Job) -> int:
        ends = [run.end.log_end for run in job.runs if run.end is not None]
        if isinstance(job.phase, Finished):
            return max(ends, default=0)
        heard = self._news.length(job.number)
        if heard is not None or not job.runs:
            return max([*ends, heard or 0])
        # A job from before this start of the daemon, whose worker has not reported yet. Only the first
        # part of what its command writes is sure to stay: the worker rewrites what is behind the cap.
        path = log_path(self._settings().log_dir, job.number)
        size = await trio.to_thread.run_sync(size_of, path, limiter=self._readers)
        begin = max([*ends, job.runs[-1].log_start])
        return max(begin, min(size, begin + self._settings().limits.log_cap_bytes))

    @asynccontextmanager
    async def watch(self, number: int) -> AsyncIterator["LogWatch"]:
        """Watch a job's log: `changed` of what this gives returns when there may be more to read."""
        watch = LogWatch()
        self._news.subscribe(number, watch.note_length)
        self._watchers.add(number, watch.note_job)
        try:
            yield watch
        finally:
            self._news.unsubscribe(number, watch.note_length)
            self._watchers.remove(number, watch.note_job)


class LogWatch:
    """Tells when there may be more to read in one log, or its job has changed."""

    def __init__(self) -> None:
        self._event = trio.Event()

    async def changed(self) -> None:
        """Return when something came since the last call."""
        await self._event.wait()
        self._event = trio.Event()

    def note_length(self, _length: int) -> None:
        """Take news of a longer log."""
        self._event.set()

    def note_job(self, _job: Job) -> None:
        """Take a change of the job."""
        self._event.set()
