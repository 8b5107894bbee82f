"""The store as a dict: for tests of what stands above it. Keeps the same contract as SQLite.

It says plainly, in Python, what each query means; the contract suite compares the two.
"""

import uuid
from collections.abc import Iterable, Sequence

import trio

from dispatcher.core.model import Finished, Job, Outcome, Pending, State
from dispatcher.errors import StoreFailed
from dispatcher.store.job_query import Counted, Entry, Found, JobQuery, entry_of, method_of, remaining
from dispatcher.store.port import Batch, Changes, JobFilter, Page, Restored


class MemoryStore:
    """Jobs in memory; a second `restore` is what a restart of the daemon would see."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._paused: set[str] = set()
        self._installation = str(uuid.uuid4())
        self._generation = 0
        self._next_number = 1
        self._changed = 0
        self._first_kept = 0
        self._failures: list[str] = []
        self.commits = 0

    def fail_next(self, sentence: str) -> None:
        """Make one more commit raise StoreFailed with this sentence and save nothing."""
        self._failures.append(sentence)

    async def restore(self, heads: int, *, count_start: bool = True) -> Restored:
        """Read what the engine starts from, and count this start unless told not to."""
        await trio.lowlevel.checkpoint()
        self._generation += count_start
        waiting = [job for job in self._by_number() if _is_waiting(job)]
        queues = {job.queue for job in waiting}
        return Restored(
            installation=self._installation,
            generation=self._generation,
            next_number=self._next_number,
            changed=self._changed,
            active=tuple(job for job in self._by_number() if job.worker is not None),
            heads={queue: self._load(queue, 0, heads) for queue in queues},
            waiting={queue: sum(job.queue == queue for job in waiting) for queue in queues},
            paused=frozenset(self._paused),
        )

    async def commit(self, batch: Batch, loads: Sequence[tuple[str, int, int]] = ()) -> list[tuple[Job, ...]]:
        """Save a batch, all or nothing, and answer its loads."""
        await trio.lowlevel.checkpoint()
        self.commits += 1
        if self._failures:
            raise StoreFailed(self._failures.pop(0))
        jobs = self._jobs | {job.number: job for job in batch.jobs}
        _refuse_equal_keys(jobs.values())
        self._jobs = jobs
        for queue, is_paused in batch.paused.items():
            (self._paused.add if is_paused else self._paused.discard)(queue)
        self._next_number = max(self._next_number, batch.next_number)
        self._changed = max(self._changed, batch.changed)
        return [self._load(*load) for load in loads]

    async def find(self, targets: Sequence[int | str]) -> dict[int | str, Job]:
        """Find jobs by number, or live ones by key."""
        await trio.lowlevel.checkpoint()
        found = {target: self._find(target) for target in targets}
        return {target: job for target, job in found.items() if job is not None}

    async def newest(self, target: int | str) -> Job | None:
        """Find one job by number, or by key the live one, else the newest finished one."""
        await trio.lowlevel.checkpoint()
        live = self._find(target)
        if live is not None or isinstance(target, int):
            return live
        return next((job for job in reversed(self._by_number()) if job.key == target), None)

    async def page(self, which: JobFilter, offset: int, limit: int) -> Page:
        """List jobs: running, pending, then finished ones."""
        await trio.lowlevel.checkpoint()
        jobs = sorted((job for job in self._jobs.values() if _matches(job, which)), key=_place)
        return Page(tuple(jobs[offset : offset + limit]), len(jobs))

    async def live(self, queue: str, offset: int, limit: int) -> Page:
        """List the live jobs of one queue."""
        return await self.page(JobFilter(live=True, queue=queue), offset, limit)

    async def search(self, query: JobQuery, after: int | None, limit: int) -> Found:
        """Find jobs by number, piece by piece."""
        await trio.lowlevel.checkpoint()
        entries = self._found(query, after)
        if query.sorting is not None:
            return Found(tuple(sorted(entries, key=query.sorting.place)[:limit]), None)
        return Found(tuple(entries[:limit]), entries[limit - 1].number if len(entries) > limit else None)

    async def count(self, query: JobQuery, after: int | None) -> Counted:
        """Count jobs, all at once."""
        await trio.lowlevel.checkpoint()
        return Counted(len(self._found(query, after)), None)

    async def methods(self) -> tuple[str, ...]:
        """Name every method that some job was called as."""
        await trio.lowlevel.checkpoint()
        return tuple(sorted({method_of(job) for job in self._jobs.values()} - {""}))

    async def changed_since(self, number: int, limit: int) -> Changes:
        """Give each job that changed after an event."""
        await trio.lowlevel.checkpoint()
        jobs = sorted((job.changed, job.number) for job in self._jobs.values() if job.changed > number)
        kept = tuple(self._jobs[one] for _, one in jobs[:limit])
        return Changes(kept, self._first_kept, more=len(jobs) > limit)

    async def forget(self, finished_before: float, limit: int) -> tuple[int, ...]:
        """Delete old finished jobs."""
        await trio.lowlevel.checkpoint()
        ends = sorted((_end(job), job.number) for job in self._jobs.values() if _end(job) < finished_before)
        numbers = tuple(number for _, number in ends[:limit])
        for number in numbers:
            self._first_kept = max(self._first_kept, self._jobs.pop(number).changed + 1)
        return numbers

    async def aclose(self) -> None:
        """Keep everything: there is nothing to close."""
        await trio.lowlevel.checkpoint()

    def _by_number(self) -> list[Job]:
        return [self._jobs[number] for number in sorted(self._jobs)]

    def _found(self, query: JobQuery, after: int | None) -> list[Entry]:
        jobs = self._by_number()[:: -1 if query.newest_first else 1]
        spans = remaining(query, after)
        return [
            entry_of(job)
            for job in jobs
            if any(low <= job.number <= high for low, high in spans) and _fits(job, query)
        ]

    def _load(self, queue: str, after: int, count: int) -> tuple[Job, ...]:
        waiting = (job for job in self._by_number() if _is_waiting(job) and job.queue == queue)
        return tuple([job for job in waiting if job.number > after][:count])

    def _find(self, target: int | str) -> Job | None:
        if isinstance(target, int):
            return self._jobs.get(target)
        return next((job for job in self._jobs.values() if _is_live(job) and job.key == target), None)


def _is_live(job: Job) -> bool:
    return not isinstance(job.phase, Finished)


def _is_waiting(job: Job) -> bool:
    return isinstance(job.phase, Pending) and job.phase.worker is None


def _end(job: Job) -> float:
    """Give the instant of the end; that of a live job lies in the future."""
    return job.phase.finished_at if isinstance(job.phase, Finished) else float("inf")


def _outcome(job: Job) -> Outcome | None:
    return job.phase.outcome if isinstance(job.phase, Finished) else None


def _matches(job: Job, which: JobFilter) -> bool:
    return (
        which.live in (None, _is_live(job))
        and which.queue in (None, job.queue)
        and which.state in (None, job.state)
        and which.outcome in (None, _outcome(job))
        and (which.since is None or which.since <= _end(job))
        and (which.until is None or _end(job) < which.until)
        and which.key in (None, job.key)
    )


def _fits(job: Job, query: JobQuery) -> bool:
    entry = entry_of(job)
    return (
        (entry.state in query.live if entry.outcome is None else entry.outcome in query.outcomes)
        and (query.methods is None or entry.method in query.methods)
        and query.owner in (None, job.submission.owner)
        and _lies_in(entry.submitted_at, query.submitted)
        and _lies_in(entry.finished_at, query.finished)
    )


def _lies_in(instant: float | None, spans: Iterable[tuple[float, float]] | None) -> bool:
    if spans is None:
        return True
    return instant is not None and any(low <= instant < high for low, high in spans)


def _place(job: Job) -> tuple[int, float, int]:
    match job.state:
        case State.RUNNING:
            return (0, 0.0, job.number)
        case State.PENDING:
            return (1, 0.0, job.number)
        case State.FINISHED:
            return (2, -_end(job), -job.number)


def _refuse_equal_keys(jobs: Iterable[Job]) -> None:
    keys = [job.key for job in jobs if _is_live(job)]
    if len(keys) != len(set(keys)):
        raise StoreFailed("cannot save: two live jobs have the same key; nothing of the batch was saved")
