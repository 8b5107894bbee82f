"""What every store promises about saving; SQLite and the fake in memory are held to the same."""

import pytest

from dispatcher.core.model import Outcome, Pending
from dispatcher.errors import StoreFailed
from dispatcher.store.memory import MemoryStore
from dispatcher.store.port import JobFilter, Page
from tests.adapters.sample_jobs import batch, every_kind, finished, job, numbers, running


async def test_a_new_store_is_empty_and_has_an_installation_of_its_own(place, store):
    first = await store.restore(10)

    assert len(first.installation) == 36
    assert (first.generation, first.next_number, first.changed) == (1, 1, 0)
    assert (first.active, first.heads, first.waiting, first.paused) == ((), {}, {}, frozenset())
    assert await store.page(JobFilter(), 0, 10) == Page((), 0)


async def test_each_start_is_counted_and_the_installation_stays(place, store):
    first = await store.restore(10)
    again = await store.restore(10, count_start=False)
    second = await (await place.reopen()).restore(10)

    assert again == first
    assert (second.installation, second.generation) == (first.installation, 2)


async def test_every_kind_of_job_comes_back_as_it_was_saved(place, store):
    await store.commit(batch(*every_kind(), next_number=7, changed=16))

    store = await place.reopen()

    assert await store.find([1, 2, 3, 4, 5, 6]) == {job.number: job for job in every_kind()}
    assert (await store.page(JobFilter(), 0, 10)).total == 6


async def test_a_saved_change_replaces_the_job(store):
    await store.commit(batch(job(1), next_number=2, changed=1))
    await store.commit(batch(job(1, running(), changed=2), next_number=2, changed=2))
    await store.commit(batch(job(1, finished(), changed=3), next_number=2, changed=3))

    assert await store.find([1]) == {1: job(1, finished(), changed=3)}
    assert await store.page(JobFilter(), 0, 10) == Page((job(1, finished(), changed=3),), 1)


async def test_jobs_below_the_next_number_that_were_never_saved_are_added(store):
    await store.commit(batch(job(9), next_number=10))
    await store.commit(batch(job(3), job(9, running()), next_number=10))

    assert await store.find([3, 9]) == {3: job(3), 9: job(9, running())}


async def test_numbers_and_events_never_go_back(place, store):
    await store.commit(batch(next_number=50, changed=70))
    await store.commit(batch(next_number=20, changed=30))

    restored = await (await place.reopen()).restore(1)

    assert (restored.next_number, restored.changed) == (50, 70)


async def test_pauses_are_remembered_until_they_are_lifted(place, store):
    await store.commit(batch(paused={"a": True, "b": True, "c": False}))
    await store.commit(batch(paused={"a": True, "b": False}))

    assert (await (await place.reopen()).restore(1)).paused == {"a"}


async def test_a_start_gets_what_workers_may_have_and_the_heads_of_each_queue(place, store):
    lying_ahead = Pending(worker=5, boot_id="b")
    await store.commit(
        batch(
            job(1, finished()),
            job(2, running()),
            job(3, lying_ahead),
            *(job(n) for n in range(4, 9)),
            job(9, queue="pkg_queue"),
            job(10, lying_ahead, queue="iocage_queue"),
            next_number=11,
        )
    )

    restored = await (await place.reopen()).restore(2)

    assert numbers(restored.active) == [2, 3, 10]
    assert {queue: numbers(jobs) for queue, jobs in restored.heads.items()} == {
        "no_queue": [4, 5],
        "pkg_queue": [9],
    }
    assert restored.waiting == {"no_queue": 5, "pkg_queue": 1}


async def test_loads_give_pending_jobs_behind_a_number_as_they_are_after_the_batch(store):
    await store.commit(batch(*(job(n) for n in range(1, 8)), next_number=8))
    change = batch(job(3, Pending(worker=4)), job(4, running()), job(8), job(9, queue="q"), next_number=10)

    answer = await store.commit(
        change, [("no_queue", 1, 3), ("no_queue", 7, 9), ("q", 0, 1), ("nothing", 0, 5)]
    )

    assert [numbers(jobs) for jobs in answer] == [[2, 5, 6], [8], [9], []]


async def test_find_knows_any_number_but_only_live_keys(store):
    await store.commit(
        batch(job(1, finished(), key="a"), job(2, key="b"), job(3, running(), key="c"), next_number=4)
    )

    found = await store.find([1, "a", "b", "c", 77, "nobody"])

    assert {target: one.number for target, one in found.items()} == {1: 1, "b": 2, "c": 3}


async def test_a_key_means_the_live_job_or_else_the_finished_one_of_the_highest_number(store):
    # The clock was set back between the two: the number decides, not the time.
    await store.commit(
        batch(
            job(1, finished(9000.0), key="a"),
            job(2, finished(100.0), key="a"),
            job(3, key="b"),
            next_number=4,
        )
    )
    assert (await store.newest("a")).number == 2

    await store.commit(batch(job(4, key="a"), next_number=5))
    assert (await store.newest("a")).number == 4

    assert (await store.newest("b")).number == 3
    assert (await store.newest(1)).number == 1
    assert await store.newest("nobody") is None
    assert await store.newest(77) is None


async def test_a_second_live_job_with_a_key_is_refused_and_nothing_of_its_batch_is_saved(store):
    await store.commit(batch(job(1, key="a"), next_number=2, changed=1))

    with pytest.raises(StoreFailed, match=r"cannot save.*nothing of the batch was saved"):
        await store.commit(batch(job(2), job(3, key="a"), paused={"q": True}, next_number=4, changed=3))

    assert await store.find([1, 2, 3]) == {1: job(1, key="a")}
    restored = await store.restore(5)
    assert (restored.next_number, restored.changed, restored.paused) == (2, 1, frozenset())
    await store.commit(batch(job(2), next_number=3))
    assert await store.find([2]) == {2: job(2)}


async def test_a_key_is_free_again_in_the_batch_that_ends_its_job(store):
    await store.commit(batch(job(5, key="a"), next_number=6))

    await store.commit(batch(job(6, key="a"), job(5, finished(), key="a"), next_number=7))
    await store.commit(batch(job(8, running(), key="b"), job(7, finished(), key="b"), next_number=9))

    assert numbers((await store.find(["a", "b"])).values()) == [6, 8]


async def test_changes_come_in_the_order_of_their_events_each_job_once(store):
    await store.commit(
        batch(job(1, changed=4), job(2, changed=2), job(3, changed=3), next_number=4, changed=4)
    )

    some = await store.changed_since(1, 2)
    rest = await store.changed_since(3, 2)

    assert (numbers(some.jobs), some.more, some.first_kept) == ([2, 3], True, 0)
    assert (numbers(rest.jobs), rest.more) == ([1], False)
    assert (await store.changed_since(4, 2)).jobs == ()
    assert (await store.changed_since(2**70, 2)).jobs == ()


async def test_forgetting_takes_the_oldest_ends_and_says_which_events_are_gone(place, store):
    await store.commit(
        batch(
            job(1, finished(3000.0), changed=31),
            job(2, finished(1000.0), changed=40, queue="q"),
            job(3, finished(2000.0, Outcome.LOST), changed=33),
            job(4, running(), changed=34),
            job(5, changed=35),
            job(6, finished(4000.0), changed=36),
            next_number=7,
            changed=40,
        )
    )

    assert await store.forget(4000.0, 2) == (2, 3)
    assert await store.forget(4000.0, 2) == (1,)
    assert await store.forget(4000.0, 2) == ()

    store = await place.reopen()
    changes = await store.changed_since(0, 10)
    assert (numbers(changes.jobs), changes.first_kept) == ([4, 5, 6], 41)
    assert (await store.page(JobFilter(live=False), 0, 10)).total == 1
    assert await store.newest("key-1") is None
    assert (await store.restore(1)).next_number == 7


async def test_closing_twice_does_no_harm(store):
    await store.aclose()
    await store.aclose()


async def test_the_fake_fails_when_told_and_then_works_again():
    store = MemoryStore()
    store.fail_next("cannot save: the disk is full")

    with pytest.raises(StoreFailed, match="the disk is full"):
        await store.commit(batch(job(1), next_number=2))

    assert await store.find([1]) == {}
    await store.commit(batch(job(1), next_number=2))
    assert await store.find([1]) == {1: job(1)}
