"""What a question to the database costs: found by an index, and no dearer with 100,000 jobs than with 100."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from dispatcher.core.model import Outcome, State
from dispatcher.store import database, queries, search
from dispatcher.store.job_query import ANY_NUMBER, Instants, JobQuery, Sorting
from dispatcher.store.port import JobFilter
from dispatcher.store.writer import Writer
from tests.adapters.sample_jobs import batch, finished, job, running

QUERIES = {
    "by number": (queries.BY_NUMBER, (1,)),
    "live by key": (queries.LIVE_BY_KEY, ("a",)),
    "finished by key": (queries.FINISHED_BY_KEY, ("a",)),
    "heads": (queries.HEADS, ("q", 1, 1)),
    "active": (queries.ACTIVE, ()),
    "changed": (queries.CHANGED, (1, 1)),
}
FILTERS = {
    "all": JobFilter(),
    "live": JobFilter(live=True),
    "live of a queue": JobFilter(live=True, queue="pkg_queue"),
    "pending": JobFilter(state=State.PENDING),
    "finished": JobFilter(live=False),
    "failed": JobFilter(outcome=Outcome.FAILED),
    "failed of a queue": JobFilter(queue="pkg_queue", outcome=Outcome.FAILED),
    "by live key": JobFilter(key="live-5"),
    "by finished key": JobFilter(key="over-5"),
    "last night": JobFilter(live=False, since=990.0),
}
NO_ONE: frozenset[State] = frozenset()
NOT_OVER: frozenset[Outcome] = frozenset()
FAILED = frozenset((Outcome.FAILED, Outcome.LOST, Outcome.TIMED_OUT, Outcome.SKIPPED))
SCRUB = frozenset(["pool.scrub"])
SEARCHES = {
    "any": JobQuery(),
    "newest": JobQuery(newest_first=True),
    "waiting": JobQuery(live=frozenset([State.PENDING]), outcomes=NOT_OVER),
    "unfinished": JobQuery(outcomes=NOT_OVER, newest_first=True),
    "newest failed": JobQuery(live=NO_ONE, outcomes=FAILED, newest_first=True),
    "newest killed, of which there are none": JobQuery(
        live=NO_ONE, outcomes=frozenset([Outcome.KILLED]), newest_first=True
    ),
    "of a method": JobQuery(methods=SCRUB, newest_first=True),
    "of methods": JobQuery(methods=SCRUB | {"config.save", "never.called"}),
    "failed of a method": JobQuery(live=NO_ONE, outcomes=FAILED, methods=SCRUB, newest_first=True),
    "running of a method": JobQuery(live=frozenset([State.RUNNING]), outcomes=NOT_OVER, methods=SCRUB),
    "by number": JobQuery(numbers=((12, 12), (10**7 + 3, 10**7 + 3))),
    "of some numbers": JobQuery(numbers=((12, 12), (10**7 + 3, 10**7 + 9)), newest_first=True),
    "not called as a method": JobQuery(methods=frozenset([""]), newest_first=True),
}


FILL = """
WITH RECURSIVE counted (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM counted LIMIT :jobs)
INSERT INTO job SELECT
    :first + value, :prefix || value, iif(value % 2, 'no_queue', 'pkg_queue'), owner, state,
    iif(finished IS NULL OR value % 10, outcome, 'failed'), worker, submitted, started,
    iif(finished IS NULL, NULL, value - :jobs + 1000.0), :first + value, progress,
    iif(value % 5, '', iif(value % 2, 'pool.scrub', 'config.save'))
FROM counted, job WHERE number = :template"""
BODIES = """
INSERT OR IGNORE INTO submission
SELECT number, (SELECT body FROM submission WHERE number = 1) FROM job"""


def filled(path: Path, jobs: int) -> sqlite3.Connection:
    """Open a database with so many pending and so many finished jobs, in two queues."""
    connection = database.open_writer(path)
    alone = job(5_000_000, queue="iocage_queue")
    Writer(connection).commit(
        batch(job(1), job(2, finished(1.0)), job(3, running()), alone, next_number=4), ()
    )
    connection.execute("BEGIN")
    for first, template, prefix in ((10, 1, "live-"), (10**7, 2, "over-")):
        connection.execute(FILL, {"jobs": jobs, "first": first, "template": template, "prefix": prefix})
    connection.execute(BODIES)
    connection.execute("COMMIT")
    return connection


@contextmanager
def steps(connection: sqlite3.Connection) -> Iterator[list[int]]:
    """Count the instructions of SQLite's machine: the rows it reads show here, whatever the clock says."""
    count = [0]

    def one() -> None:
        count[0] += 1

    connection.set_progress_handler(one, 1)
    yield count
    connection.set_progress_handler(None, 0)


def costs(path: Path, jobs: int) -> dict[str, int]:
    """Steps of each call on a store with so many jobs."""
    connection = filled(path, jobs)
    writer = Writer(connection)
    calls: dict[str, Callable[[], object]] = {
        f"page: {name}": partial(queries.page, connection, which, 3, 5) for name, which in FILTERS.items()
    }
    calls |= {
        f"search: {name}": partial(search.search, connection, query, None, 5)
        for name, query in SEARCHES.items()
    }
    calls |= {
        "methods": lambda: search.methods(connection),
        "count": lambda: search.count(connection, SEARCHES["newest failed"], None),
        "find": lambda: queries.found(connection, [15, "live-7", 10**7 + 3, "nobody", 5]),
        "newest": lambda: [queries.newest(connection, target) for target in ("live-7", "over-7", "nobody")],
        "changed since": lambda: queries.changed_since(connection, 20, 5),
        "restore": lambda: writer.restore(10, count_start=True),
        "load": lambda: writer.commit(batch(), [("no_queue", 30, 10)]),
        "submit": lambda: writer.commit(
            batch(job(2 * 10**7), next_number=2 * 10**7 + 1, changed=2 * 10**7), ()
        ),
        "finish": lambda: writer.commit(batch(job(11, finished(), key="live-1", changed=2 * 10**7 + 1)), ()),
        "forget": lambda: writer.forget(1e9, 5),
    }
    spent = {}
    for name, call in calls.items():
        with steps(connection) as count:
            call()
        spent[name] = count[0]
    writer.close()
    return spent


def test_no_call_reads_more_rows_with_100_000_jobs_than_with_100(tmp_path):
    few = costs(tmp_path / "few.db", 100)
    many = costs(tmp_path / "many.db", 100_000)

    assert all(few.values())
    assert {name: (few[name], many[name]) for name in few if many[name] > few[name] * 1.1 + 20} == {}


@pytest.mark.parametrize(
    "query",
    [
        JobQuery(owner="nobody"),
        JobQuery(owner="admin"),
        JobQuery(owner="admin", outcomes=NOT_OVER, newest_first=True),
        JobQuery(methods=frozenset(["", "never.called"]), owner="nobody"),
        JobQuery(submitted=((5e9, 6e9),), newest_first=True),
        JobQuery(live=frozenset(), finished=((5e9, 6e9),)),
        JobQuery(live=frozenset(), finished=((5e9, 6e9),), sorting=Sorting(Instants.FINISHED, descends=True)),
        JobQuery(methods=frozenset(["pool.scrub"]), owner="nobody"),
        JobQuery(numbers=tuple((number, number) for number in range(10**7 + 2, 10**7 + 60_000, 2))),
    ],
)
def test_a_search_stops_after_a_bounded_number_of_rows_and_goes_on_there_later(tmp_path, query):
    connection = filled(tmp_path / "jobs.db", 25_000)
    where: int | None = None
    pieces, spent = 0, []
    numbers = []
    expected = expected_of(connection, query)

    while pieces == 0 or where is not None:
        with steps(connection) as taken:
            found = search.search(connection, query, where, 10**6)
        spent.append(taken[0])
        numbers += [one.number for one in found.entries]
        where, pieces = found.after, pieces + 1
    connection.close()

    assert numbers == expected
    assert pieces > 1 or query.methods == {"pool.scrub"}
    assert max(spent) < 120 * search.EXAMINED


def expected_of(connection: sqlite3.Connection, query: JobQuery) -> list[int]:
    """Say what some queries find, in the plainest SQL."""
    if query.owner == "admin":
        where = "" if query.outcomes else "WHERE finished IS NULL"
        order = "DESC" if query.newest_first else ""
        return [n for (n,) in connection.execute(f"SELECT number FROM job {where} ORDER BY number {order}")]  # noqa: S608
    return [] if query.numbers == (ANY_NUMBER,) else list(range(10**7 + 2, 10**7 + 25_000, 2))


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    with closing(filled(tmp_path_factory.mktemp("plans") / "jobs.db", 100)) as connection:
        yield connection


def plan(connection: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> list[str]:
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, values)]


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_searches_an_index_and_never_sorts(some, name):
    lines = plan(some, *QUERIES[name])

    # The one scan is of an index that holds nothing but what is asked for.
    scans = [line for line in lines if "SCAN" in line and line != "SCAN job USING INDEX job_worker"]
    assert scans == []
    assert [line for line in lines if "TEMP" in line] == []


@pytest.mark.parametrize("name", FILTERS)
def test_a_list_merges_its_lanes_in_index_order(some, name):
    asked = list[str]()
    some.set_trace_callback(asked.append)
    queries.page(some, FILTERS[name], 1, 5)
    some.set_trace_callback(None)

    lines = [line for sql in asked for line in plan(some, sql.replace("Inf", "9e999"), ())]
    assert [
        line for line in lines if "SCAN" in line and line not in ("SCAN tally", "SCAN CONSTANT ROW")
    ] == []
    # Only the few finished jobs of one key are sorted.
    assert [line for line in lines if "TEMP" in line and name != "by finished key"] == []


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_merges_its_lanes_in_index_order(some, name):
    asked = list[str]()
    some.set_trace_callback(asked.append)
    search.search(some, SEARCHES[name], None, 5)
    some.set_trace_callback(None)

    for sql in asked:
        lines = plan(some, sql, ())
        scans = [line for line in lines if "SCAN" in line and "subquery" not in line.lower()]
        assert scans in ([], ["SCAN tally"])
        # Sorted is only what was picked out of a bounded number of rows.
        assert sum("TEMP" in line for line in lines) == ("WHERE fits" in sql)


def test_methods_are_named_by_jumping_through_the_index(some):
    lines = plan(some, search.NEXT_METHOD, ("a",))

    assert len(lines) == 1
    assert lines[0].startswith("SEARCH job USING COVERING INDEX job_method (method>?)")


def test_a_list_over_more_queues_than_one_union_can_merge_is_in_order(tmp_path):
    writer = Writer(database.open_writer(tmp_path / "jobs.db"))
    ends = {number: float(number * 7919 % 1009) for number in range(1, 901)}
    jobs = [job(number, finished(end), queue=f"q{number}") for number, end in ends.items()]
    writer.commit(batch(*jobs, *(job(n, queue=f"q{n}") for n in range(1000, 1900)), next_number=2000), ())

    page = queries.page(writer.connection, JobFilter(), 890, 20)
    writer.close()

    newest_first = sorted(ends, key=lambda number: (ends[number], number), reverse=True)
    assert [one.number for one in page.jobs] == [*range(1890, 1900), *newest_first[:10]]
    assert page.total == 1800
