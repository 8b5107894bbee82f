"""What the engine may count on: one contract for the real pool, with real workers, and for its fake."""

import os
import signal
from typing import NamedTuple

import pytest
import trio
import trio.testing

from dispatcher.core import messages as m
from dispatcher.core.model import Outcome
from dispatcher.runner.fake import FakeRunner
from dispatcher.runner.port import Runner
from dispatcher.runner.processes import process
from dispatcher.runner.spawning import Spawning
from tests.adapters.workers import House, ahead_job, running_job

SLEEP = ("sleep", "1000")


class Runs(NamedTuple):
    """A runner, and where its facts arrive."""

    runner: Runner
    house: House


@pytest.fixture(params=["fake", "pool"])
async def runs(request, tmp_path_factory, nursery):
    house = House(tmp_path_factory.mktemp("w"))
    if request.param == "fake":
        fake = FakeRunner()
        fake.report_to(house.post)
        yield Runs(fake, house)
        return
    house.pool.report_to(house.post)
    await nursery.start(house.pool.run)
    yield Runs(house.pool, house)
    for worker in {fact.worker for fact in house.facts(m.WorkerReported)}:
        house.pool.end(worker)
    house.pool.flush()
    with trio.fail_after(10):
        await house.until(lambda: not house.pool._links)


async def test_a_forked_worker_reports_that_it_has_nothing(runs):
    runs.runner.fork(5)
    await runs.house.until(lambda: runs.house.facts(m.WorkerReported))

    (report,) = runs.house.facts(m.WorkerReported)
    assert (report.worker, report.known, report.missing) == (5, (), ())


async def test_a_started_job_tells_each_step_once_and_in_order(runs):
    job = running_job(7, 5, 3, ("true",), ("true",))
    runs.runner.start(job)
    runs.runner.flush()
    if isinstance(runs.runner, FakeRunner):
        runs.runner.finish(7)
    await runs.house.until(lambda: runs.house.facts(m.JobEnded))

    steps = runs.house.facts(m.Taken, m.CommandStarted, m.CommandEnded, m.JobEnded)
    kinds = ["Taken", "CommandStarted", "CommandEnded", "CommandStarted", "CommandEnded", "JobEnded"]
    assert [type(fact).__name__ for fact in steps] == kinds
    assert {(fact.job, fact.worker) for fact in steps} == {(7, 5)}
    assert [fact.command for fact in steps[1:-1]] == [0, 0, 1, 1]
    assert steps[-1].outcome is Outcome.SUCCESS


async def test_a_job_ends_with_the_first_command_that_fails(runs):
    runs.runner.start(running_job(7, 5, 3, ("false",), ("true",)))
    runs.runner.flush()
    if isinstance(runs.runner, FakeRunner):
        runs.runner.finish(7, code=1)
    await runs.house.until(lambda: runs.house.facts(m.JobEnded))

    assert [fact.end.code for fact in runs.house.facts(m.CommandEnded)] == [1]
    assert runs.house.facts(m.JobEnded)[0].outcome is Outcome.FAILED


async def test_a_stopped_job_ends_as_killed(runs):
    runs.runner.start(running_job(7, 5, 3, SLEEP))
    runs.runner.flush()
    if not isinstance(runs.runner, FakeRunner):
        await runs.house.until(lambda: runs.house.facts(m.CommandStarted))
    runs.runner.stop(7, 5, 1.0)
    runs.runner.flush()
    if isinstance(runs.runner, FakeRunner):
        runs.runner.finish(7)
    await runs.house.until(lambda: runs.house.facts(m.JobEnded))

    assert runs.house.facts(m.JobEnded)[0].outcome is Outcome.KILLED


async def test_what_is_taken_back_in_time_comes_back_with_the_number_of_its_hand_over(runs):
    runs.runner.start(running_job(7, 5, 3, SLEEP))
    runs.runner.start(ahead_job(8, 5, 4))
    runs.runner.flush()
    if not isinstance(runs.runner, FakeRunner):
        await runs.house.until(lambda: runs.house.facts(m.CommandStarted))
    runs.runner.withdraw(8, 5)
    runs.runner.stop(7, 5, 1.0)
    runs.runner.flush()
    if isinstance(runs.runner, FakeRunner):
        runs.runner.finish(7)
    await runs.house.until(lambda: runs.house.facts(m.JobEnded))

    assert [(one.job, one.worker, one.handover) for one in runs.house.facts(m.JobReturned)] == [(8, 5, 4)]
    assert {fact.job for fact in runs.house.facts(m.Taken)} == {7}


async def test_a_job_whose_worker_is_killed_is_lost_and_its_command_does_not_live_on(
    tmp_path_factory, nursery
):
    house = House(tmp_path_factory.mktemp("w"))
    house.pool.report_to(house.post)
    await nursery.start(house.pool.run)
    house.pool.start(running_job(7, 5, 3, SLEEP))
    await house.until(lambda: house.facts(m.CommandStarted))
    command = house.facts(m.CommandStarted)[0].pid
    sleeping = process(command)
    assert sleeping is not None
    os.kill(sleeping.ppid, signal.SIGKILL)
    await house.until(lambda: house.facts(m.JobLost))

    assert [type(fact).__name__ for fact in house.posted[-3:]] == ["CommandStarted", "JobLost", "WorkerGone"]
    left = process(command)
    assert left is None or left.is_zombie


async def test_requests_for_workers_that_come_while_others_are_sent_are_not_lost(
    monkeypatch, tmp_path, nursery
):
    sent: list[bytes] = []
    may_go_on, is_over = trio.Event(), trio.Event()

    class Stdin:
        async def send_all(self, data):
            sent.append(data)
            await may_go_on.wait()

        async def aclose(self):
            is_over.set()
            await trio.lowlevel.checkpoint()

    class Process:
        stdin = Stdin()
        returncode = None

        async def wait(self):
            await is_over.wait()

    async def open_process(*_, **__):
        await trio.lowlevel.checkpoint()
        return Process()

    monkeypatch.setattr(trio.lowlevel, "open_process", open_process)
    asking = Spawning(tmp_path, lambda: None)
    nursery.start_soon(asking.run)
    asking.fork(1)
    await trio.testing.wait_all_tasks_blocked()
    asking.fork(2)
    may_go_on.set()
    await trio.testing.wait_all_tasks_blocked()

    assert sent == [b"fork 1\n", b"fork 2\n"]
