"""The dispatcher's own wishes that a job end: nobody's name, and a job that then counts as failed."""

import pytest
from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.model import Finished, OnDuplicate, Outcome, Queue, Stop, Task
from tests.core.jobs import machine, one, started, submission, submit

ERROR = '{"reason":"[ECONNABORTED] the upload broke off"}'


def wish(target, error=None):
    return m.Kill(target, "", 5.0, "the upload broke off", error)


def test_nobody_is_not_named():
    assert Stop(1.0, "alice", "killed").sentence == "killed by alice"
    assert Stop(1.0, "", "too late").sentence == "too late"


def test_a_waiting_job_fails_at_once():
    live = machine()
    submit(live, "a")
    submit(live, "b")

    effects = live.handle(wish("b", ERROR))

    phase = one(effects, m.Tell).job.phase
    assert phase == Finished(Outcome.FAILED, 5.0, None, "the upload broke off", error=ERROR)


@pytest.mark.parametrize(("error", "outcome"), [(None, Outcome.KILLED), (ERROR, Outcome.FAILED)])
def test_a_running_job_ends_as_it_was_wished(error, outcome):
    live = machine()
    job = started(submit(live, "a"))

    live.handle(wish(1, error))
    end = live.handle(m.JobEnded(1, job.worker, Outcome.KILLED, 7.0, "TERM"))

    phase = one(end, m.Tell).job.phase
    assert phase == Finished(outcome, 7.0, 1.0, "the upload broke off", "TERM", error=error)


def test_a_job_that_ended_by_itself_before_it_was_stopped_keeps_its_outcome():
    live = machine()
    job = started(submit(live, "a"))

    live.handle(wish(1, ERROR))
    end = live.handle(m.JobEnded(1, job.worker, Outcome.SUCCESS, 7.0))

    assert one(end, m.Tell).job.phase == Finished(Outcome.SUCCESS, 7.0, 1.0)


def test_a_job_that_comes_back_or_is_lost_ends_as_it_was_wished():
    for fact in (
        lambda job: m.JobReturned(1, job.worker, job.phase.handover, 7.0),
        lambda job: m.JobLost(1, job.worker, "gone", 7.0),
    ):
        live = machine()
        job = started(submit(live, "a"))
        live.handle(wish(1, ERROR))

        phase = one(live.handle(fact(job)), m.Tell).job.phase

        assert (phase.outcome, phase.error) == (Outcome.FAILED, ERROR)
        assert phase.reason.startswith("the upload broke off")


@pytest.mark.parametrize("task", [Task("up", input=True), Task("down", output=True)])
def test_two_requests_with_pipes_are_never_the_same(task):
    live = machine(Queue("serial", on_duplicate=OnDuplicate.ATTACH))
    submit(live, "first")
    for key in ("a", "b"):
        effects = live.handle(m.Submit(replace(submission(key), task=task), 1.0))

    assert not one(effects, m.Answer).reply.attached
