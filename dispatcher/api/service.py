"""What clients can do, whatever protocol they speak: submit, kill, list, read, wait.

Each call checks the caller's level first and raises DispatcherError with a sentence for people.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import trio

from dispatcher.access.audit import Audit
from dispatcher.access.roles import Caller, Level, require
from dispatcher.api import audited
from dispatcher.api.submissions import JobRequest, submission_of
from dispatcher.core import messages as m
from dispatcher.core.model import Finished, Job, Value
from dispatcher.engine import Engine, QueueStatus
from dispatcher.errors import DispatcherError, InvalidRequest, NotFound
from dispatcher.hub import Hub, Watchers
from dispatcher.logs.news import LogNews
from dispatcher.logs.reading import log_path, read_piece, size_of
from dispatcher.settings import Settings
from dispatcher.store.port import Changes, JobFilter, Page, Store

LOG_PIECE = 1024 * 1024
LOG_READERS = 8

_T = TypeVar("_T")


class LogPiece(Value, frozen=True):
    """Bytes of a log from `offset` on; `size` is how far it can be read now, `end` that no more follows."""

    data: bytes
    offset: int
    size: int
    end: bool


class Service:
    """The use cases. One object for all sessions of all protocols."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        hub: Hub,
        news: LogNews,
        *,
        settings: Callable[[], Settings],
        reload: Callable[[], Awaitable[list[str]]],
        clock: Callable[[], float],
        audit: Audit | None = None,
    ) -> None:
        self.hub = hub
        self.audit = audit or Audit(None, clock)
        self.news = news
        self._engine = engine
        self._store = store
        self._settings = settings
        self._reload = reload
        self._clock = clock
        self._watchers = Watchers()
        self._readers = trio.CapacityLimiter(LOG_READERS)
        hub.attach(self._watchers)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings()

    @property
    def changed(self) -> int:
        """The number of the newest event."""
        return self._engine.changed

    # --- changing things ----------------------------------------------------------------------

    async def submit(
        self, caller: Caller, requests: Sequence[JobRequest]
    ) -> list[m.Submitted | DispatcherError]:
        """Add jobs; one answer for each, given when all that could be added are on disk."""
        prepared: list[m.Submit | DispatcherError] = []
        given: list[m.Submitted | DispatcherError] = []
        details = partial(audited.submitted, requests, prepared, given)
        async with self.audit.request(caller, "submit", details):
            require(caller, Level.FULL)
            now = self._clock()
            for request in requests:
                try:
                    prepared.append(m.Submit(submission_of(request, caller, self.settings), now))
                except DispatcherError as error:
                    prepared.append(error)
            good = [one for one in prepared if isinstance(one, m.Submit)]
            answers = iter(await self._engine.execute_all(good))
            given += [
                one if isinstance(one, DispatcherError) else _expect(next(answers), m.Submitted)
                for one in prepared
            ]
        return given

    async def kill(self, caller: Caller, targets: Sequence[int | str]) -> list[m.Killed | DispatcherError]:
        """Stop jobs; answered when the wish is saved. An unknown or finished one gives Killed(None)."""
        given: list[m.Killed | DispatcherError] = []
        async with self.audit.request(caller, "kill", partial(audited.killed, targets, given)):
            require(caller, Level.FULL)
            now = self._clock()
            kills = [m.Kill(target, caller.name, now) for target in targets]
            given += [_expect(answer, m.Killed) for answer in await self._engine.execute_all(kills)]
        return given

    async def pause(self, caller: Caller, queue: str) -> None:
        """Start no further job of a queue, over restarts too, until it is resumed."""
        async with self.audit.request(caller, "pause", lambda: {"queue": queue}):
            require(caller, Level.FULL)
            await self._engine.execute(m.Pause(queue))

    async def resume(self, caller: Caller, queue: str) -> None:
        """Start jobs of a paused queue again."""
        async with self.audit.request(caller, "resume", lambda: {"queue": queue}):
            require(caller, Level.FULL)
            await self._engine.execute(m.Resume(queue, self._clock()))

    async def reload(self, caller: Caller) -> list[str]:
        """Read the settings again; give what changed, in sentences."""
        changes: list[str] = []
        async with self.audit.request(caller, "reload", lambda: {"changes": changes}):
            require(caller, Level.FULL)
            changes += await self._reload()
        return changes

    # --- looking ------------------------------------------------------------------------------

    async def show(self, caller: Caller, target: int | str) -> Job:
        """Give one job: by number, or by key the live one or else the newest finished one."""
        require(caller, Level.READ)
        job = await self._store.newest(target)
        if job is None:
            kind = f"number {target}" if isinstance(target, int) else f"key {target!r}"
            raise NotFound(f"there is no job with {kind}; dispatcher list --all shows what there is")
        return job

    async def page(self, caller: Caller, which: JobFilter, offset: int, limit: int) -> Page:
        """List jobs that match."""
        require(caller, Level.READ)
        return await self._store.page(which, offset, limit)

    async def live(self, caller: Caller, queue: str, offset: int, limit: int) -> Page:
        """List the running and pending jobs of one queue in starting order."""
        require(caller, Level.READ)
        return await self._store.live(queue, offset, limit)

    async def changed_since(self, caller: Caller, number: int, limit: int) -> Changes:
        """Give the newest record of each job that changed after event `number`."""
        require(caller, Level.READ)
        return await self._store.changed_since(number, limit)

    async def queues(self, caller: Caller) -> list[QueueStatus]:
        """Say how each queue stands."""
        require(caller, Level.READ)
        return self._engine.queues

    async def wait(self, caller: Caller, target: int | str) -> Job:
        """Return a job when it is finished."""
        job = await self.show(caller, target)
        changed = trio.Event()

        def note(newer: Job) -> None:
            nonlocal job
            # What is read may be older than what was told while it was read.
            if newer.changed >= job.changed:
                job = newer
                changed.set()

        self._watchers.add(job.number, note)
        try:
            note(await self.show(caller, job.number))  # what happened before we watched
            while not isinstance(job.phase, Finished):
                await changed.wait()
                changed = trio.Event()
            return job
        finally:
            self._watchers.remove(job.number, note)

    # --- logs ---------------------------------------------------------------------------------

    async def read_log(
        self,
        caller: Caller,
        target: int | str,
        *,
        command: int | None = None,
        offset: int = 0,
        limit: int = 65536,
    ) -> LogPiece:
        """Read a piece of a job's log, or of one command's part of it (`command` counts from 0).

        Offsets count from the start of what is read: the whole log, or that command's part.
        """
        job = await self.show(caller, target)
        return await self.read_log_of(job, command=command, offset=offset, limit=limit)

    async def read_log_of(
        self, job: Job, *, command: int | None = None, offset: int = 0, limit: int = 65536
    ) -> LogPiece:
        """Read a piece of the log of a job at hand; for callers that may read it already."""
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
        path = log_path(self.settings.log_dir, number)
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
        heard = self.news.length(job.number)
        if heard is not None or not job.runs:
            return max([*ends, heard or 0])
        # A job from before this start of the daemon, whose worker has not reported yet. Only the first
        # part of what its command writes is sure to stay: the worker rewrites what is behind the cap.
        path = log_path(self.settings.log_dir, job.number)
        size = await trio.to_thread.run_sync(size_of, path, limiter=self._readers)
        begin = max([*ends, job.runs[-1].log_start])
        return max(begin, min(size, begin + self.settings.limits.log_cap_bytes))

    @asynccontextmanager
    async def watch_log(self, number: int) -> AsyncIterator["LogWatch"]:
        """Watch a job's log: `changed` of what this gives returns when there may be more to read."""
        watch = LogWatch()
        self.news.subscribe(number, watch.note_length)
        self._watchers.add(number, watch.note_job)
        try:
            yield watch
        finally:
            self.news.unsubscribe(number, watch.note_length)
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


def _expect(answer: object, kind: type[_T]) -> _T | DispatcherError:
    if isinstance(answer, kind | DispatcherError):
        return answer
    raise TypeError(f"the engine answered {answer!r}")


__all__ = ["JobRequest", "LogPiece", "LogWatch", "Service"]
