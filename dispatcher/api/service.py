"""What clients can do, whatever protocol they speak: submit, kill, list, read, wait.

Each call checks the caller's level first and raises DispatcherError with a sentence for people.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import TypeVar

import trio

from dispatcher.access.audit import Audit
from dispatcher.access.roles import Caller, Level, require
from dispatcher.api import audited
from dispatcher.api.job_logs import JobLogs, LogPiece, LogWatch
from dispatcher.api.submissions import JobRequest, submission_of
from dispatcher.core import messages as m
from dispatcher.core.hold import AllStopped, StartAgain, StopAll
from dispatcher.core.model import SUPERVISOR, Finished, Job, Outcome, Progress
from dispatcher.engine import Engine, QueueStatus
from dispatcher.errors import DispatcherError, NotFound
from dispatcher.hub import Hub, Watchers
from dispatcher.logs.news import LogNews
from dispatcher.settings import Settings
from dispatcher.store.port import Changes, JobFilter, Page, Store

_T = TypeVar("_T")


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
        notice_accounts: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.hub = hub
        self.audit = audit or Audit(None, clock)
        self.news = news
        self._engine = engine
        self._store = store
        self._settings = settings
        self._reload = reload
        self._notice_accounts = notice_accounts
        self._clock = clock
        self._watchers = Watchers()
        self.logs = JobLogs(news, self._watchers, settings)
        hub.attach(self._watchers)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._settings()

    @property
    def store(self) -> Store:
        """The store, for queries that are answered piece by piece; whoever asks checks the access first."""
        return self._store

    @property
    def changed(self) -> int:
        """The number of the newest event."""
        return self._engine.changed

    @property
    def newest(self) -> int:
        """The highest number that a job has."""
        return self._engine.newest

    # --- changing things ----------------------------------------------------------------------

    async def submit(
        self,
        caller: Caller,
        requests: Sequence[JobRequest],
        *,
        level: Level = Level.FULL,
        refused: Sequence[tuple[str, str]] = (),
    ) -> list[m.Submitted | DispatcherError]:
        """Add jobs; one answer for each, given when all that could be added are on disk.

        `level` is what these requests need: less than FULL only where settings say so. `refused` are
        others of the same call that could not be read, with the reasons: only the audit hears of them.
        """
        prepared: list[m.Submit | DispatcherError] = []
        given: list[m.Submitted | DispatcherError] = []
        details = partial(audited.submitted, requests, prepared, given, refused)
        async with self.audit.request(caller, "submit", details):
            require(caller, level)
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

    async def kill(
        self,
        caller: Caller,
        targets: Sequence[int | str],
        *,
        reason: str = "killed",
        error: str | None = None,
        level: Level = Level.FULL,
    ) -> list[m.Killed | DispatcherError]:
        """Stop jobs; answered when the wish is saved. An unknown or finished one gives Killed(None).

        `level` is what it takes: less than FULL only where a caller stops jobs of their own. With
        `error`, JSON text, the jobs count as failed by that.
        """
        given: list[m.Killed | DispatcherError] = []
        async with self.audit.request(caller, "kill", partial(audited.killed, targets, given)):
            require(caller, level)
            now = self._clock()
            kills = [m.Kill(target, caller.name, now, reason, error) for target in targets]
            given += [_expect(answer, m.Killed) for answer in await self._engine.execute_all(kills)]
        return given

    def tell_progress(self, number: int, progress: Progress) -> None:
        """Note how far a job is, said by somebody else than its worker."""
        self._engine.post(m.Progressed(number, None, progress))

    def end_own(
        self, job: Job, outcome: Outcome, *, result: str | None = None, error: str | None = None
    ) -> None:
        """Note the end of a job that has no commands; `result` and `error` are JSON texts."""
        ended = m.JobEnded(job.number, SUPERVISOR, outcome, self._clock(), result=result, error=error)
        self._engine.post(ended)

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

    async def notice_accounts(self, caller: Caller) -> None:
        """Notice changed accounts now, and end the sessions of those."""
        require(caller, Level.FULL)
        if self._notice_accounts is not None:
            await self._notice_accounts()

    async def stop_all(
        self, caller: Caller, *, reason: str | None = None, grace: float | None = None
    ) -> tuple[Job, ...]:
        """Begin to stop every running job, and start no other one until `start_again` or the next start.

        `grace` bounds those of the queues. Answered when the wishes are saved, with those jobs.
        """
        stopped: list[Job] = []
        details = partial(audited.stopped, reason, stopped)
        async with self.audit.request(caller, "stop_jobs", details):
            require(caller, Level.FULL)
            by, why = (caller.name, "killed") if reason is None else ("", reason)
            answer = await self._engine.execute(StopAll(by, self._clock(), why, grace))
            if isinstance(answer, AllStopped):
                stopped += answer.jobs
        return tuple(stopped)

    async def start_again(self, caller: Caller) -> None:
        """Let pending jobs start again after `stop_all`."""
        async with self.audit.request(caller, "start_jobs", dict):
            require(caller, Level.FULL)
            await self._engine.execute(StartAgain(self._clock()))

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
        return await self.logs.read(job, command=command, offset=offset, limit=limit)

    async def read_log_of(self, job: Job, *, limit: int = 65536) -> LogPiece:
        """Read the beginning of the log of a job at hand; for callers that may read it already."""
        return await self.logs.read(job, limit=limit)

    @contextmanager
    def watching(self, number: int, function: Callable[[Job], None]) -> Iterator[None]:
        """Call a function with each change of a job."""
        self._watchers.add(number, function)
        try:
            yield
        finally:
            self._watchers.remove(number, function)

    def watch_log(self, number: int) -> AbstractAsyncContextManager[LogWatch]:
        """Watch a job's log: `changed` of what this gives returns when there may be more to read."""
        return self.logs.watch(number)


def _expect(answer: object, kind: type[_T]) -> _T | DispatcherError:
    if isinstance(answer, kind | DispatcherError):
        return answer
    raise TypeError(f"the engine answered {answer!r}")


__all__ = ["JobRequest", "Service"]
