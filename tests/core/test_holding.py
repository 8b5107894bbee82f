"""Everything is stopped and nothing starts: before the machine goes down, and after a job was lost."""

import pytest
from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.hold import StartAgain, StopAll
from dispatcher.core.model import AfterLost, Finished, Outcome, Pending, Queue, Running, State
from tests.core.jobs import SERIAL, kinds, machine, one, run_to_end, started, submit

SHUTDOWN = StopAll("", 5.0, "machine shutdown", 3.0)
CAREFUL = Queue("careful", concurrency=2, after_lost=AfterLost.PAUSE)


def stops(effects):
    return {(effect.job, effect.grace) for effect in effects if isinstance(effect, m.StopJob)}


def test_all_running_jobs_are_stopped_with_a_bounded_grace_and_no_pending_one_starts():
    live = machine(replace(SERIAL, grace=100.0), Queue("quick", grace=1.0))
    first, other = started(submit(live, "a")), started(submit(live, "b", queue="quick"))
    submit(live, "c")

    effects = live.handle(SHUTDOWN)
    answer = one(effects, m.Answer).reply
    after_end = live.handle(m.JobEnded(first.number, first.worker, Outcome.KILLED, 6.0, "TERM"))

    assert stops(effects) == {(first.number, 3.0), (other.number, 1.0)}
    assert [job.number for job in answer.jobs] == [first.number, other.number]
    assert all(isinstance(job.phase, Running) and job.phase.stop is not None for job in answer.jobs)
    assert kinds(after_end) == ["Save", "Tell"]
    done = one(after_end, m.Tell).job.phase
    assert (done.outcome, done.reason) == (Outcome.KILLED, "machine shutdown")
    assert live.lines["serial"].pending == 1


def test_a_job_that_is_submitted_meanwhile_waits_and_starting_again_starts_all_in_their_order():
    live = machine()
    running = started(submit(live, "a"))
    submit(live, "b")
    live.handle(SHUTDOWN)
    new = submit(live, "c", queue="wide")
    live.handle(m.JobEnded(running.number, running.worker, Outcome.KILLED, 6.0))

    effects = live.handle(StartAgain(7.0))

    assert "Start" not in kinds(new)
    assert [e.job.key for e in effects if isinstance(e, m.Start)] == ["b", "c"]


def test_the_shorter_of_two_graces_counts_for_a_job_that_is_being_stopped_already():
    live = machine(replace(SERIAL, grace=100.0))
    job = started(submit(live, "a"))
    live.handle(m.Kill(job.number, "admin", 2.0))

    effects = live.handle(SHUTDOWN)

    assert stops(effects) == {(job.number, 3.0)}
    assert live.jobs[job.number].phase.stop.by == "admin"


def quick_with_one_ahead():
    """Give a machine in which one job runs and the next lies ahead at the same worker."""
    live = machine()
    for n in range(8):
        job = started(submit(live, f"short {n}"))
        run_to_end(live, job, at=job.phase.started_at + 0.001)
    job = started(submit(live, "long"))
    live.handle(m.Taken(job.number, job.worker, 2.0))
    ahead = started(submit(live, "ahead"))
    assert isinstance(ahead.phase, Pending)
    return live, job, ahead


def test_what_lies_ahead_is_taken_back_before_the_stop_and_pending_again():
    live, job, ahead = quick_with_one_ahead()

    effects = live.handle(SHUTDOWN)
    back = live.handle(m.JobReturned(ahead.number, ahead.worker, ahead.phase.handover, 6.0))

    assert kinds(effects) == ["Withdraw", "Save", "Tell", "StopJob", "Answer"]
    assert stops(effects) == {(job.number, 3.0)}
    assert "Start" not in kinds(back)
    assert live.jobs[ahead.number].state is State.PENDING


def test_what_was_taken_in_spite_of_it_is_stopped_too():
    live, job, ahead = quick_with_one_ahead()
    live.handle(SHUTDOWN)
    live.handle(m.JobEnded(job.number, job.worker, Outcome.KILLED, 6.0))

    effects = live.handle(m.Taken(ahead.number, ahead.worker, 6.0))

    assert stops(effects) == {(ahead.number, 3.0)}
    assert live.jobs[ahead.number].phase.stop.sentence == "machine shutdown"


def test_nothing_to_stop_is_an_answer_too():
    assert one(machine().handle(SHUTDOWN), m.Answer).reply.jobs == ()


# After a job was lost


def lost(job):
    return m.JobLost(job.number, job.worker, "the machine went down under it", 9.0)


def test_a_queue_that_is_to_pause_starts_no_further_job_after_one_was_lost_until_it_is_resumed():
    live = machine(replace(CAREFUL, concurrency=1))
    job = started(submit(live, "a", queue="careful"))
    submit(live, "b", queue="careful")
    live.handle(m.Taken(job.number, job.worker, 2.0))

    effects = live.handle(lost(job))
    resumed = live.handle(m.Resume("careful", 10.0))

    assert one(effects, m.SavePaused) == m.SavePaused("careful", paused=True)
    assert "Start" not in kinds(effects)
    assert started(resumed).key == "b"


def test_other_queues_go_on():
    live = machine()
    job = started(submit(live, "a"))
    submit(live, "b")
    live.handle(m.Taken(job.number, job.worker, 2.0))

    assert started(live.handle(lost(job))).key == "b"


def test_a_job_that_was_killed_and_then_lost_is_no_reason_to_pause():
    live = machine(CAREFUL)
    job = started(submit(live, "a", queue="careful"))
    live.handle(m.Kill(job.number, "admin", 2.0))

    effects = live.handle(lost(job))

    assert isinstance(one(effects, m.Tell).job.phase, Finished)
    assert "SavePaused" not in kinds(effects)


def restarted(*queues):
    """Give a machine after a restart, in which one of two places is taken by a job of before."""
    before = machine(*queues)
    ran = started(submit(before, "ran", queue=queues[0].name))
    waits = one(submit(before, "waits", queue=queues[0].name), m.Answer).reply.job
    live = machine(*queues, active=[ran], heads={queues[0].name: [waits]}, waiting={queues[0].name: 1})
    live.lines[queues[0].name].beyond = 0
    return live, ran


@pytest.mark.parametrize("after_lost", AfterLost)
def test_a_queue_that_may_have_to_pause_waits_until_it_is_known_what_became_of_its_jobs(after_lost):
    live, ran = restarted(replace(CAREFUL, after_lost=after_lost))
    begun = live.start_all(8.0)
    is_unknown = set(live.unknown)
    known = live.handle(m.WorkerReported(ran.worker, (ran.number,), (), 9.0))

    waits = after_lost is AfterLost.PAUSE
    assert [e.job.key for e in begun if isinstance(e, m.Start)] == ([] if waits else ["waits"])
    assert is_unknown == {ran.number}
    assert [e.job.key for e in known if isinstance(e, m.Start)] == (["waits"] if waits else [])
    assert live.unknown == set()


def test_a_job_of_before_that_is_lost_pauses_its_queue_before_another_one_starts():
    live, ran = restarted(CAREFUL)
    live.start_all(8.0)

    effects = live.handle(lost(ran))

    assert live.unknown == set()
    assert one(effects, m.SavePaused).paused
    assert "Start" not in kinds(effects)
    assert live.lines["careful"].pending == 1
