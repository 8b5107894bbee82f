"""The engine's promises, with a store in memory and a runner that runs nothing."""

from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from dispatcher.core import messages as m
from dispatcher.core.hold import StartAgain, StopAll
from dispatcher.core.model import Outcome, Queue, State
from dispatcher.core.schedule import HEADS
from dispatcher.engine import Engine
from dispatcher.errors import Refused, StoreFailed
from dispatcher.hub import Hub
from dispatcher.runner.fake import FakeRunner
from dispatcher.store.memory import MemoryStore
from dispatcher.store.port import JobFilter
from tests.core.jobs import submission

QUEUES = (Queue("serial", concurrency=1), Queue("wide", concurrency=100))


class Ears:
    """A feed that remembers what it heard, and what was on disk at that moment."""

    def __init__(self, store):
        self.heard = []
        self._store = store

    def tell(self, job):
        self.heard.append(job)

    def of(self, number):
        return [str(job.state) for job in self.heard if job.number == number]


class House:
    def __init__(self, store):
        self.store = store
        self.hub = Hub()
        self.runner = FakeRunner(trio.current_time)
        self.ears = Ears(store)
        self.hub.attach(self.ears)
        self.engine: Any = None

    async def submit(self, key, queue="serial", commands=("true",)):
        return (await self.engine.execute(m.Submit(submission(key, queue, commands), 1.0))).job


@asynccontextmanager
async def house(store=None):
    it = House(store or MemoryStore())
    restored = await it.store.restore(HEADS)
    it.engine = Engine(it.store, it.hub, it.runner, QUEUES, restored, boot_id="b", clock=trio.current_time)
    it.runner.report_to(it.engine.post)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.engine.run)
        yield it
        nursery.cancel_scope.cancel()


async def settle(house):
    """Wait until the engine has worked through what was posted."""
    await house.engine.execute(m.Prepare(0))


async def test_an_answered_submit_is_on_disk_and_told(autojump_clock):
    async with house() as it:
        job = await it.submit("a")

        assert (await it.store.newest(job.number)).key == "a"
        assert it.ears.of(job.number) == ["pending", "running"]


async def test_events_have_rising_numbers_without_gaps(autojump_clock):
    async with house() as it:
        for number in range(5):
            await it.submit(f"k{number}", "wide")
        for number in list(it.runner.started):
            it.runner.finish(number)
        await settle(it)

        assert [job.changed for job in it.ears.heard] == list(range(1, 16))


async def test_a_serial_queue_starts_jobs_in_the_order_of_their_answers(autojump_clock):
    async with house() as it:
        answered = [(await it.submit(f"k{n}")).number for n in range(20)]
        while it.runner.started:
            it.runner.finish(min(it.runner.started))
            await settle(it)

        assert it.runner.order == answered


async def test_requests_that_come_together_are_saved_together(autojump_clock):
    async with house() as it:
        before = it.store.commits

        answers = await it.engine.execute_all([m.Submit(submission(f"k{n}", "wide"), 1.0) for n in range(50)])

        assert len({answer.job.number for answer in answers}) == 50
        assert it.store.commits == before + 1


async def test_one_refused_request_does_not_harm_its_neighbours(autojump_clock):
    async with house() as it:
        first, second, third = await it.engine.execute_all(
            [m.Submit(submission(key), 1.0) for key in ("a", "a", "b")]
        )

        assert isinstance(first, m.Submitted)
        assert isinstance(second, Refused)
        assert third.job.key == "b"


async def test_a_cancelled_wait_does_not_undo_the_request(autojump_clock):
    async with house() as it:
        with trio.CancelScope() as scope:
            scope.cancel()
            await it.submit("a")
        await settle(it)

        assert (await it.store.newest("a")).state is State.RUNNING


async def test_a_failed_save_refuses_the_requests_and_changes_nothing(autojump_clock):
    async with house() as it:
        await it.submit("before")
        it.store.fail_next("cannot save: the disk is full")

        with pytest.raises(StoreFailed, match="the disk is full"):
            await it.submit("a")
        job = await it.submit("a")

        assert job.number == 2, "the number of what was not saved is free"
        assert it.ears.of(2) == ["pending"]


async def test_a_hold_that_could_not_be_saved_is_none_and_one_that_was_outlives_a_failed_save(autojump_clock):
    async with house() as it:
        await it.submit("a")
        it.store.fail_next("cannot save: the disk is full")
        with pytest.raises(StoreFailed):
            await it.engine.execute(StopAll("", 1.0, "machine shutdown"))
        other = await it.submit("other", queue="wide")
        after_failure = it.engine.queues[0]
        await it.engine.execute(StopAll("", 1.0, "machine shutdown"))
        it.store.fail_next("cannot save: the disk is full")
        with pytest.raises(StoreFailed):
            await it.submit("b", queue="wide")
        waits = await it.submit("c", queue="wide")

        assert not after_failure.is_held
        assert it.engine.queues[0].is_held
        assert waits.state is State.PENDING
        assert list(it.runner.started) == [1, other.number]
        await it.engine.execute(StartAgain(2.0))
        assert list(it.runner.started) == [1, other.number, waits.number]
        assert not it.engine.queues[0].is_held


async def test_facts_of_a_failed_save_are_tried_again_and_acknowledged_only_then(autojump_clock):
    async with house() as it:
        job = await it.submit("a")
        running = it.runner.started[job.number]
        acknowledged = []
        it.store.fail_next("cannot save: the disk is full")
        it.runner.post(
            m.JobEnded(job.number, running.worker, Outcome.SUCCESS, 2.0), lambda: acknowledged.append(1)
        )
        await trio.testing.wait_all_tasks_blocked()

        assert acknowledged == []
        await trio.sleep(10)
        assert acknowledged == [1]
        assert (await it.store.newest("a")).phase.outcome is Outcome.SUCCESS
        assert it.runner.adopted[-1] == [job.number], "what workers have is settled anew"


async def test_after_a_restart_waiting_jobs_go_on_and_running_ones_are_settled(autojump_clock):
    store = MemoryStore()
    async with house(store) as it:
        for key in ("a", "b", "c"):
            await it.submit(key)
    async with house(store) as it:
        await settle(it)

        assert it.runner.adopted == [[1]]
        assert it.runner.order == []
        job: Any = await store.newest("a")
        it.runner.post(m.JobEnded(1, job.worker, Outcome.SUCCESS, 5.0))
        await settle(it)
        assert it.runner.order == [2]
        assert (await it.submit("d")).number == 4


async def test_a_backlog_beyond_the_heads_runs_in_order_and_keys_in_it_are_known(autojump_clock):
    async with house() as it:
        total = HEADS + 300
        for number in range(total):
            await it.submit(f"k{number}")
        with pytest.raises(Refused, match="in use"):
            await it.submit(f"k{total - 1}")
        killed = await it.engine.execute(m.Kill(f"k{total - 2}", "alice", 1.0))
        while it.runner.started:
            it.runner.finish(min(it.runner.started))
            await settle(it)

        assert killed.job.state is State.FINISHED
        expected = [n for n in range(1, total + 1) if n != total - 1]
        assert it.runner.order == expected
        assert (await it.store.page(JobFilter(live=True), 0, 10)).total == 0


async def test_two_kills_of_one_job_on_disk_in_one_batch_agree(autojump_clock):
    async with house() as it:
        for number in range(HEADS + 20):
            await it.submit(f"k{number}")
        target = f"k{HEADS + 10}"

        first, second = await it.engine.execute_all([m.Kill(target, "a", 1.0), m.Kill(target, "b", 1.0)])

        assert first.job.state is State.FINISHED
        assert second.job is None
        (serial, _) = it.engine.queues
        assert serial.pending == HEADS + 20 - 2


async def test_memory_does_not_grow_with_the_backlog(autojump_clock):
    async with house() as it:
        for lot in range(10):
            await it.engine.execute_all([m.Submit(submission(f"{lot}-{n}"), 1.0) for n in range(500)])

        (serial, _) = it.engine.queues
        assert serial.pending == 4999
        assert len(it.engine._machine.jobs) == HEADS + 1
        assert len(it.engine._machine.keys) == HEADS + 1
