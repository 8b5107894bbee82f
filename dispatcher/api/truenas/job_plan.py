"""What of a query over jobs the store can answer, and what must be looked at job by job. Pure.

Filters on the number, the state, the method and the times become a `JobQuery`, which finds exactly
the jobs that pass them. Every other filter is kept: `quick` ones need an entry of the store only, the
others the job as clients see it.
"""

import math
from collections.abc import Collection, Iterable

from dispatcher.api.truenas import spans
from dispatcher.api.truenas.conditions import NOTHING, Matched, holds
from dispatcher.api.truenas.filters import Condition, Filter, Filters, fields_of
from dispatcher.api.truenas.job_object import RUN, JobObject
from dispatcher.api.truenas.spans import Spans
from dispatcher.api.truenas.wrapped import instant
from dispatcher.core.model import Outcome, State, Value
from dispatcher.store.job_query import LIVE, OUTCOMES, Entry, JobQuery

QUICK_FIELDS = frozenset(("id", "state", "method", "time_started", "time_finished"))
_MOST_SPANS = 16  # of instants; more would make long SQL
_STATE_OF = {
    State.PENDING: "WAITING",
    State.RUNNING: "RUNNING",
    Outcome.SUCCESS: "SUCCESS",
    Outcome.FAILED: "FAILED",
    Outcome.KILLED: "ABORTED",
    Outcome.TIMED_OUT: "FAILED",
    Outcome.LOST: "FAILED",
    Outcome.SKIPPED: "FAILED",
}
_STATES: list[JobObject] = [{"state": state} for state in sorted(set(_STATE_OF.values()))]


class Plan(Value, frozen=True):
    """The question to the store, and the filters that are left after it."""

    query: JobQuery
    quick: Filters = ()
    slow: Filters = ()

    @property
    def is_exact(self) -> bool:
        """Whether the store alone decides."""
        return not self.quick and not self.slow

    @property
    def names_one(self) -> bool:
        """Whether the query is about one job, by its number."""
        return len(self.query.numbers) == 1 and self.query.numbers[0][0] == self.query.numbers[0][1]


def view(entry: Entry) -> JobObject:
    """Give the part of a job's object that an entry tells."""
    end = entry.finished_at
    return {
        "id": entry.number,
        "state": _STATE_OF[entry.state if entry.outcome is None else entry.outcome],
        "method": entry.method or RUN,
        "time_started": instant(entry.submitted_at),
        "time_finished": None if end is None else instant(end),
    }


def is_quick(one: Filter) -> bool:
    """Tell whether the view of an entry is enough to judge."""
    return fields_of(one) <= QUICK_FIELDS


def asks_methods(filters: Filters) -> bool:
    """Tell whether a plan needs to know which methods there are."""
    return any(fields_of(one) == {"method"} for one in filters)


def known_values(filters: Filters, methods: Iterable[str]) -> list[JobObject]:
    """Give the objects by which `planned` judges: their patterns must be matched before."""
    judged = [one for one in filters if fields_of(one) in ({"state"}, {"method"})]
    return [*_STATES, *_method_views(methods)] if judged else []


def planned(
    filters: Filters, methods: Collection[str], matched: Matched = NOTHING, *, owner: str | None = None
) -> Plan:
    """Divide filters; `methods` are those of the store, if `asks_methods`."""
    query = _Query(owner)
    quick: list[Filter] = []
    slow: list[Filter] = []
    for one in filters:
        if not query.takes(one, methods, matched):
            (quick if is_quick(one) else slow).append(one)
    return Plan(query.given(), tuple(quick), tuple(slow))


class _Query:
    """A `JobQuery` in the making: each filter that it takes narrows it."""

    def __init__(self, owner: str | None) -> None:
        self._owner = owner
        self._numbers: Spans = JobQuery().numbers
        self._states = frozenset(_STATE_OF.values())
        self._methods: frozenset[str] | None = None
        self._is_live: frozenset[bool] = frozenset((True, False))
        self._times: dict[str, Spans] = {}

    def takes(self, one: Filter, methods: Collection[str], matched: Matched) -> bool:
        """Narrow the query by a filter; False if that cannot be done."""
        match sorted(fields_of(one)):
            case ["state"]:
                self._states &= {str(each["state"]) for each in _STATES if holds((one,), each, matched)}
            case ["method"]:
                passing = {
                    str(each["method"]) for each in _method_views(methods) if holds((one,), each, matched)
                }
                self._methods = frozenset(passing if self._methods is None else self._methods & passing)
            case ["id"]:
                return self._takes_numbers(spans.numbers_of(one))
            case [("time_started" | "time_finished") as field]:
                return self._takes_time(field, one)
            case _:
                return False
        return True

    def given(self) -> JobQuery:
        """Give the query."""
        outcomes = {one for one in OUTCOMES if _STATE_OF[one] in self._states and False in self._is_live}
        live = {one for one in LIVE if _STATE_OF[one] in self._states and True in self._is_live}
        return JobQuery(
            numbers=self._numbers,
            live=frozenset(live),
            outcomes=frozenset(outcomes),
            methods=self._methods if self._methods is None else frozenset(_stored(self._methods)),
            owner=self._owner,
            submitted=_seconds(self._times.get("time_started")),
            finished=_seconds(self._times.get("time_finished")),
        )

    def _takes_numbers(self, numbers: Spans | None) -> bool:
        if numbers is not None:
            self._numbers = spans.both(self._numbers, numbers)
        return numbers is not None

    def _takes_time(self, field: str, one: Filter) -> bool:
        null = (Condition((field,), "=", None), Condition((field,), "!=", None))
        if field == "time_finished" and one in null:
            self._is_live &= {one == null[0]}
            return True
        instants = spans.milliseconds_of(one)
        if instants is None:
            return False
        instants = spans.both(self._times.get(field, spans.ALL), instants)
        if len(instants) > _MOST_SPANS:
            return False
        self._times[field] = instants
        if field == "time_finished":
            self._is_live &= {False}
        return True


def _method_views(methods: Iterable[str]) -> list[JobObject]:
    return [{"method": name} for name in dict.fromkeys((RUN, *methods))]


def _stored(methods: Iterable[str]) -> Iterable[str]:
    """Name methods as the store does: it has no name for a job that no method made."""
    for name in methods:
        yield name
        if name == RUN:
            yield ""


def _seconds(instants: Spans | None) -> tuple[tuple[float, float], ...] | None:
    if instants is None:
        return None
    return tuple((_first_second(low), _first_second(high + 1)) for low, high in instants)


def _first_second(milliseconds: int) -> float:
    """Give the lowest float of seconds that is shown as so many milliseconds or more."""
    if abs(milliseconds) >= spans.ALL[0][1]:
        return math.copysign(math.inf, milliseconds)
    second = (milliseconds - 0.5) / 1000
    while instant(second)["$date"] >= milliseconds:
        second = math.nextafter(second, -math.inf)
    while instant(second)["$date"] < milliseconds:
        second = math.nextafter(second, math.inf)
    return second
