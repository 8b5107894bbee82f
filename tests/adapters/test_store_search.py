"""What every store promises about searches: exactly what the query says, piece by piece, in order."""

from itertools import product

import msgspec
import pytest

from dispatcher.core.model import Outcome, State
from dispatcher.store.job_query import Counted, Entry, Found, Instants, JobQuery, Sorting
from dispatcher.store.port import Store
from tests.adapters.sample_jobs import batch, finished, job, running

NOBODY: frozenset[State] = frozenset()
NEVER: frozenset[Outcome] = frozenset()


async def many(store: Store) -> None:
    await store.commit(
        batch(
            job(1, finished(2000.0), method="pool.scrub"),
            job(2, finished(2500.0, Outcome.FAILED), queue="pkg_queue"),
            job(3, finished(1500.0, Outcome.KILLED), method="config.save", owner="eve"),
            job(4, finished(3000.0, Outcome.LOST), method="pool.scrub"),
            job(5, running(), queue="pkg_queue", method="pool.scrub"),
            job(6, owner="eve"),
            job(7, queue="pkg_queue", method="config.save"),
            job(8, running(8)),
            next_number=9,
        )
    )


def numbers(found: Found) -> list[int]:
    return [one.number for one in found.entries]


EVERY = [1, 2, 3, 4, 5, 6, 7, 8]
QUERIES = [
    (JobQuery(), EVERY),
    (JobQuery(live=NOBODY), [1, 2, 3, 4]),
    (JobQuery(outcomes=NEVER), [5, 6, 7, 8]),
    (JobQuery(live=NOBODY, outcomes=NEVER), []),
    (JobQuery(live=frozenset([State.PENDING]), outcomes=NEVER), [6, 7]),
    (JobQuery(live=frozenset([State.RUNNING]), outcomes=frozenset([Outcome.LOST])), [4, 5, 8]),
    (JobQuery(live=NOBODY, outcomes=frozenset([Outcome.FAILED, Outcome.KILLED])), [2, 3]),
    (JobQuery(methods=frozenset(["pool.scrub"])), [1, 4, 5]),
    (JobQuery(methods=frozenset(["pool.scrub", "config.save"]), outcomes=NEVER), [5, 7]),
    (JobQuery(methods=frozenset([""])), [2, 6, 8]),
    (JobQuery(methods=frozenset(["", "config.save"]), live=NOBODY), [2, 3]),
    (JobQuery(methods=frozenset(["config.save", "\ud800", "\0", "never"])), [3, 7]),
    (JobQuery(methods=frozenset(["", "\ud800"])), [2, 6, 8]),
    (JobQuery(methods=frozenset()), []),
    (JobQuery(owner="eve"), [3, 6]),
    (JobQuery(owner="\ud800"), []),
    (JobQuery(owner="eve", live=NOBODY), [3]),
    (JobQuery(owner="eve", methods=frozenset(["config.save"])), [3]),
    (JobQuery(finished=((1500.0, 2500.0),)), [1, 3]),
    (JobQuery(finished=((float("-inf"), 1501.0), (2500.0, float("inf"))), methods=frozenset([""])), [2]),
    (JobQuery(finished=()), []),
    (JobQuery(submitted=((1002.0, 1005.0),)), [2, 3, 4]),
    (JobQuery(submitted=((1002.0, 1003.0), (1007.0, 1008.0))), [2, 7]),
    (JobQuery(numbers=((1, 1), (3, 5), (8, 2**63 - 1))), [1, 3, 4, 5, 8]),
    (JobQuery(numbers=((2, 7),), live=NOBODY, outcomes=frozenset([Outcome.KILLED])), [3]),
    (JobQuery(numbers=((2, 2**63 - 1),), live=NOBODY, outcomes=frozenset([Outcome.SUCCESS])), []),
    (JobQuery(numbers=((2, 2**63 - 1),), methods=frozenset(["pool.scrub"])), [4, 5]),
    (JobQuery(numbers=()), []),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
async def test_a_search_finds_what_the_query_says_in_pieces_and_in_order(store, query, expected):
    await many(store)
    for newest_first, limit in product((False, True), (1, 2, 100)):
        asked = msgspec.structs.replace(query, newest_first=newest_first)
        found = list[int]()
        after: int | None = None
        is_over = False

        while not is_over:
            piece = await store.search(asked, after, limit)
            assert len(piece.entries) <= limit
            found += numbers(piece)
            after = piece.after
            is_over = after is None

        assert found == (expected[::-1] if newest_first else expected)
        assert await store.count(asked, None) == Counted(len(expected), None)


async def test_an_entry_has_what_the_store_knows_without_reading_the_job(store):
    await many(store)

    found = await store.search(JobQuery(numbers=((4, 5),)), None, 9)

    assert found == Found(
        (
            Entry(4, State.FINISHED, Outcome.LOST, "pool.scrub", 1004.0, 3000.0),
            Entry(5, State.RUNNING, None, "pool.scrub", 1005.0, None),
        ),
        None,
    )


@pytest.mark.parametrize(
    ("sorting", "expected"),
    [
        (Sorting(Instants.SUBMITTED), [1, 2, 3, 4, 5, 6, 7, 8]),
        (Sorting(Instants.SUBMITTED, descends=True, nulls_first=False), [8, 7, 6, 5, 4, 3, 2, 1]),
        (Sorting(Instants.FINISHED), [5, 6, 7, 8, 3, 1, 2, 4]),
        (Sorting(Instants.FINISHED, nulls_first=False), [3, 1, 2, 4, 5, 6, 7, 8]),
        (Sorting(Instants.FINISHED, descends=True), [5, 6, 7, 8, 4, 2, 1, 3]),
        (Sorting(Instants.FINISHED, descends=True, nulls_first=False), [4, 2, 1, 3, 5, 6, 7, 8]),
    ],
)
async def test_a_sorted_search_gives_the_first_ones_in_that_order(store, sorting, expected):
    await many(store)

    for limit in (1, 3, 9):
        found = await store.search(JobQuery(sorting=sorting), None, limit)
        assert numbers(found) == expected[:limit]
        assert found.after is None
    found = await store.search(JobQuery(sorting=sorting, numbers=((1, 2), (5, 6))), 1, 9)
    assert numbers(found) == [number for number in expected if number in (2, 5, 6)]


async def test_methods_are_named_once_each_in_order(store):
    assert await store.methods() == ()
    await many(store)

    methods = await store.methods()

    assert methods == ("config.save", "pool.scrub")


async def test_a_job_is_found_by_its_new_state_as_soon_as_it_is_saved(store):
    await many(store)
    await store.commit(
        batch(job(5, finished(9000.0, Outcome.FAILED), queue="pkg_queue", method="pool.scrub"))
    )

    failed = await store.search(JobQuery(live=NOBODY, outcomes=frozenset([Outcome.FAILED])), None, 9)
    unfinished = await store.search(JobQuery(outcomes=NEVER, methods=frozenset(["pool.scrub"])), None, 9)
    await store.forget(9001.0, 100)
    left = await store.search(JobQuery(), None, 9)

    assert numbers(failed) == [2, 5]
    assert numbers(unfinished) == []
    assert numbers(left) == [6, 7, 8]


async def test_a_search_over_more_lanes_than_one_union_can_merge_is_in_order(store):
    jobs = [job(n, queue=f"q{n * 7919 % 1009}", method=f"m{n * 7919 % 97}") for n in range(1, 901)]
    await store.commit(batch(*jobs, job(901, finished()), next_number=902))
    called = JobQuery(methods=frozenset(f"m{number}" for number in range(96)))
    all_but_one = [one.number for one in jobs if one.number * 7919 % 97 != 96]

    by_queue = await store.search(JobQuery(outcomes=NEVER), 399, 400)
    by_method = await store.search(called, None, 1000)
    newest = await store.search(msgspec.structs.replace(called, newest_first=True), None, 1000)

    assert numbers(by_queue) == list(range(400, 800))
    assert numbers(by_method) == all_but_one == numbers(newest)[::-1]
