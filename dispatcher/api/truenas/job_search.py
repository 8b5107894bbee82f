"""Answer `core.get_jobs`: the store finds what it can, the rest is looked at page by page.

Without a limit a query is about the unfinished jobs and the newest 1,000 finished ones that match;
with one, and for `count` and `get`, about all. However many jobs there are, only a page of them and
the answer are in memory.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from dispatcher.api.truenas.conditions import asked
from dispatcher.api.truenas.fields import Path, value_at
from dispatcher.api.truenas.filters import Filters, read_filters
from dispatcher.api.truenas.job_judge import PAGE, RENDERED_PAGE, Judge, Render, Searched, Turns, Walk
from dispatcher.api.truenas.job_object import JobObject
from dispatcher.api.truenas.job_plan import (
    QUICK_FIELDS,
    Plan,
    asks_methods,
    is_quick,
    known_values,
    planned,
    view,
)
from dispatcher.api.truenas.options import Options, order_key, read_options, select
from dispatcher.api.truenas.patterns import Patterns
from dispatcher.api.truenas.problems import Mistake, invalid_params, no_match
from dispatcher.errors import InvalidRequest
from dispatcher.store.job_query import LIVE, OUTCOMES, Entry, Instants, JobQuery, Sorting

MOST_FINISHED = 1000  # without a limit
MOST_UNFINISHED = 10_000  # without a limit
MOST_SORTED = 20_000
MOST_BYTES = 1_000_000  # of an answer: a message stays below 1 MiB

_INSTANTS: dict[Path, Instants] = {
    ("time_started",): Instants.SUBMITTED,
    ("time_finished",): Instants.FINISHED,
}
_NEXT_MOVE = "use limit and offset, a filter, or select"

T = TypeVar("T")
Key = tuple[object, ...]


async def get_jobs(
    store: Searched,
    render: Render,
    patterns: Patterns,
    filters: object,
    options: object,
    *,
    owner: str | None = None,
) -> int | JobObject | list[JobObject]:
    """Answer a query over all jobs, or over those of one owner.

    Raises Problem for filters and options that are wrong and for a `get` that finds none, and
    InvalidRequest if the answer would be too long.
    """
    mistakes: list[Mistake] = []
    wanted = read_filters(filters, mistakes)
    how = read_options(options, mistakes)
    if mistakes:
        raise invalid_params(tuple(mistakes))
    async with patterns.matcher() as matcher:
        methods = await store.methods() if asks_methods(wanted) else ()
        matched = await matcher.ask(asked(wanted, known_values(wanted, methods)))
        plan = planned(wanted, methods, matched, owner=owner)
        question = _Question(store, Judge(store, render, matcher), plan, wanted, how)
        return await question.count() if how.count else await question.answer()


class _Question:
    """One query, divided into what the store answers and what is left."""

    def __init__(self, store: Searched, judge: Judge, plan: Plan, filters: Filters, options: Options) -> None:
        self._store = store
        self._judge = judge
        self._plan = plan
        self._quick = tuple(filter(is_quick, filters))
        self._options = options
        # The number is unlike any other, so what follows it in the order makes no difference.
        first = options.order_by[0] if options.order_by else None
        self._is_by_number = first is None or first.path == ("id",)
        self._newest_first = first is not None and self._is_by_number and first.descends

    async def count(self) -> int:
        """Count what matches."""
        total = 0
        if self._plan.is_exact:
            after: int | None = None
            while True:
                counted = await self._store.count(self._plan.query, after)
                total += counted.jobs
                after = counted.after
                if after is None:
                    return total
        walk = self._walk(self._plan.query)
        while not walk.is_over:
            total += len(await walk.page())
        return total

    async def answer(self) -> JobObject | list[JobObject]:
        """Give the objects that match, or the first one. Raises Problem if there is no first one."""
        options = self._options
        if options.get:
            objects = await self._objects(await self._among_all(0, 1))
            if not objects:
                raise no_match()
            return objects[0]
        if options.limit:
            return await self._objects(await self._among_all(options.offset, options.limit))
        return await self._objects((await self._among_newest())[options.offset :])

    async def _among_all(self, offset: int, limit: int) -> list[int]:
        """Give the numbers of a part of everything that matches, in order."""
        query = msgspec.structs.replace(self._plan.query, newest_first=self._newest_first)
        if self._is_by_number:
            return [entry.number for entry in await self._part(query, offset, limit)]
        if offset + limit > MOST_SORTED:
            sentence = f"only the first {MOST_SORTED} jobs in an order that is not by id can be had"
            raise InvalidRequest(f"{sentence}: lower the offset, or use a filter")
        if (sorting := self._sorting()) is not None:
            query = msgspec.structs.replace(query, sorting=sorting)
            return (await self._sorted(query, sorting, offset + limit))[offset:]
        best: list[tuple[Key, int]] = []
        walk = self._walk(query)
        while not walk.is_over:
            keyed = await self._keyed(await walk.page())
            if len(best) == offset + limit:
                keyed = [one for one in keyed if one < best[-1]]
            best = sorted([*best, *keyed])[: offset + limit]
        return [number for _, number in best[offset:]]

    def _sorting(self) -> Sorting | None:
        """Give the order if the store can sort by it."""
        order = self._options.order_by[0]
        column = _INSTANTS.get(order.path)
        if column is None or len(self._options.order_by) > 1 or not self._plan.is_exact:
            return None
        nulls_first = not order.descends if order.nulls_first is None else order.nulls_first
        return Sorting(column, order.descends, nulls_first)

    async def _sorted(self, query: JobQuery, sorting: Sorting, most: int) -> list[int]:
        """Merge the first ones of each piece of the store into the first ones of all."""
        best: list[Entry] = []
        walk = self._walk(query)
        while not walk.is_over:
            best = sorted([*best, *await walk.page(most)], key=sorting.place)[:most]
        return [entry.number for entry in best]

    async def _among_newest(self) -> list[int]:
        """Give the numbers of what a query without a limit is about, in order."""
        query = self._plan.query
        unfinished = msgspec.structs.replace(query, outcomes=query.outcomes - OUTCOMES)
        finished = msgspec.structs.replace(query, live=query.live - LIVE, newest_first=True)
        entries = await self._part(unfinished, 0, MOST_UNFINISHED + 1)
        if len(entries) > MOST_UNFINISHED:
            raise InvalidRequest(f"more than {MOST_UNFINISHED} unfinished jobs match: {_NEXT_MOVE}")
        entries += await self._part(finished, 0, MOST_FINISHED)
        if self._is_by_number:
            # A set: a job that ended between the two is in both.
            return sorted({entry.number for entry in entries}, reverse=self._newest_first)
        unique = {entry.number: entry for entry in entries}
        return [number for _, number in sorted(await self._keyed(list(unique.values())))]

    async def _part(self, query: JobQuery, offset: int, limit: int) -> list[Entry]:
        """Give a part of what matches, by number."""
        part: list[Entry] = []
        walk = self._walk(query)
        while not walk.is_over and len(part) < limit:
            entries = await walk.page(min(PAGE, offset + limit - len(part)))
            skipped = min(offset, len(entries))
            offset -= skipped
            part += entries[skipped:]
        return part[:limit]

    async def _keyed(self, entries: Sequence[Entry]) -> list[tuple[Key, int]]:
        """Put before each number what it is sorted by; equal ones stay in the order of their numbers."""
        order_by = self._options.order_by
        if all(order.path[0] in QUICK_FIELDS for order in order_by):
            subjects = {entry.number: view(entry) for entry in entries}
        else:
            subjects = {}
            for page in _pages(entries):
                subjects |= await self._judge.whole(page)
        keyed: list[tuple[Key, int]] = []
        turns = Turns()
        for number, subject in subjects.items():
            values = [value_at(subject, order.path) for order in order_by]
            keyed.append((order_key(values, order_by), number))
            if turns.is_over:
                await turns.give()
        return keyed

    async def _objects(self, numbers: Sequence[int]) -> list[JobObject]:
        """Give what is asked for of jobs. Raises InvalidRequest if that is too long for a message."""
        answer: list[JobObject] = []
        size = 0
        for page in _pages(numbers):
            # What was found may have changed since: an object that says otherwise would be a lie.
            jobs = await self._judge.jobs(page, self._quick)
            for one in await self._judge.objects(jobs, is_whole=self._plan.names_one):
                answer.append(select(one, self._options.select))
                size += len(msgspec.json.encode(answer[-1])) + 1
            if size > MOST_BYTES and not self._plan.names_one:
                raise InvalidRequest(f"the answer would be longer than {MOST_BYTES} bytes: {_NEXT_MOVE}")
        return answer

    def _walk(self, query: JobQuery) -> Walk:
        return Walk(self._store, self._judge, self._plan, query)


def _pages(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(values), RENDERED_PAGE):
        yield values[at : at + RENDERED_PAGE]
