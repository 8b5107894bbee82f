"""The filters of a query, read from JSON: `[["state", "in", ["FAILED"]], ["OR", [...]]]`. Pure.

All filters of a list must hold. The operators and their rules are those that TrueNAS clients know;
`conditions.py` says what each means. Good for any list of JSON objects.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dispatcher.api.truenas.fields import Path, read_path
from dispatcher.api.truenas.problems import Mistake
from dispatcher.core.model import Value

COMPARISONS = ("=", "!=", ">", ">=", "<", "<=")
CONTAINMENTS = ("in", "nin", "rin", "rnin")
TEXT_OPERATORS = ("^", "!^", "$", "!$", "~")
PATTERN = "~"
MOST_PATTERN_LETTERS = 256
MOST_CONDITIONS = 1000
DEEPEST = 3

_OPERATORS = frozenset((*COMPARISONS, *CONTAINMENTS, *TEXT_OPERATORS))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = "$date"


class Instant(Value, frozen=True, order=True):
    """An instant in microseconds since the epoch: finer than what objects have, so nothing is rounded."""

    microseconds: int


class Condition(Value, frozen=True):
    """One comparison. With `folds` capital and small letters are the same; the value is folded already."""

    path: Path
    operator: str
    value: object
    folds: bool = False


class AnyOf(Value, frozen=True):
    """At least one branch holds; in a branch all filters must."""

    branches: "tuple[tuple[Filter, ...], ...]"


Filter = Condition | AnyOf
Filters = tuple[Filter, ...]


class _Wrong(Exception):
    """A filter that cannot be; the text says why."""


def read_filters(given: object, mistakes: list[Mistake]) -> Filters:
    """Read a list of filters; what is wrong is added to `mistakes`, one for each filter."""
    if not isinstance(given, list):
        mistakes.append(Mistake("query-filters", "must be a list of filters"))
        return ()
    if len(given) == 2 and given[0] == "OR" and isinstance(given[1], list):
        given = [given]  # as some documents show it
    read: list[Filter] = []
    for place, one in enumerate(given):
        try:
            read.append(_filter(one, 0))
        except _Wrong as wrong:
            mistakes.append(Mistake(f"query-filters.{place}", str(wrong)))
    if sum(1 for _ in conditions_of(tuple(read))) > MOST_CONDITIONS:
        mistakes.append(Mistake("query-filters", f"must not have more than {MOST_CONDITIONS} conditions"))
    return tuple(read)


def conditions_of(filters: Filters) -> Iterator[Condition]:
    """Give every condition, also those in branches."""
    for one in filters:
        if isinstance(one, Condition):
            yield one
        else:
            for branch in one.branches:
                yield from conditions_of(branch)


def fields_of(one: Filter) -> frozenset[str]:
    """Name the keys of an object that a filter looks at."""
    return frozenset(condition.path[0] for condition in conditions_of((one,)))


def as_instant(value: object) -> object:
    """Give the instant that `{"$date": milliseconds}` is; any other value as it is."""
    if isinstance(value, dict) and len(value) == 1:
        milliseconds = value.get(_DATE)
        if isinstance(milliseconds, int):
            return Instant(milliseconds * 1000)
    return value


def folded(value: object) -> object:
    """Take the difference between capital and small letters out of a text or a list of texts."""
    match value:
        case str():
            return value.casefold()
        case list():
            return [folded(one) for one in value]
        case _:
            return value


def _filter(given: object, depth: int) -> Filter:
    match given:
        case ["OR", list(branches)]:
            return _any_of(branches, depth + 1)
        case [str(field), str(operator), value]:
            return _condition(field, operator, value)
        case _:
            raise _Wrong('must be [field, operator, value] or ["OR", [branch, ...]]')


def _any_of(branches: list[object], depth: int) -> AnyOf:
    if depth > DEEPEST:
        raise _Wrong("query-filters max recursion depth exceeded")
    if not branches:
        raise _Wrong("OR needs at least one branch")
    read: list[Filters] = []
    for branch in branches:
        if isinstance(branch, list) and branch and isinstance(branch[0], list):
            read.append(tuple(_filter(one, depth) for one in branch))
        else:
            read.append((_filter(branch, depth),))
    return AnyOf(tuple(read))


def _condition(field: str, operator: str, value: object) -> Condition:
    path = read_path(field)
    if path is None:
        raise _Wrong(f"{field!r} is not the name of a field")
    folds = operator.startswith("C")
    plain = operator[folds:]
    if plain not in _OPERATORS or (folds and plain == PATTERN):
        raise _Wrong(f"{operator!r} is not an operator; there are {' '.join(sorted(_OPERATORS))}")
    if len(path) > 1 and path[-1] == _DATE:
        return _date_condition(path[:-1], operator, value)
    if plain in TEXT_OPERATORS and not isinstance(value, str):
        raise _Wrong(f"{operator} needs a text to compare with")
    if plain in ("in", "nin") and not isinstance(value, list | str):
        raise _Wrong(f"{operator} needs a list or a text to look into")
    if plain == PATTERN and len(str(value)) > MOST_PATTERN_LETTERS:
        raise _Wrong(f"a pattern has at most {MOST_PATTERN_LETTERS} characters")
    return Condition(path, plain, folded(value) if folds else as_instant(value), folds)


def _date_condition(path: Path, operator: str, value: object) -> Condition:
    if operator not in COMPARISONS:
        raise _Wrong(f"{operator}: invalid timestamp operation; there are {' '.join(COMPARISONS)}")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise _Wrong(f"{value!r:.80}: must be an ISO-8601 formatted timestamp string")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return Condition(path, operator, Instant((moment - _EPOCH) // timedelta(microseconds=1)))
