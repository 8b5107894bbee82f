"""What becomes of the jobs of a dead worker: none that may have begun runs again, none is forgotten."""

from dispatcher.core import messages as m
from dispatcher.core.model import Finished, Outcome, State
from dispatcher.core.recovery import verdict
from tests.core.jobs import ended, machine, one, started, submit


def running(live):
    """Give a job that was just handed to a worker."""
    return started(submit(live, "a"))


def settled(job, *facts, boot_id="boot"):
    return verdict(job, facts, boot_id=boot_id, at=9.0, log_end=5)


def test_a_job_that_was_not_taken_in_this_boot_comes_back():
    job = running(machine())

    assert settled(job) == [m.JobReturned(job.number, job.worker, job.phase.handover, 9.0)]


def test_a_job_that_was_not_taken_before_the_machine_went_down_is_lost():
    job = running(machine())

    (fact,) = settled(job, boot_id="another boot")

    assert isinstance(fact, m.JobLost)
    assert fact.reason == "the machine went down while it was handed over"


def test_a_taken_job_without_an_end_is_lost_in_every_boot():
    job = running(machine())
    taken = m.Taken(job.number, job.worker, 2.0)

    reasons = [settled(job, taken, boot_id=boot)[-1].reason for boot in ("boot", "another boot")]

    assert reasons == ["its worker ended before it did", "the machine went down under it"]


def test_a_noted_end_is_the_end():
    job = running(machine())
    facts = [m.Taken(job.number, job.worker, 2.0), m.JobEnded(job.number, job.worker, Outcome.SUCCESS, 3.0)]

    assert settled(job, *facts, boot_id="another boot") == facts


def test_that_it_came_back_from_an_earlier_hand_over_says_nothing_of_this_one():
    job = running(machine())
    earlier = m.JobReturned(job.number, job.worker, job.phase.handover - 1, 2.0)
    this_one = m.JobReturned(job.number, job.worker, job.phase.handover, 2.0)

    assert settled(job, this_one) == [this_one]
    assert isinstance(settled(job, earlier)[-1], m.JobReturned)
    assert settled(job, earlier)[-1].handover == job.phase.handover
    assert isinstance(settled(job, earlier, m.Taken(job.number, job.worker, 3.0))[-1], m.JobLost)


def test_a_job_whose_first_command_has_begun_never_comes_back():
    live = machine()
    job = running(live)
    live.handle(m.CommandStarted(job.number, job.worker, 0, 100, 0, 2.0))

    effects = live.handle(m.JobReturned(job.number, job.worker, job.phase.handover, 9.0))

    saved = one(effects, m.Save).job
    assert isinstance(saved.phase, Finished)
    assert saved.phase.outcome is Outcome.LOST
    assert saved.runs[0].end.code == -1
    assert not [effect for effect in effects if isinstance(effect, m.Start)]


def test_a_job_that_was_to_be_stopped_counts_as_killed_when_its_worker_is_lost():
    live = machine()
    job = running(live)
    live.handle(m.CommandStarted(job.number, job.worker, 0, 100, 0, 2.0))
    live.handle(m.CommandEnded(job.number, job.worker, 0, ended()))
    live.handle(m.Kill(job.number, "alice", 3.0))

    saved = one(live.handle(m.JobLost(job.number, job.worker, "its worker ended", 9.0)), m.Save).job

    assert saved.state is State.FINISHED
    assert saved.phase.outcome is Outcome.KILLED
    assert saved.phase.reason == "killed by alice; its worker ended"
