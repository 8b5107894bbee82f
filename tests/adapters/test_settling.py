"""What the pool makes of workers that come late, come twice, come back or die: no job is forgotten."""

import os
import socket

import pytest
import trio
import trio.testing

from dispatcher.core import messages as m
from dispatcher.core.model import Outcome
from dispatcher.runner import pool as pool_module
from dispatcher.runner import settling as settling_module
from tests.adapters.workers import Worker, ahead_job, house, running_job

MANY = 40


@pytest.fixture
async def at(tmp_path_factory):
    """A pool in a folder with a short name, that looks often and loses patience early."""
    folder = tmp_path_factory.mktemp("w")
    async with house(folder) as it:
        yield it


@pytest.fixture(autouse=True)
def _haste(monkeypatch):
    monkeypatch.setattr(settling_module, "PROBE", 0.02)
    monkeypatch.setattr(settling_module, "SILENCE", 0.2)
    monkeypatch.setattr(pool_module, "CONNECT_LIMIT", 0.2)


async def test_a_job_that_its_dead_worker_never_took_comes_back(at):
    at.pool.adopt([running_job(7, worker=5, handover=3)])
    await at.until(lambda: at.facts(m.JobReturned))

    assert [(fact.job, fact.worker, fact.handover) for fact in at.facts(m.JobReturned)] == [(7, 5, 3)]
    assert isinstance(at.posted[0], m.WorkerGone), "so that nothing is handed to it meanwhile"


async def test_a_job_that_its_dead_worker_took_is_lost_and_its_journal_goes_when_that_is_saved(at):
    at.saves = False
    worker = Worker(at.place, 5)
    worker.fact("taken", 7)
    await worker.die()
    at.pool.adopt([running_job(7, worker=5)])
    await at.until(lambda: at.facts(m.JobLost) and isinstance(at.posted[-1], m.WorkerGone))

    assert at.place.journal(5).exists()
    at.save()
    assert not at.place.journal(5).exists()


async def test_a_job_of_a_worker_that_holds_its_lock_is_left_alone_until_it_reports(at):
    at.pool.adopt([running_job(7, worker=5)])
    async with at.worker(5, 7):
        await at.until(lambda: at.facts(m.WorkerReported))
        settled = at.facts(m.JobLost, m.JobReturned, m.WorkerGone)

    assert settled == []
    assert at.facts(m.WorkerReported)[0].known == (7,)


async def test_a_job_that_a_living_worker_does_not_know_comes_back_with_its_report(at):
    worker = Worker(at.place, 5)
    at.pool.adopt([running_job(7, worker=5, handover=3), running_job(8, worker=5, handover=4)])
    await worker.connect(7)
    await at.until(lambda: at.facts(m.WorkerReported))
    await worker.die()

    report = at.facts(m.WorkerReported)[0]
    assert (report.known, report.missing) == ((7,), ((8, 4),))


async def test_a_worker_that_does_not_report_for_long_is_silent_and_a_wish_to_stop_kills_it(at, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, int(number))))
    monkeypatch.setattr("dispatcher.runner.reaper.start_of", lambda _pid: 1)
    worker = Worker(at.place, 5)
    at.pool.adopt([running_job(7, worker=5)])
    await at.until(lambda: at.facts(m.WorkerSilent))
    assert killed == []

    at.pool.stop(7, 5, 1.0)
    await worker.die()
    await at.until(lambda: at.facts(m.WorkerGone))

    assert killed == [(os.getpid(), 9)]
    assert at.facts(m.WorkerSilent) == [m.WorkerSilent(7, 5, silent=True)]


async def test_a_wish_to_stop_from_before_it_was_silent_is_not_forgotten(at, monkeypatch):
    killed = trio.Event()
    monkeypatch.setattr(os, "kill", lambda _pid, _number: killed.set())
    monkeypatch.setattr("dispatcher.runner.reaper.start_of", lambda _pid: 1)
    worker = Worker(at.place, 5)
    at.pool.adopt([running_job(7, worker=5)])
    at.pool.stop(7, 5, 1.0)
    assert not killed.is_set(), "it may report at any moment, and is told then"

    with trio.fail_after(5):
        await killed.wait()
    await worker.die()


async def test_a_worker_that_was_forked_and_never_connects_gives_its_job_back(at):
    at.pool.start(running_job(7, worker=5, handover=3))
    await at.until(lambda: at.facts(m.JobReturned))

    assert at.spawner.asked == [5]
    assert at.facts(m.JobReturned)[0].handover == 3


async def test_a_worker_that_connects_after_it_was_given_up_gets_nothing_and_is_sent_home(at):
    at.pool.start(running_job(7, worker=5))
    await at.until(lambda: at.facts(m.JobReturned))
    async with at.worker(5) as worker:
        with trio.fail_after(5):
            order = await worker.order()

    assert order == {"do": "exit"}


async def test_workers_that_connect_and_die_in_the_same_moment_are_settled(at):
    workers = [Worker(at.place, number) for number in range(1, MANY)]
    at.pool.adopt([running_job(one.number, worker=one.number) for one in workers])
    await trio.testing.wait_all_tasks_blocked()  # each is waited for now
    for worker in workers:  # no wait in here: the pool hears of both together
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(at.place.socket))
            connection.send(worker.hello(worker.number))
            worker.journal.close()
    await at.until(lambda: len(at.facts(m.JobReturned)) == MANY - 1)

    assert {fact.job for fact in at.facts(m.JobReturned)} == set(range(1, MANY))


async def test_workers_that_report_while_their_settling_begins_are_not_waited_for(at):
    workers = [Worker(at.place, number) for number in range(1, MANY)]
    connections = []
    for _ in workers:
        connections.append(socket.socket(socket.AF_UNIX))
        connections[-1].connect(str(at.place.socket))
    await trio.testing.wait_all_tasks_blocked()
    for worker, connection in zip(workers, connections, strict=True):
        connection.send(worker.hello(worker.number))
    at.pool.adopt([running_job(one.number, worker=one.number) for one in workers])
    with trio.move_on_after(2 * settling_module.SILENCE):
        await at.until(lambda: at.facts(m.WorkerSilent))
    for worker, connection in zip(workers, connections, strict=True):
        connection.close()
        await worker.die()

    assert at.facts(m.WorkerSilent) == []
    assert {number for report in at.facts(m.WorkerReported) for number in report.known} == set(range(1, MANY))


async def test_a_job_for_a_worker_that_was_just_found_dead_comes_back_at_once(at):
    at.saves = False
    at.pool.adopt([running_job(7, worker=5)])
    await at.until(lambda: len(at.facts(m.WorkerGone)) == 2)
    at.pool.start(running_job(8, worker=5, handover=9))  # decided before the machine hears of it

    assert [(fact.job, fact.handover) for fact in at.facts(m.JobReturned)] == [(7, 1), (8, 9)]
    assert at.spawner.asked == []


async def test_that_a_job_came_back_from_an_earlier_hand_over_does_not_take_it_from_its_worker(at):
    worker = Worker(at.place, 5)
    at.pool.adopt([running_job(7, worker=5, handover=4)])
    await worker.connect(7)
    await worker.say(worker.fact("returned", 7, handover=3), worker.fact("taken", 7))
    await at.until(lambda: at.facts(m.Taken))
    await worker.die()
    await at.until(lambda: at.facts(m.JobLost))

    assert [fact.job for fact in at.facts(m.JobLost)] == [7]


async def test_a_job_that_comes_back_and_goes_to_the_same_worker_again_is_not_taken_for_missing(at):
    at.saves = False
    async with at.worker(5, 6, 7) as worker:
        at.pool.adopt([running_job(6, worker=5), ahead_job(7, worker=5, handover=3)])
        await at.until(lambda: at.facts(m.WorkerReported))
        done = worker.fact("done", 6, outcome="success", by=None)
        await worker.say(worker.fact("returned", 7, handover=3), done)
        await at.until(lambda: at.facts(m.JobEnded))
        at.pool.start(running_job(7, worker=5, handover=4))
        at.save()  # of what it said before that
        await trio.testing.wait_all_tasks_blocked()

    assert [report.missing for report in at.facts(m.WorkerReported)] == [()] * len(at.facts(m.WorkerReported))
    assert at.facts(m.JobEnded)[0].outcome is Outcome.SUCCESS


async def test_a_worker_that_died_before_its_last_facts_were_saved_is_not_called_free(at):
    at.saves = False
    async with at.worker(5, 7) as worker:
        at.pool.adopt([running_job(7, worker=5)])
        await at.until(lambda: at.facts(m.WorkerReported))
        await worker.say(worker.fact("done", 7, outcome="success", by=None))
        await at.until(lambda: at.facts(m.JobEnded))
    await at.until(lambda: at.facts(m.WorkerGone))
    at.save()

    assert isinstance(at.posted[-1], m.WorkerGone)
