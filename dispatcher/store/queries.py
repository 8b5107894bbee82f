"""Every question to the database, each answered by an index that is named in it.

`INDEXED BY` makes the query fail rather than fall back to reading the whole table, whatever
statistics somebody has gathered. Plain functions on a connection; the caller has the transaction.
"""

import heapq
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from dispatcher.core.model import Job, State
from dispatcher.store import rows
from dispatcher.store.port import Changes, JobFilter, Page, Restored

BY_NUMBER = """
SELECT job.number, submitted, changed, body, progress
FROM job CROSS JOIN submission USING (number) WHERE job.number = ?"""
LIVE_BY_KEY = """
SELECT job.number, submitted, changed, body, progress
FROM job INDEXED BY job_live_key CROSS JOIN submission USING (number)
WHERE key = ? AND finished IS NULL"""
FINISHED_BY_KEY = """
SELECT job.number, submitted, changed, body, progress
FROM job INDEXED BY job_key CROSS JOIN submission USING (number)
WHERE key = ? AND finished IS NOT NULL ORDER BY job.number DESC LIMIT 1"""
HEADS = """
SELECT job.number, submitted, changed, body, progress
FROM job INDEXED BY job_live CROSS JOIN submission USING (number)
WHERE queue = ? AND state = 'pending' AND finished IS NULL AND job.number > ? AND worker IS NULL
ORDER BY job.number LIMIT ?"""
ACTIVE = """
SELECT job.number, submitted, changed, body, progress
FROM job INDEXED BY job_worker CROSS JOIN submission USING (number)
WHERE worker IS NOT NULL ORDER BY job.number"""
CHANGED = """
SELECT job.number, submitted, changed, body, progress
FROM job INDEXED BY job_changed CROSS JOIN submission USING (number)
WHERE changed > ? ORDER BY changed, job.number LIMIT ?"""
TALLY = "SELECT queue, state, outcome, jobs FROM tally WHERE jobs > 0"
META = "SELECT installation, generation, next_number, changed, first_kept FROM meta"

_LIVE = "SELECT number FROM job INDEXED BY job_live WHERE finished IS NULL AND queue = ? AND state = ?"
_LIVE_KEY = "SELECT number FROM job INDEXED BY job_live_key WHERE finished IS NULL AND key = ? AND state = ?"
_OVER = "SELECT number, finished FROM job INDEXED BY {} WHERE finished >= ? AND finished < ?"
_OVER_LANE = _OVER.format("job_finished") + " AND queue = ? AND outcome = ?"
_OVER_KEY = _OVER.format("job_key") + " AND key = ?"
# SQLite refuses more than 500 parts of one UNION.
_LANES_AT_ONCE = 400


class Lane(NamedTuple):
    """Jobs that lie side by side in one index, in the order of the list; `jobs` is their number."""

    sql: str
    values: tuple[float | str, ...]
    jobs: int


def restored(connection: sqlite3.Connection, heads: int) -> Restored:
    """Read what the engine starts from; the cost does not grow with the number of jobs that wait."""
    installation, generation, next_number, changed, _ = connection.execute(META).fetchone()
    active = rows.jobs(connection.execute(ACTIVE))
    waiting = {queue: n for queue, state, _, n in connection.execute(TALLY).fetchall() if state == "pending"}
    for job in active:
        if job.state is State.PENDING:
            waiting[job.queue] -= 1
    waiting = {queue: count for queue, count in waiting.items() if count}
    return Restored(
        installation=installation,
        generation=generation,
        next_number=next_number,
        changed=changed,
        active=active,
        heads={queue: loaded(connection, queue, 0, heads) for queue in waiting},
        waiting=waiting,
        paused=frozenset(queue for (queue,) in connection.execute("SELECT queue FROM paused")),
    )


def loaded(connection: sqlite3.Connection, queue: str, after: int, count: int) -> tuple[Job, ...]:
    """Read pending jobs of a queue that no worker can know of."""
    return rows.jobs(connection.execute(HEADS, (queue, after, count)))


def found(connection: sqlite3.Connection, targets: Iterable[int | str]) -> dict[int | str, Job]:
    """Find jobs by number, or live ones by key."""
    answer = {}
    for target in filter(rows.can_be_stored, targets):
        by = LIVE_BY_KEY if isinstance(target, str) else BY_NUMBER
        row = connection.execute(by, (target,)).fetchone()
        if row is not None:
            answer[target] = rows.job(row)
    return answer


def newest(connection: sqlite3.Connection, target: int | str) -> Job | None:
    """Find one job by number, or by key the live one, else the finished one of the highest number."""
    live = found(connection, (target,))
    if live or isinstance(target, int) or not rows.can_be_stored(target):
        return live.get(target)
    row = connection.execute(FINISHED_BY_KEY, (target,)).fetchone()
    return None if row is None else rows.job(row)


def changed_since(connection: sqlite3.Connection, number: int, limit: int) -> Changes:
    """Read the jobs that changed after an event."""
    number = min(number, 2**63 - 1)
    answer = connection.execute(CHANGED, (number, limit + 1)).fetchall()
    first_kept = connection.execute(META).fetchone()[4]
    return Changes(rows.jobs(answer[:limit]), first_kept, more=len(answer) > limit)


def page(connection: sqlite3.Connection, which: JobFilter, offset: int, limit: int) -> Page:
    """Read a part of a list.

    Totals come from the tally; only a time span or a key is counted, in its index. What the
    offset skips is read in the index, too, but not in the table.
    """
    parts = [(_live_lanes(connection, which, state), " ORDER BY 1") for state in ("running", "pending")]
    parts.append((_finished_lanes(connection, which), " ORDER BY 2 DESC, 1 DESC"))
    total, numbers = 0, list[int]()
    for lanes, order in parts:
        jobs = sum(lane.jobs for lane in lanes)
        first, room = max(offset - total, 0), limit - len(numbers)
        total += jobs
        if first < jobs and room > 0:
            numbers += _numbers(connection, [lane for lane in lanes if lane.jobs], order, first, room)
    return Page(rows.jobs(connection.execute(BY_NUMBER, (one,)).fetchone() for one in numbers), total)


def oldest_finished(connection: sqlite3.Connection, before: float, limit: int) -> list[int]:
    """Give the numbers of jobs that ended before an instant, the oldest first."""
    lanes = [
        Lane(_OVER_LANE, (float("-inf"), before, queue, outcome), jobs)
        for queue, state, outcome, jobs in connection.execute(TALLY).fetchall()
        if state == "finished"
    ]
    return list(_numbers(connection, lanes, " ORDER BY 2, 1", 0, limit))


def _live_lanes(connection: sqlite3.Connection, which: JobFilter, state: str) -> list[Lane]:
    if which.live is False or which.outcome or which.until is not None or which.state not in (None, state):
        return []
    if which.key is None:
        return [
            Lane(_LIVE, (queue, state), jobs)
            for queue, at, _, jobs in connection.execute(TALLY).fetchall()
            if at == state and which.queue in (None, queue)
        ]
    return _counted(connection, *_narrowed(which, _LIVE_KEY, (which.key, state)))


def _finished_lanes(connection: sqlite3.Connection, which: JobFilter) -> list[Lane]:
    if which.live is True or which.state not in (None, State.FINISHED):
        return []
    since = float("-inf") if which.since is None else which.since
    until = float("inf") if which.until is None else which.until
    if which.key is not None:
        return _counted(connection, *_narrowed(which, _OVER_KEY, (since, until, which.key)))
    lanes = [
        Lane(_OVER_LANE, (since, until, queue, outcome), jobs)
        for queue, state, outcome, jobs in connection.execute(TALLY).fetchall()
        if state == "finished" and which.queue in (None, queue) and which.outcome in (None, outcome)
    ]
    if which.since is None and which.until is None:
        return lanes
    return [counted for lane in lanes for counted in _counted(connection, lane.sql, lane.values)]


def _narrowed(
    which: JobFilter, sql: str, values: tuple[float | str, ...]
) -> tuple[str, tuple[float | str, ...]]:
    # The jobs of one key are few, so these two are looked up in the table.
    if which.queue is not None:
        sql, values = sql + " AND queue = ?", (*values, which.queue)
    if which.outcome is not None:
        sql, values = sql + " AND outcome = ?", (*values, which.outcome)
    return sql, values


def _counted(connection: sqlite3.Connection, sql: str, values: tuple[float | str, ...]) -> list[Lane]:
    if not all(map(rows.can_be_stored, values)):
        return []
    counting = "SELECT count(*)" + sql[sql.index(" FROM") :]
    return [Lane(sql, values, connection.execute(counting, values).fetchone()[0])]


def _numbers(
    connection: sqlite3.Connection, lanes: Sequence[Lane], order: str, offset: int, limit: int
) -> Iterator[int]:
    """Merge lanes into one list, each read only as far as the list needs it."""
    if len(lanes) <= _LANES_AT_ONCE:
        return (row[0] for row in _merged(connection, lanes, order, " LIMIT ? OFFSET ?", (limit, offset)))
    groups = [lanes[at : at + _LANES_AT_ONCE] for at in range(0, len(lanes), _LANES_AT_ONCE)]
    merged = heapq.merge(
        *(_merged(connection, group, order, "", ()) for group in groups),
        key=lambda row: row[::-1],
        reverse="DESC" in order,
    )
    return (row[0] for row in islice(merged, offset, offset + limit))


def _merged(
    connection: sqlite3.Connection, lanes: Sequence[Lane], order: str, tail: str, values: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    if not lanes:
        return iter(())
    sql = " UNION ALL ".join(lane.sql for lane in lanes)
    return connection.execute(sql + order + tail, (*(one for lane in lanes for one in lane.values), *values))
