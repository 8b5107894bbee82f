"""Hold filters against jobs, page by page, so that everybody else gets a turn every few milliseconds.

What the store knows of a job is judged from its entry; only what no column tells needs the job as
clients see it.
"""

from collections.abc import Sequence
from typing import Protocol

import trio

from dispatcher.api.truenas.conditions import asked, holds
from dispatcher.api.truenas.filters import Filters
from dispatcher.api.truenas.job_object import JobObject
from dispatcher.api.truenas.job_plan import Plan, view
from dispatcher.api.truenas.patterns import Matcher
from dispatcher.core.model import Job
from dispatcher.store.job_query import Counted, Entry, Found, JobQuery, entry_of

PAGE = 1000
RENDERED_PAGE = 100
_TURN_SECONDS = 0.003


class Searched(Protocol):
    """The part of the store that a query needs."""

    async def search(self, query: JobQuery, after: int | None, limit: int) -> Found:
        """Find entries by number, piece by piece."""
        ...

    async def count(self, query: JobQuery, after: int | None) -> Counted:
        """Count jobs, piece by piece."""
        ...

    async def methods(self) -> tuple[str, ...]:
        """Name every method that some job was called as."""
        ...

    async def find(self, targets: Sequence[int | str]) -> dict[int | str, Job]:
        """Read whole jobs by number; absent ones are left out."""
        ...


class Render(Protocol):
    """Makes jobs the objects that clients see."""

    async def __call__(self, jobs: Sequence[Job], *, is_whole: bool) -> list[JobObject]:
        """Give one object for each job, in their order; nothing is cut if `is_whole`."""
        ...


class Turns:
    """Tells when it is time to let others have their turn."""

    def __init__(self) -> None:
        self._begun = trio.current_time()

    @property
    def is_over(self) -> bool:
        """Whether this turn has lasted long enough."""
        return trio.current_time() - self._begun > _TURN_SECONDS

    async def give(self) -> None:
        """Let everybody else go first."""
        await trio.lowlevel.checkpoint()
        self._begun = trio.current_time()


class Judge:
    """Holds filters against the jobs of one query."""

    def __init__(self, store: Searched, render: Render, matcher: Matcher) -> None:
        self._store = store
        self._render = render
        self._matcher = matcher

    async def verdicts(self, filters: Filters, subjects: Sequence[object]) -> list[bool]:
        """Tell of each object whether all filters hold."""
        if not filters:
            return [True] * len(subjects)
        matched = await self._matcher.ask(asked(filters, subjects))
        turns = Turns()
        verdicts = []
        for one in subjects:
            verdicts.append(holds(filters, one, matched))
            if turns.is_over:
                await turns.give()
        return verdicts

    async def jobs(self, numbers: Sequence[int], filters: Filters) -> list[Job]:
        """Read jobs, and leave out those of which filters on quick fields do not hold any more."""
        found = await self._store.find(numbers)
        jobs = [found[number] for number in numbers if number in found]
        verdicts = await self.verdicts(filters, [view(entry_of(job)) for job in jobs])
        return [job for job, holds_now in zip(jobs, verdicts, strict=True) if holds_now]

    async def objects(self, jobs: Sequence[Job], *, is_whole: bool) -> list[JobObject]:
        """Give the objects of jobs."""
        return await self._render(jobs, is_whole=is_whole) if jobs else []

    async def whole(self, entries: Sequence[Entry]) -> dict[int, JobObject]:
        """Give the whole objects of entries, by number; those of jobs that are gone are left out."""
        jobs = await self.jobs([entry.number for entry in entries], ())
        objects = await self.objects(jobs, is_whole=True)
        return {job.number: one for job, one in zip(jobs, objects, strict=True)}


class Walk:
    """Goes through the jobs that match a plan, in the order of their numbers, page by page."""

    def __init__(self, store: Searched, judge: Judge, plan: Plan, query: JobQuery) -> None:
        self._store = store
        self._judge = judge
        self._plan = plan
        self._query = query
        self._after: int | None = None
        self.is_over = False

    async def page(self, most: int = PAGE) -> list[Entry]:
        """Give the next entries that match: at most so many, often fewer, perhaps none."""
        limit = most if self._plan.is_exact else RENDERED_PAGE if self._plan.slow else PAGE
        found = await self._store.search(self._query, self._after, limit)
        self._after = found.after
        self.is_over = found.after is None
        entries = list(found.entries)
        if self._plan.quick:
            verdicts = await self._judge.verdicts(self._plan.quick, list(map(view, entries)))
            entries = [entry for entry, holds_now in zip(entries, verdicts, strict=True) if holds_now]
        if self._plan.slow:
            objects = await self._judge.whole(entries)
            entries = [entry for entry in entries if entry.number in objects]
            verdicts = await self._judge.verdicts(
                self._plan.slow, [objects[entry.number] for entry in entries]
            )
            entries = [entry for entry, holds_now in zip(entries, verdicts, strict=True) if holds_now]
        return entries
