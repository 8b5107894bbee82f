"""Search jobs by what the columns and their indexes tell.

One call goes through a bounded number of rows, whatever it finds, so that no reader is held for
long; the next call goes on where it stopped. Plain functions on a connection; the caller has the
transaction.
"""

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from dispatcher.core.model import Outcome, State
from dispatcher.store import queries, rows
from dispatcher.store.job_query import (
    ANY_NUMBER,
    LIVE,
    OUTCOMES,
    Counted,
    Entry,
    Found,
    JobQuery,
    Sorting,
    remaining,
)

EXAMINED = 20_000  # rows that one call goes through
MOST_METHODS = 1000  # that a list of all names

NEXT_METHOD = "SELECT min(method) FROM job INDEXED BY job_method WHERE method > ? AND method <> ''"
_COLUMNS = "number, state, outcome, method, submitted, finished"
_BY_NUMBER = "FROM job WHERE number BETWEEN :low AND :high"
_LIVE = (
    "FROM job INDEXED BY job_live WHERE finished IS NULL AND queue = {} AND state = {}"
    " AND number BETWEEN :low AND :high"
)
_OVER = (
    "FROM job INDEXED BY job_outcome WHERE finished IS NOT NULL AND outcome = {}"
    " AND number BETWEEN :low AND :high"
)
_CALLED = (
    "FROM job INDEXED BY job_method WHERE method = {} AND method <> '' AND state = {} AND outcome {}"
    " AND number BETWEEN :low AND :high"
)
# SQLite refuses more than 500 parts of one UNION.
_LANES_AT_ONCE = 400
_EVERY = "1"

Parameter = float | str


def methods(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Name every method that some job was called as; each costs one look into the index."""
    names: list[str] = []
    last = ""
    while len(names) < MOST_METHODS:
        (name,) = connection.execute(NEXT_METHOD, (last,)).fetchone()
        if name is None:
            break
        names.append(name)
        last = name
    return tuple(names)


def search(connection: sqlite3.Connection, query: JobQuery, after: int | None, limit: int) -> Found:
    """Find up to `limit` jobs behind the number `after`."""
    found: list[Entry] = []
    left = EXAMINED
    for low, high in remaining(query, after):
        span: tuple[int, int] | None = (low, high)
        while span is not None:
            missing = limit if query.sorting else limit - len(found)
            piece = _Piece(connection, query, span)
            if piece.is_simple:
                room = missing
                entries = piece.entries(room, room)
                examined, last = len(entries), entries[-1].number if entries else 0
            else:
                room = left if query.sorting else min(left, 4 * missing)
                examined, matched, last = piece.look(room)
                entries = piece.entries(room, missing) if matched else []
            found += entries
            if query.sorting is None and len(found) == limit:
                return Found(tuple(found), found[-1].number)
            left -= max(1, examined)
            span = _behind(query, span, last) if examined == room else None
            if left <= 0:
                edge = low if query.newest_first else high
                return Found(_first(found, query.sorting, limit), edge if span is None else last)
    return Found(_first(found, query.sorting, limit), None)


def count(connection: sqlite3.Connection, query: JobQuery, after: int | None) -> Counted:
    """Count jobs behind the number `after`."""
    if after is None and _is_tallied(query):
        tally = connection.execute(queries.TALLY).fetchall()
        return Counted(sum(jobs for _, at, over, jobs in tally if _is_wanted(query, at, over)), None)
    total, left = 0, EXAMINED
    for low, high in remaining(query, after):
        examined, matched, last = _Piece(connection, query, (low, high)).look(left)
        total += matched
        if examined == left:
            return Counted(total, last)
        left -= max(1, examined)
        if left <= 0:
            return Counted(total, low if query.newest_first else high)
    return Counted(total, None)


def _first(found: list[Entry], sorting: Sorting | None, limit: int) -> tuple[Entry, ...]:
    return tuple(found if sorting is None else sorted(found, key=sorting.place)[:limit])


def _behind(query: JobQuery, span: tuple[int, int], last: int) -> tuple[int, int] | None:
    low, high = (span[0], last - 1) if query.newest_first else (last + 1, span[1])
    return (low, high) if low <= high else None


def _is_tallied(query: JobQuery) -> bool:
    others = (query.methods, query.owner, query.submitted, query.finished)
    return query.numbers == (ANY_NUMBER,) and others == (None, None, None, None)


def _is_wanted(query: JobQuery, state: str, outcome: str) -> bool:
    return outcome in query.outcomes if outcome else state in query.live


class _Asked:
    """SQL and its parameters, which have names so that all lanes can share them."""

    def __init__(self, low: int, high: int) -> None:
        self.lanes: list[str] = []
        self.fits = _EVERY
        self.values: dict[str, Parameter] = {"low": low, "high": high}
        self._names: dict[Parameter, str] = {}

    def name(self, value: Parameter) -> str:
        """Make a parameter of a value."""
        if value not in self._names:
            self._names[value] = f"p{len(self._names)}"
            self.values[self._names[value]] = value
        return f":{self._names[value]}"


class _Looked(NamedTuple):
    """How many rows were gone through, how many of them match, and the number of the last one."""

    examined: int
    matched: int
    last: int


class _Piece:
    """The first rows of a span of numbers, in the direction of a query."""

    def __init__(self, connection: sqlite3.Connection, query: JobQuery, span: tuple[int, int]) -> None:
        self._connection = connection
        self._query = query
        self._direction = " DESC" if query.newest_first else ""
        self._asked = _ask(connection, query, *span)
        # Every row matches, and in the order of the answer.
        self.is_simple = self._asked.fits == _EVERY and query.sorting is None

    def look(self, room: int) -> _Looked:
        """Go through so many rows without bringing them over."""
        edge = "min" if self._query.newest_first else "max"
        sql = f"SELECT count(*), total(fits), {edge}(number) FROM ({self._rows('number')})"  # noqa: S608
        examined, matched, last = self._connection.execute(sql, self._values(room)).fetchone()
        return _Looked(examined, int(matched), last or 0)

    def entries(self, room: int, limit: int) -> list[Entry]:
        """Give the first entries that match among so many rows."""
        sorting = self._query.sorting
        inner = self._rows(_COLUMNS)
        if self.is_simple:
            found = self._connection.execute(inner, self._values(room))
        else:
            order = f"number{self._direction}"
            if sorting is not None:
                nulls = "FIRST" if sorting.nulls_first else "LAST"
                order = f"{sorting.by}{' DESC' if sorting.descends else ''} NULLS {nulls}, number"
            sql = f"SELECT * FROM ({inner}) WHERE fits ORDER BY {order} LIMIT :limit"  # noqa: S608
            found = self._connection.execute(sql, {**self._values(room), "limit": limit})
        return [
            Entry(number, State(state), outcome and Outcome(outcome), method, submitted, finished)
            for number, state, outcome, method, submitted, finished, _ in found
        ]

    def _rows(self, columns: str) -> str:
        """Merge the lanes; each is read only as far as it is needed."""
        order = f" ORDER BY number{self._direction} LIMIT :room"
        lanes = [f"SELECT {columns}, {self._asked.fits} AS fits {lane}" for lane in self._asked.lanes]
        groups = [lanes[at : at + _LANES_AT_ONCE] for at in range(0, len(lanes), _LANES_AT_ONCE)]
        merged = [" UNION ALL ".join(group) + order for group in groups]
        if len(merged) == 1:
            return merged[0]
        return " UNION ALL ".join(f"SELECT * FROM ({one})" for one in merged) + order  # noqa: S608

    def _values(self, room: int) -> dict[str, Parameter]:
        return {**self._asked.values, "room": room}


def _ask(connection: sqlite3.Connection, query: JobQuery, low: int, high: int) -> _Asked:
    """Choose the index: the lanes hold nothing that it tells to be wrong, `fits` judges the rest."""
    asked = _Asked(low, high)
    is_short = high - low < EXAMINED
    conditions = _about_rest(asked, query)
    is_any = (query.live, query.outcomes) == (LIVE, OUTCOMES)
    if query.methods is not None and "" not in query.methods and not is_short:
        asked.lanes.extend(_called_lanes(asked, query))
    else:
        conditions += _about_method(asked, query)
        if is_any or is_short:
            asked.lanes.append(_BY_NUMBER)
            conditions += [] if is_any else _about_standing(asked, query)
        else:
            asked.lanes.extend(_standing_lanes(connection, asked, query))
    asked.lanes = asked.lanes or [f"{_BY_NUMBER} AND 0"]
    asked.fits = " AND ".join(conditions) or _EVERY
    return asked


def _called_lanes(asked: _Asked, query: JobQuery) -> Iterator[str]:
    for method in sorted(filter(rows.can_be_stored, query.methods or ())):
        name = asked.name(method)
        for state in sorted(query.live):
            yield _CALLED.format(name, asked.name(state), "IS NULL")
        for outcome in sorted(query.outcomes):
            yield _CALLED.format(name, asked.name(State.FINISHED), f"= {asked.name(outcome)}")


def _standing_lanes(connection: sqlite3.Connection, asked: _Asked, query: JobQuery) -> Iterator[str]:
    for queue, state, outcome, _ in connection.execute(queries.TALLY).fetchall():
        if not outcome and state in query.live:
            yield _LIVE.format(asked.name(queue), asked.name(state))
    for outcome in sorted(query.outcomes):
        yield _OVER.format(asked.name(outcome))


def _about_standing(asked: _Asked, query: JobQuery) -> list[str]:
    live = ", ".join(map(asked.name, sorted(query.live)))
    over = ", ".join(map(asked.name, sorted(query.outcomes)))
    return [f"(outcome IS NULL AND state IN ({live}) OR outcome IN ({over}))"]


def _about_method(asked: _Asked, query: JobQuery) -> list[str]:
    if query.methods is None:
        return []
    return [f"method IN ({', '.join(map(asked.name, filter(rows.can_be_stored, query.methods)))})"]


def _about_rest(asked: _Asked, query: JobQuery) -> list[str]:
    conditions = []
    if query.owner is not None:
        conditions.append(f"owner = {asked.name(query.owner)}" if rows.can_be_stored(query.owner) else "0")
    for column, spans in (("submitted", query.submitted), ("finished", query.finished)):
        if spans is not None:
            # A comparison with NULL is NULL, which counts as no.
            parts = [
                f"{column} >= {asked.name(low)} AND {column} < {asked.name(high)}" for low, high in spans
            ]
            conditions.append(f"({' OR '.join(parts) or '0'})")
    return conditions
