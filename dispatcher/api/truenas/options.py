"""The options of a query, read from JSON, and what they make of a list of objects. Pure.

The order of work is: filter, count, sort, get, offset, limit, select. Good for any list of JSON
objects.
"""

from collections.abc import Iterable, Sequence
from functools import total_ordering

from dispatcher.api.truenas.conditions import NOTHING, Matched, holds
from dispatcher.api.truenas.fields import Path, copy_field, read_path, value_at
from dispatcher.api.truenas.filters import Filters, Instant, as_instant
from dispatcher.api.truenas.problems import Mistake, no_match
from dispatcher.core.model import Value

MOST_LIMIT = 10_000
_KNOWN = ("order_by", "offset", "limit", "count", "get", "select", "extra", "force_sql_filters")
_PREFIXES = {"nulls_first:": True, "nulls_last:": False}

JsonObject = dict[str, object]


class Order(Value, frozen=True):
    """One key of an order; `nulls_first` None: nulls are lower than everything else."""

    path: Path
    descends: bool = False
    nulls_first: bool | None = None


class Selection(Value, frozen=True):
    """A field of the answer; with `name` it stands there under that name, else at its own place."""

    path: Path
    name: str | None = None


class Options(Value, frozen=True):
    """What is to be made of the objects that pass; a `limit` of 0 is none. The first order counts most."""

    order_by: tuple[Order, ...] = ()
    offset: int = 0
    limit: int = 0
    count: bool = False
    get: bool = False
    select: tuple[Selection, ...] = ()
    is_raw: bool = False


def read_options(given: object, mistakes: list[Mistake]) -> Options:
    """Read the options of a query; what is wrong is added to `mistakes`, one for each option."""
    if not isinstance(given, dict):
        mistakes.append(Mistake("query-options", "must be an object"))
        return Options()
    reader = _Reader(given, mistakes)
    for name in given:
        if name not in _KNOWN:
            reader.refuse(str(name), f"is not an option; there are {', '.join(_KNOWN)}")
    reader.flag("force_sql_filters")  # it makes no difference here
    extra = given.get("extra", {})
    if not isinstance(extra, dict):
        reader.refuse("extra", "must be an object")
    return Options(
        order_by=tuple(map(reader.order, reader.listed("order_by"))),
        offset=reader.number("offset", 2**53),
        limit=reader.number("limit", MOST_LIMIT),
        count=reader.flag("count"),
        get=reader.flag("get"),
        select=tuple(map(reader.selection, reader.listed("select"))),
        is_raw=isinstance(extra, dict) and extra.get("raw_result") is True,
    )


class _Reader:
    """Reads options one by one and notes what is wrong with them."""

    def __init__(self, given: JsonObject, mistakes: list[Mistake]) -> None:
        self._given = given
        self._mistakes = mistakes

    def refuse(self, name: str, sentence: str) -> None:
        self._mistakes.append(Mistake(f"query-options.{name}", sentence))

    def flag(self, name: str) -> bool:
        value = self._given.get(name, False)
        if not isinstance(value, bool):
            self.refuse(name, "must be true or false")
        return value is True

    def number(self, name: str, most: int) -> int:
        value = self._given.get(name, 0)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            return value
        self.refuse(name, f"must be a whole number from 0 to {most}")
        return 0

    def listed(self, name: str) -> list[object]:
        value = self._given.get(name, [])
        if isinstance(value, list):
            return value
        self.refuse(name, "must be a list")
        return []

    def order(self, given: object) -> Order:
        text = given if isinstance(given, str) else ""
        nulls_first = None
        for prefix, is_first in _PREFIXES.items():
            if text.startswith(prefix):
                nulls_first = is_first
                text = text.removeprefix(prefix)
                break
        descends = text.startswith("-")
        path = read_path(text.removeprefix("-"))
        if path is None:
            self.refuse("order_by", f"{given!r:.80} is not the name of a field, with or without a prefix")
        return Order(path or (), descends, nulls_first)

    def selection(self, given: object) -> Selection:
        field, name = given if isinstance(given, list) and len(given) == 2 else (given, None)
        path = read_path(field) if isinstance(field, str) else None
        if path is None or not isinstance(name, str | None) or (field is not given and name is None):
            self.refuse("select", f"{given!r:.80} is neither the name of a field nor [field, new name]")
        return Selection(path or (), name if isinstance(name, str) else None)


def select(subject: JsonObject, selections: Sequence[Selection]) -> JsonObject:
    """Make an object of the selected fields; without selections, give the object as it is."""
    if not selections:
        return subject
    target: JsonObject = {}
    for one in selections:
        copy_field(subject, one.path, target, one.name)
    return target


def order_key(values: Iterable[object], order_by: Sequence[Order]) -> tuple[object, ...]:
    """Make what an object is sorted by of its values at the paths of the order."""
    return tuple(part for value, order in zip(values, order_by, strict=True) for part in _part(value, order))


def query(
    objects: Iterable[JsonObject], filters: Filters, options: Options, matched: Matched = NOTHING
) -> int | JsonObject | list[JsonObject]:
    """Answer a query over a list of objects. Raises Problem if `get` finds none."""
    found = [one for one in objects if holds(filters, one, matched)]
    if options.count:
        return len(found)
    if options.order_by:
        paths = [order.path for order in options.order_by]
        found.sort(key=lambda one: order_key((value_at(one, path) for path in paths), options.order_by))
    if options.get:
        if not found:
            raise no_match()
        return select(found[0], options.select)
    end = options.offset + options.limit if options.limit else None
    return [select(one, options.select) for one in found[options.offset : end]]


def _part(value: object, order: Order) -> tuple[int, int, object]:
    """Give the place of a null, the kind of the value, and the value; comparable in that order."""
    value = as_instant(value)
    nulls_first = not order.descends if order.nulls_first is None else order.nulls_first
    if value is None:
        return (0 if nulls_first else 2, 0, 0)
    sign = -1 if order.descends else 1
    match value:
        case int() | float():
            return 1, sign, sign * value
        case str():
            return 1, sign * 2, _Descending(value) if order.descends else value
        case Instant(microseconds=instant):
            return 1, sign * 3, sign * instant
        case _:
            return 1, sign * 4, 0  # lists and objects have no order


@total_ordering
class _Descending:
    """A text that sorts the other way round."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.text == other.text

    def __lt__(self, other: "_Descending") -> bool:
        return other.text < self.text

    __hash__ = None  # type: ignore[assignment]
