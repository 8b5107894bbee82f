"""Sets of whole numbers as spans, and the set that a filter on a number or an instant leaves. Pure.

Spans have both ends included, and are ascending and apart. Instants are whole milliseconds.
"""

import math
from collections.abc import Callable, Iterable

from dispatcher.api.truenas.filters import AnyOf, Condition, Filter, Instant
from dispatcher.store.job_query import ANY_NUMBER

Spans = tuple[tuple[int, int], ...]

ALL: Spans = ((-ANY_NUMBER[1], ANY_NUMBER[1]),)
NONE: Spans = ()


def either(one: Spans, other: Spans) -> Spans:
    """Give what is in at least one of two sets."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted((*one, *other)):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def both(one: Spans, other: Spans) -> Spans:
    """Give what is in both of two sets."""
    left, right = list(one), list(other)
    shared: list[tuple[int, int]] = []
    at, there = 0, 0
    while at < len(left) and there < len(right):
        low, high = max(left[at][0], right[there][0]), min(left[at][1], right[there][1])
        if low <= high:
            shared.append((low, high))
        if left[at][1] < right[there][1]:
            at += 1
        else:
            there += 1
    return tuple(shared)


def outside(one: Spans) -> Spans:
    """Give what is not in a set."""
    (lowest, highest), next_low = ALL[0], ALL[0][0]
    gaps: list[tuple[int, int]] = []
    for low, high in one:
        if low > next_low:
            gaps.append((next_low, low - 1))
        next_low = max(next_low, high + 1)
    if next_low <= highest:
        gaps.append((max(next_low, lowest), highest))
    return tuple(gaps)


def numbers_of(one: Filter) -> Spans | None:
    """Give the numbers that a filter on a number lets pass; None if spans cannot tell."""
    return _spans_of(one, _number_spans)


def milliseconds_of(one: Filter) -> Spans | None:
    """Give the instants that a filter on `{"$date": ...}` lets pass; None if spans cannot tell."""
    return _spans_of(one, _instant_spans)


def _spans_of(one: Filter, leaf: Callable[[Condition], Spans | None]) -> Spans | None:
    if isinstance(one, Condition):
        return leaf(one) if len(one.path) == 1 else None
    return _any_of(one, leaf)


def _any_of(one: AnyOf, leaf: Callable[[Condition], Spans | None]) -> Spans | None:
    found = NONE
    for branch in one.branches:
        shared = ALL
        for part in branch:
            spans = _spans_of(part, leaf)
            if spans is None:
                return None
            shared = both(shared, spans)
        found = either(found, shared)
    return found


def _number_spans(one: Condition) -> Spans | None:
    match one.operator, one.value:
        case (("in" | "nin"), list(values)):
            spans = _points(value for value in values if isinstance(value, int | float))
            return spans if one.operator == "in" else outside(spans)
        case _, int() | float():
            return _compared(one.operator, math.floor(one.value), math.ceil(one.value))
        case _:
            return None


def _points(values: Iterable[int | float]) -> Spans:
    whole = sorted({int(value) for value in values if value == int(value)})
    return either(tuple((number, number) for number in whole if abs(number) <= ANY_NUMBER[1]), NONE)


def _compared(operator: str, floor: int, ceiling: int) -> Spans | None:
    """Compare with a value that lies between two whole numbers, or is both."""
    lowest, highest = ALL[0]
    equal = _points([floor]) if floor == ceiling else NONE
    match operator:
        case "=":
            return equal
        case "!=":
            return outside(equal)
        case "<":
            return both(ALL, ((lowest, ceiling - 1),))
        case "<=":
            return both(ALL, ((lowest, floor),))
        case ">":
            return both(ALL, ((floor + 1, highest),))
        case ">=":
            return both(ALL, ((ceiling, highest),))
        case _:
            return None


def _instant_spans(one: Condition) -> Spans | None:
    # Not of `!=`: it is true of null, too, which is no instant.
    if not isinstance(one.value, Instant) or one.operator == "!=":
        return None
    instant = one.value.microseconds
    return _compared(one.operator, instant // 1000, -(-instant // 1000))
