"""How long core.get_jobs takes over 1,000 and over 1,000,000 finished jobs, each question asked of both.

Of every ten jobs one failed and one was called as a method. Asked in this process, without a socket.
"""

import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import trio

from bench.contestants import BUILD
from bench.rounds import Row, show
from dispatcher.api.truenas.job_object import JobObject, job_object
from dispatcher.api.truenas.job_search import get_jobs
from dispatcher.api.truenas.patterns import Patterns
from dispatcher.core.model import Command, CommandEnd, CommandRun, Finished, Job, Outcome, Submission, Task
from dispatcher.store import database
from dispatcher.store.port import Batch
from dispatcher.store.sqlite import SqliteStore, open_store
from dispatcher.store.writer import Writer

SIZES = (1_000, 1_000_000)
REPEATS = 20
NEWEST = {"order_by": ["-id"], "limit": 50}
QUESTIONS: dict[str, tuple[list[object], dict[str, object]]] = {
    "newest 50 that failed": ([["state", "=", "FAILED"]], NEWEST),
    "newest 50 of a method": ([["method", "^", "pool."]], NEWEST),
    "newest 50": ([], NEWEST),
    "one by its id": ([["id", "=", 900]], {}),
    "count of those that failed": ([["state", "=", "FAILED"]], {"count": True}),
}
THOROUGH: dict[str, tuple[list[object], dict[str, object]]] = {
    "count since an instant": ([["time_finished.$date", ">", "2026-01-01T00:00:00Z"]], {"count": True}),
    "50 that ended last": ([], {"order_by": ["-time_finished"], "limit": 50}),
    "count of what no index tells": (
        [["OR", [["id", "=", 7], ["time_finished.$date", "<", "2000-01-01"]]]],
        {"count": True},
    ),
}

_FILL = """
WITH RECURSIVE counted (value) AS (SELECT 10 UNION ALL SELECT value + 1 FROM counted LIMIT :jobs)
INSERT INTO job SELECT value, 'key-' || value, queue, owner, state, iif(value % 10 = 3, 'failed', outcome),
    worker, submitted + value, started + value, finished + value, value, progress,
    iif(value % 10 = 5, method, '')
FROM counted, job WHERE number = 1"""
_BODIES = """
INSERT OR IGNORE INTO submission SELECT number, (SELECT body FROM submission WHERE number = 1) FROM job"""


def queries(rounds: int) -> dict[str, list[Row]]:
    """Milliseconds of a query; less is better. The value of a round is its median."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    try:
        for size in SIZES:
            print(f"  making a store of {size:,} jobs", flush=True)
            _fill(folder / f"{size}.db", size)
        return trio.run(_measure, folder, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(path: Path, size: int) -> None:
    connection: sqlite3.Connection
    with closing(database.open_writer(path)) as connection:
        run = CommandRun(1.6e9, 99, 0, CommandEnd(1.6e9, 0, 0.1, 100))
        submission = Submission(
            "no_queue", (Command(("true",), "true"),), "a", "admin", task=Task("pool.scrub")
        )
        job = Job(1, submission, 1.6e9, Finished(Outcome.SUCCESS, 1.6e9, 1.6e9), (run,), 1)
        Writer(connection).commit(Batch((job,), {}, size + 11, size + 11), ())
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(_FILL, {"jobs": size})
        connection.execute(_BODIES)
        connection.execute("COMMIT")


async def _measure(folder: Path, rounds: int) -> dict[str, list[Row]]:
    stores = {size: await open_store(folder / f"{size}.db") for size in SIZES}
    tables = {}
    for name, (filters, options) in (QUESTIONS | THOROUGH).items():
        taken: dict[int, list[float]] = {size: [] for size in SIZES}
        for _ in range(rounds):
            for size, store in stores.items():
                repeats = REPEATS if name in QUESTIONS else 1
                times = [await _ask(store, filters, options) for _ in range(repeats)]
                taken[size].append(1000 * statistics.median(times))
        title = f"core.get_jobs, {name}"
        few, many = (taken[size] for size in SIZES)
        ratios = [one / other for one, other in zip(many, few, strict=True)]
        base = f"{SIZES[0]:,} jobs"
        rows = [Row(base, "", few, base, [1.0] * rounds), Row(f"{SIZES[1]:,} jobs", "", many, base, ratios)]
        show(title, "ms", rows, {})
        tables[title] = rows
    for store in stores.values():
        await store.aclose()
    return tables


async def _ask(store: SqliteStore, filters: list[object], options: dict[str, object]) -> float:
    begun = time.perf_counter()
    await get_jobs(store, _render, Patterns(), filters, options)
    return time.perf_counter() - begun


async def _render(jobs: Sequence[Job], *, is_whole: bool) -> list[JobObject]:
    await trio.lowlevel.checkpoint()
    return [job_object(job, is_whole=is_whole) for job in jobs]
