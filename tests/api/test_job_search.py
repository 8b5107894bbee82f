"""`core.get_jobs`: what it answers is what a look at every single job would answer."""

import math
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.api.truenas import job_search
from dispatcher.api.truenas.conditions import Matched, asked, holds
from dispatcher.api.truenas.filters import Filters, read_filters
from dispatcher.api.truenas.job_object import JobObject, job_object
from dispatcher.api.truenas.job_plan import asks_methods, planned, view
from dispatcher.api.truenas.job_search import get_jobs
from dispatcher.api.truenas.options import query, read_options
from dispatcher.api.truenas.patterns import Patterns
from dispatcher.api.truenas.problems import INVALID_PARAMS, Problem
from dispatcher.api.truenas.wrapped import instant
from dispatcher.core.model import Job, Outcome, Pending, Phase
from dispatcher.errors import InvalidRequest
from dispatcher.store.job_query import LIVE, OUTCOMES, JobQuery, entry_of
from dispatcher.store.memory import MemoryStore
from dispatcher.store.port import Store
from dispatcher.store.sqlite import open_store
from tests.adapters.sample_jobs import batch, finished, job, running

Answer = int | JobObject | list[JobObject]


class Desk:
    """A store with jobs, and a way to ask it; `rendered` are the numbers that were rendered, `whole` or cut."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.patterns = Patterns(60.0)
        self.rendered: list[int] = []
        self.whole: list[bool] = []

    async def render(self, jobs: Sequence[Job], *, is_whole: bool) -> list[JobObject]:
        await trio.lowlevel.checkpoint()
        self.rendered += [one.number for one in jobs]
        self.whole.append(is_whole)
        return [job_object(one, is_whole=is_whole) for one in jobs]

    async def ask(self, filters: object = (), options: object = (), *, owner: str | None = None) -> Answer:
        given = list(filters) if isinstance(filters, tuple) else filters
        how = dict(options) if isinstance(options, tuple) else options
        return await get_jobs(self.store, self.render, self.patterns, given, how, owner=owner)

    async def numbers(self, filters: object = (), options: object = ()) -> list[object]:
        answer = await self.ask(filters, options)
        assert isinstance(answer, list)
        return [one["id"] for one in answer]


@pytest.fixture(params=["memory", "sqlite"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    store = MemoryStore() if request.param == "memory" else await open_store(tmp_path / "jobs.db")
    yield Desk(store)
    await store.aclose()


async def eight_jobs(store: Store) -> None:
    await store.commit(
        batch(
            job(1, finished(2000.0), method="pool.scrub"),
            job(2, finished(2500.0, Outcome.FAILED)),
            job(3, finished(1500.0, Outcome.KILLED), method="config.save", owner="eve"),
            job(4, finished(3000.0, Outcome.LOST), method="pool.scrub"),
            job(5, running(), method="pool.scrub"),
            job(6, owner="eve"),
            job(7, method="config.save"),
            job(8, finished(2000.0, Outcome.TIMED_OUT), method="dispatcher.run"),
            next_number=9,
        )
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], [1, 2, 3, 4, 5, 6, 7, 8]),
        ([["id", "=", 4]], [4]),
        ([["id", "=", 99]], []),
        ([["id", "in", [7, 2, 99]]], [2, 7]),
        ([["OR", [["id", "=", 7], ["id", "<", 3]]]], [1, 2, 7]),
        ([["id", "Crin", 4]], []),
        ([["state", "in", ["WAITING", "RUNNING"]]], [5, 6, 7]),
        ([["state", "=", "FAILED"]], [2, 4, 8]),
        ([["state", "C=", "aborted"]], [3]),
        ([["state", "~", "S|R"]], [1, 5]),
        ([["state", "!=", "SUCCESS"], ["method", "=", "pool.scrub"]], [4, 5]),
        ([["method", "=", "dispatcher.run"]], [2, 6, 8]),
        ([["method", "^", "pool."]], [1, 4, 5]),
        ([["method", "~", "(pool|config)"], ["state", "in", "WAITING"]], [7]),
        ([["method", "nin", ["dispatcher.run", "config.save"]]], [1, 4, 5]),
        ([["OR", [["method", "=", "config.save"], ["state", "=", "RUNNING"]]]], [3, 5, 7]),
        ([["time_finished.$date", ">=", "1970-01-01T00:33:20Z"]], [1, 2, 4, 8]),
        ([["time_finished", "=", None]], [5, 6, 7]),
        ([["time_finished", "!=", None], ["id", "<", 3]], [1, 2]),
        ([["time_started", "<", {"$date": 1003000}]], [1, 2]),
        ([["error", "^", "[ECONNABORTED]"]], [4]),
        ([["error", "~", r".*EFAULT"]], [2]),
        ([["credentials.data.username", "=", "eve"]], [3, 6]),
        ([["progress.percent", ">=", 100]], [1]),
        ([["nobody", "!=", 5]], []),
    ],
)
async def test_jobs_are_found_by_any_field(desk, filters, expected):
    await eight_jobs(desk.store)

    assert await desk.numbers(filters) == expected
    assert await desk.ask(filters, {"count": True}) == len(expected)
    assert await desk.numbers(filters, {"limit": 10, "order_by": ["-id"]}) == expected[::-1]


@pytest.mark.parametrize("options", [{}, {"limit": 100}])
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (["id"], [1, 2, 3, 4, 5, 6, 7, 8]),
        (["-id", "state"], [8, 7, 6, 5, 4, 3, 2, 1]),
        (["-time_finished"], [4, 2, 1, 8, 3, 5, 6, 7]),
        (["nulls_first:-time_finished"], [5, 6, 7, 4, 2, 1, 8, 3]),
        (["state", "-id"], [3, 8, 4, 2, 5, 1, 7, 6]),
        (["method", "id"], [3, 7, 2, 6, 8, 1, 4, 5]),
        (["nulls_last:error", "-id"], [4, 2, 8, 7, 6, 5, 3, 1]),
        (["-time_started"], [8, 7, 6, 5, 4, 3, 2, 1]),
    ],
)
async def test_jobs_come_in_the_order_that_was_asked_for(desk, order_by, expected, options):
    await eight_jobs(desk.store)

    numbers = await desk.numbers([], {**options, "order_by": order_by})

    assert numbers == expected


async def test_a_job_is_the_object_that_clients_know_whole_if_its_number_is_named(desk):
    await eight_jobs(desk.store)
    one = (await desk.store.find([4]))[4]

    answer = await desk.ask([["id", "=", 4]], {"get": True})

    assert answer == job_object(one, is_whole=True)
    assert desk.whole == [True]
    desk.whole.clear()
    await desk.ask([["id", ">", 3]])
    assert desk.whole == [False]


async def test_get_gives_the_first_match_and_none_is_an_error(desk):
    await eight_jobs(desk.store)

    first = await desk.ask([["state", "=", "FAILED"]], {"get": True, "select": ["id"]})
    last = await desk.ask(
        [["state", "=", "FAILED"]], {"get": True, "order_by": ["-id"], "select": ["id", ["state", "s"]]}
    )
    assert (first, last) == ({"id": 2}, {"id": 8, "s": "FAILED"})
    with pytest.raises(Problem) as caught:
        await desk.ask([["id", "=", 99]], {"get": True})

    assert caught.value.data is not None
    assert caught.value.data.reason == "MatchNotFound()"


async def test_everything_that_is_wrong_is_reported_at_once(desk):
    with pytest.raises(Problem) as caught:
        await desk.ask(["id", "=", 5], {"limit": -1, "frobnicate": 1})

    assert caught.value.code == INVALID_PARAMS
    assert caught.value.data is not None
    places = [one.parameter for one in caught.value.data.extra]
    assert places == [
        "query-filters.0",
        "query-filters.1",
        "query-filters.2",
        "query-options.frobnicate",
        "query-options.limit",
    ]


async def test_an_owner_sees_only_his_own(desk):
    await eight_jobs(desk.store)

    answer = await desk.ask([], {"select": ["id"]}, owner="eve")

    assert answer == [{"id": 3}, {"id": 6}]
    assert await desk.ask([], {"count": True}, owner="eve") == 2
    assert await desk.ask([["error", "=", None]], {"count": True}, owner="eve") == 2


async def test_only_what_is_shown_is_rendered(desk):
    await eight_jobs(desk.store)

    await desk.ask([["state", "=", "FAILED"]], {"count": True})
    await desk.ask([["OR", [["id", "=", 1], ["state", "=", "RUNNING"]]]], {"count": True})
    assert desk.rendered == []
    await desk.ask([], {"limit": 2, "offset": 3, "order_by": ["-time_finished"]})

    assert desk.rendered == [8, 3]


async def save(store: Store, jobs: Sequence[Job]) -> None:
    await store.commit(batch(*jobs, next_number=max(one.number for one in jobs) + 1))


async def test_without_a_limit_it_is_the_unfinished_jobs_and_the_newest_thousand_finished_ones_that_match(
    desk, monkeypatch
):
    monkeypatch.setattr(job_search, "MOST_FINISHED", 10)
    await save(
        desk.store,
        [job(number, None if number % 10 == 0 else finished(5000.0 - number)) for number in range(1, 51)],
    )
    failed = [job(number, finished(9000.0, Outcome.FAILED)) for number in range(51, 71)]
    await save(desk.store, [*failed, job(71, running())])
    waiting = [10, 20, 30, 40, 50]

    assert await desk.numbers() == [*waiting, *range(61, 72)]
    assert await desk.numbers([], {"order_by": ["-id"]}) == [*range(71, 60, -1), *waiting[::-1]]
    assert await desk.numbers([["state", "=", "SUCCESS"]]) == [39, *range(41, 50)]
    assert await desk.numbers([], {"offset": 14}) == [70, 71]
    assert await desk.numbers([], {"order_by": ["-time_started"], "offset": 1}) == [
        *range(70, 60, -1),
        *waiting[::-1],
    ]
    assert await desk.numbers([["error", "!=", None]]) == [*range(61, 71)]
    assert len(await desk.numbers([], {"limit": 1000})) == 71
    assert await desk.numbers([["state", "=", "SUCCESS"]], {"limit": 2}) == [1, 2]
    assert await desk.ask([], {"get": True, "select": ["id"]}) == {"id": 1}
    assert await desk.ask([["state", "=", "FAILED"]], {"count": True}) == 20


async def test_an_answer_that_no_message_could_hold_is_refused(desk, monkeypatch):
    await save(desk.store, [job(number) for number in range(1, 301)])
    monkeypatch.setattr(job_search, "MOST_UNFINISHED", 299)

    with pytest.raises(InvalidRequest, match="more than 299 unfinished jobs match: use limit and offset"):
        await desk.ask()
    monkeypatch.setattr(job_search, "MOST_BYTES", 20_000)
    desk.rendered.clear()
    with pytest.raises(InvalidRequest, match="would be longer than 20000 bytes: use limit and offset"):
        await desk.ask([], {"limit": 300})
    assert len(desk.rendered) <= 100
    assert await desk.numbers([], {"limit": 300, "select": ["id"]}) == list(range(1, 301))
    monkeypatch.setattr(job_search, "MOST_SORTED", 100)
    with pytest.raises(InvalidRequest, match="only the first 100 jobs in an order that is not by id"):
        await desk.ask([], {"limit": 60, "offset": 50, "order_by": ["state"]})
    monkeypatch.setattr(job_search, "MOST_BYTES", 10)
    assert isinstance(await desk.ask([["id", "=", 5]]), list)


async def test_many_pages_are_gone_through_one_by_one(desk):
    await save(
        desk.store,
        [
            job(n, finished(1000.0 + n, Outcome.FAILED if n % 7 == 0 else Outcome.SUCCESS))
            for n in range(1, 1601)
        ],
    )
    sevenths = list(range(7, 1601, 7))

    assert await desk.ask([["error", "!=", None]], {"count": True}) == len(sevenths)
    assert await desk.numbers([["error", "!=", None]], {"offset": 200, "limit": 20}) == sevenths[200:220]
    odd = [["OR", [["id", "=", 1597], ["state", "=", "FAILED"]]]]
    assert await desk.numbers(odd, {"limit": 3, "order_by": ["-id"]}) == [1597, 1596, 1589]
    assert await desk.numbers([], {"limit": 3, "offset": 1500}) == [1501, 1502, 1503]
    assert await desk.numbers([], {"limit": 3, "offset": 5, "order_by": ["-time_finished"]}) == [
        1595,
        1594,
        1593,
    ]
    assert await desk.numbers([["state", "=", "FAILED"]], {"limit": 2, "order_by": ["error", "-id"]}) != []


class Changing:
    """A store in which something happens just before jobs are read."""

    def __init__(self, store: Store, change: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._change = change
        self.search, self.count, self.methods = store.search, store.count, store.methods

    async def find(self, targets: Sequence[int | str]) -> dict[int | str, Job]:
        await self._change()
        return await self._store.find(targets)


async def test_a_job_that_changed_meanwhile_is_not_shown_with_what_was_not_asked_for(desk):
    await eight_jobs(desk.store)

    async def end() -> None:
        await desk.store.commit(batch(job(5, finished(7000.0), method="pool.scrub")))
        await desk.store.forget(1999.0, 10)

    changing = Changing(desk.store, end)
    running_ones = await get_jobs(
        changing, desk.render, desk.patterns, [["state", "=", "RUNNING"]], {"limit": 5}
    )
    killed = await get_jobs(changing, desk.render, desk.patterns, [["state", "=", "ABORTED"]], {})
    every = await get_jobs(changing, desk.render, desk.patterns, [["error", "!=", "x"]], {"select": ["id"]})

    assert (running_ones, killed) == ([], [])
    assert isinstance(every, list)
    assert [one["id"] for one in every] == [1, 2, 4, 5, 6, 7, 8]


async def test_a_long_look_leaves_others_their_turns(desk):
    texts = ["x" * 60_000] * 100
    jobs = [job(number, finished()) for number in range(1, 151)]
    await save(desk.store, jobs)

    async def render(jobs: Sequence[Job], *, is_whole: bool) -> list[JobObject]:
        await trio.lowlevel.checkpoint()
        return [{"id": one.number, "result": text} for one, text in zip(jobs, texts, strict=False)]

    filters = [["OR", [["result", "Crin", f"y{number}"] for number in range(20)]]]
    turns = 0

    async def live() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        begun = trio.current_time()
        found = await get_jobs(desk.store, render, desk.patterns, filters, {"count": True})
        spent = trio.current_time() - begun
        nursery.cancel_scope.cancel()

    assert found == 0
    assert turns > spent / 0.1


# --- any filters, any jobs ----------------------------------------------------------------------

METHODS = ("", "pool.scrub", "pool.export", "config.save", "dispatcher.run")
PHASES: st.SearchStrategy[Phase] = st.one_of(
    st.just(Pending()),
    st.builds(running, worker=st.integers(1, 3)),
    st.builds(
        finished,
        at=st.sampled_from([1000.0004, 1000.0006, 1000.0015, 1500.25, 2000.0]),
        outcome=st.sampled_from(Outcome),
    ),
)
JOBS = st.lists(
    st.tuples(
        PHASES, st.sampled_from(METHODS), st.sampled_from(["admin", "eve"]), st.sampled_from(["q", "r"])
    ),
    max_size=12,
)
COMPARISONS = ["=", "!=", "<", "<=", ">", ">="]
TEXT_OPERATORS = ["=", "!=", "C=", "<", "^", "C^", "!^", "$", "!$", "rin", "rnin", "Crin", "~"]
TEXTS = st.sampled_from(
    ["pool.scrub", "pool", "dispatcher.run", "FAILED", "failed", "A", "RUNNING", ".*a.*", ""]
)
CHOICES = st.lists(
    st.sampled_from(["pool.scrub", "config.save", "dispatcher.run", "WAITING", "SUCCESS", None, 5]),
    max_size=4,
)
NUMBERS = st.one_of(st.integers(-1, 14), st.sampled_from([2.5, 2**70, None, "5", True]))
MOMENTS = st.sampled_from(
    ["1970-01-01T00:16:40Z", "1970-01-01T00:16:40.001Z", "1970-01-01T00:16:40.0005Z", "1970-01-01T00:16:43Z",
     "1970-01-01T00:25:00.250+00:00", "2020-01-01"]
)  # fmt: skip
CONDITIONS = st.one_of(
    st.tuples(st.just("id"), st.sampled_from(COMPARISONS), NUMBERS),
    st.tuples(st.just("id"), st.sampled_from(["in", "nin", "Cin"]), st.lists(NUMBERS, max_size=5)),
    st.tuples(st.sampled_from(["state", "method", "error"]), st.sampled_from(TEXT_OPERATORS), TEXTS),
    st.tuples(st.sampled_from(["state", "method"]), st.sampled_from(["in", "nin", "Cin"]), CHOICES),
    st.tuples(st.sampled_from(["time_started.$date", "time_finished.$date"]), st.sampled_from(COMPARISONS), MOMENTS),
    st.tuples(
        st.sampled_from(["time_started", "time_finished", "state.x", "nobody"]),
        st.sampled_from(COMPARISONS),
        st.sampled_from([None, {"$date": 1_000_000}, {"$date": 1_000_001}, 5]),
    ),
).map(list)  # fmt: skip
FILTERS = st.lists(
    st.one_of(
        CONDITIONS,
        st.lists(
            st.one_of(CONDITIONS, st.lists(CONDITIONS, min_size=1, max_size=2)), min_size=1, max_size=3
        ).map(lambda branches: ["OR", branches]),
    ),
    max_size=3,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "order_by": st.lists(
            st.sampled_from(
                ["id", "-id", "state", "-time_finished", "nulls_last:time_finished", "method", "-error"]
            ),
            max_size=2,
        ),
        "limit": st.integers(0, 5),
        "offset": st.integers(0, 4),
        "count": st.booleans(),
        "get": st.booleans(),
        "select": st.sampled_from([["id"], ["id", "progress.percent"], [["state", "s"], "id"]]),
    },
)


def matched_by_re(filters: Filters, subjects: Sequence[object]) -> Matched:
    """Match here: nothing in these patterns takes long."""
    return {one: re.match(*one) is not None for one in asked(filters, subjects)}


async def match_here(_: object, pattern: str, texts: list[str]) -> Matched:
    await trio.lowlevel.checkpoint()
    return {(pattern, text): re.match(pattern, text) is not None for text in texts}


@settings(max_examples=40, deadline=None)
@given(given_jobs=JOBS, questions=st.lists(st.tuples(FILTERS, OPTIONS), min_size=1, max_size=12))
def test_the_answer_is_what_a_look_at_every_job_gives(given_jobs, questions):
    jobs = [
        job(number, phase, method=method, owner=owner, queue=queue)
        for number, (phase, method, owner, queue) in enumerate(given_jobs, 1)
    ]
    objects = [job_object(one) for one in jobs]

    def expected(filters: list[object], options: dict[str, object]) -> object:
        wanted = read_filters(filters, [])
        try:
            return query(objects, wanted, read_options(options, []), matched_by_re(wanted, objects))
        except Problem as problem:
            return str(problem)

    async def answered(desk: Desk, filters: list[object], options: dict[str, object]) -> object:
        try:
            return await desk.ask(filters, options)
        except Problem as problem:
            return str(problem)

    async def compare(folder: str) -> None:
        for store in (MemoryStore(), await open_store(Path(folder) / "jobs.db")):
            await store.commit(batch(*jobs, next_number=len(jobs) + 1))
            desk = Desk(store)
            for filters, options in questions:
                assert await answered(desk, filters, options) == expected(filters, options)
            await store.aclose()

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("dispatcher.api.truenas.patterns.Matcher._match", match_here)
        trio.run(compare, folder)


@settings(max_examples=100, deadline=None)
@given(given_jobs=JOBS, filters=FILTERS)
def test_what_the_store_is_asked_and_what_is_left_are_together_the_filters(given_jobs, filters):
    jobs = [job(number, phase, method=method) for number, (phase, method, _, _) in enumerate(given_jobs, 1)]
    objects = [job_object(one) for one in jobs]
    wanted = read_filters(filters, [])
    states = ("WAITING", "RUNNING", "SUCCESS", "FAILED", "ABORTED")
    domain = [*objects, *({"method": name, "state": state} for name in METHODS for state in states)]
    matched = matched_by_re(wanted, domain)

    plan = planned(wanted, sorted({*METHODS} - {""}), matched)
    store = MemoryStore()
    trio.run(store.commit, batch(*jobs, next_number=len(jobs) + 1))
    found = trio.run(store.search, plan.query, None, 100)

    by_number = {one["id"]: one for one in objects}
    passing = {one["id"] for one in objects if holds(wanted, one, matched)}
    left = plan.quick + plan.slow
    assert passing == {one.number for one in found.entries if holds(left, by_number[one.number], matched)}
    assert all(
        holds(plan.quick, view(one), matched) == holds(plan.quick, by_number[one.number], matched)
        for one in found.entries
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([["state", "=", "FAILED"]], JobQuery(live=frozenset(), outcomes=OUTCOMES - {Outcome.SUCCESS, Outcome.KILLED})),
        ([["state", "nin", "WAITING"]], None),
        ([["id", ">", 5], ["id", "<=", 9]], JobQuery(numbers=((6, 9),))),
        ([["id", "!=", 5]], JobQuery(numbers=((1, 4), (6, 2**63 - 1)))),
        ([["method", "^", "pool."]], JobQuery(methods=frozenset(["pool.scrub", "pool.export"]))),
        ([["method", "in", ["dispatcher.run"]]], JobQuery(methods=frozenset(["dispatcher.run", ""]))),
        ([["time_finished", "!=", None]], JobQuery(live=frozenset())),
        ([["time_finished", "=", None]], JobQuery(outcomes=frozenset())),
        ([["time_finished.$date", "<", "1970-01-01T00:00:01Z"]], None),
    ],
)  # fmt: skip
def test_filters_that_the_store_can_answer_leave_nothing_to_look_at(filters, expected):
    wanted = read_filters(filters, [])

    plan = planned(wanted, ["pool.scrub", "pool.export", "config.save"])

    assert plan.is_exact
    if expected is not None:
        assert plan.query == expected
    assert asks_methods(wanted) is (filters[0][0] == "method")


@given(milliseconds=st.integers(-(10**12), 4 * 10**12))
def test_an_instant_becomes_the_lowest_float_that_is_shown_as_it(milliseconds):
    wanted = read_filters([["time_started", "=", {"$date": milliseconds}]], [])

    spans = planned(wanted, ()).query.submitted

    assert spans is not None
    ((low, high),) = spans
    assert instant(low) == {"$date": milliseconds} == instant(math.nextafter(high, -math.inf))
    assert instant(math.nextafter(low, -math.inf)) == {"$date": milliseconds - 1}
    assert instant(high) == {"$date": milliseconds + 1}


def test_an_entry_looks_like_the_job():
    jobs = [job(number, phase, method=method) for number, (phase, method) in enumerate(
        [(Pending(), ""), (running(), "a.b"), *((finished(1234.5678, one), "") for one in Outcome)], 1
    )]  # fmt: skip

    for one in jobs:
        seen = job_object(one)
        assert view(entry_of(one)) == {name: seen[name] for name in view(entry_of(one))}
    assert {entry_of(one).state for one in jobs} > LIVE
    assert msgspec.json.encode(view(entry_of(jobs[0])))
