"""What every store promises about lists: their order, their parts and their filters."""

import pytest

from dispatcher.core.model import Outcome, Pending, State
from dispatcher.store.port import JobFilter, Page, Store
from tests.adapters.sample_jobs import batch, finished, job, numbers, running


async def many(store: Store) -> None:
    """Save jobs 1 to 12; the comment is the order of the list."""
    await store.commit(
        batch(
            job(1, finished(3000.0)),  # 8th
            job(2, finished(4000.0, Outcome.FAILED), queue="pkg_queue"),  # 7th
            job(3, finished(2000.0), queue="pkg_queue"),  # 10th
            job(4, finished(2000.0, Outcome.KILLED)),  # 9th: equal ends, the higher number first
            job(5, running(), queue="pkg_queue"),  # 1st
            job(6, Pending(worker=1)),  # 3rd
            job(7, queue="pkg_queue"),  # 4th
            job(8, running()),  # 2nd
            job(9),  # 5th
            job(10, queue="pkg_queue"),  # 6th
            next_number=11,
            changed=10,
        )
    )


ALL = [5, 8, 6, 7, 9, 10, 2, 1, 4, 3]


async def test_a_list_has_running_jobs_first_then_pending_ones_then_finished_ones_newest_first(store):
    await many(store)

    page = await store.page(JobFilter(), 0, 100)

    assert numbers(page.jobs) == ALL


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 3), (1, 4), (2, 2), (4, 6), (6, 2), (9, 5), (10, 1), (3, 0), (2**70, 5)]
)
async def test_a_page_is_a_part_of_the_list_and_its_total_is_of_the_whole(store, offset, limit):
    await many(store)

    page = await store.page(JobFilter(), offset, limit)

    assert numbers(page.jobs) == ALL[offset : offset + limit]
    assert page.total == 10


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (JobFilter(live=True), [5, 8, 6, 7, 9, 10]),
        (JobFilter(live=False), [2, 1, 4, 3]),
        (JobFilter(queue="pkg_queue"), [5, 7, 10, 2, 3]),
        (JobFilter(queue="nothing"), []),
        (JobFilter(state=State.PENDING), [6, 7, 9, 10]),
        (JobFilter(state=State.RUNNING, queue="no_queue"), [8]),
        (JobFilter(state=State.FINISHED, live=True), []),
        (JobFilter(state=State.RUNNING, live=False), []),
        (JobFilter(outcome=Outcome.SUCCESS), [1, 3]),
        (JobFilter(outcome=Outcome.FAILED, queue="no_queue"), []),
        (JobFilter(outcome=Outcome.SUCCESS, live=True), []),
        (JobFilter(since=3000.0), [5, 8, 6, 7, 9, 10, 2, 1]),
        (JobFilter(since=3000.0, live=False), [2, 1]),
        (JobFilter(until=3000.0), [4, 3]),
        (JobFilter(since=2000.0, until=4000.0, queue="no_queue"), [1, 4]),
        (JobFilter(key="key-3"), [3]),
        (JobFilter(key="key-9"), [9]),
        (JobFilter(key="key-9", queue="pkg_queue"), []),
        (JobFilter(key="key-9", state=State.RUNNING), []),
        (JobFilter(key="key-2", outcome=Outcome.FAILED, since=1.0, until=9e9), [2]),
        (JobFilter(key="key-2", outcome=Outcome.SUCCESS), []),
        (JobFilter(key="nobody"), []),
    ],
)
async def test_a_filter_keeps_what_it_names(store, which, expected):
    await many(store)

    page = await store.page(which, 0, 100)

    assert numbers(page.jobs) == expected
    assert page.total == len(expected)


async def test_the_live_list_of_a_queue_is_in_starting_order(store):
    await many(store)

    page = await store.live("pkg_queue", 1, 5)

    assert numbers(page.jobs) == [7, 10]
    assert page.total == 3


@pytest.mark.parametrize("target", ["\ud800", "\0", "", 2**63, -(2**63) - 1, 10**30, 0, -1])
async def test_a_name_that_no_job_can_have_is_simply_not_there(store, target):
    await many(store)

    assert await store.find([target, 9]) == {9: job(9)}
    assert await store.newest(target) is None
    assert await store.page(JobFilter(key=str(target), queue="no_queue"), 0, 9) == Page((), 0)
    assert await store.page(JobFilter(key="key-9", queue=str(target)), 0, 9) == Page((), 0)
