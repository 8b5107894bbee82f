"""Jobs without commands, which the supervisor carries out itself; progress; equal task requests."""

import pytest
from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.live import Live
from dispatcher.core.model import (
    MASK,
    SUPERVISOR,
    Command,
    Finished,
    OnDuplicate,
    Outcome,
    Progress,
    Queue,
    Running,
    State,
    Task,
)
from dispatcher.errors import Refused
from tests.core.jobs import SERIAL, kinds, machine, one, run_to_end, started, submission, submit

HALF = Progress(50, "half way")


def own(live, key="own"):
    """Submit a job without commands; give it as it runs."""
    effects = live.handle(m.Submit(submission(key, commands=()), 1.0))
    return [effect.job for effect in effects if isinstance(effect, m.Tell)][-1]


def told(effects):
    return [effect.job for effect in effects if isinstance(effect, m.Tell)]


def test_a_job_without_commands_runs_at_once_and_beside_its_queue():
    live = machine()
    busy = started(submit(live, "a"))

    effects = live.handle(m.Submit(submission("own", commands=()), 1.0))

    assert kinds(effects) == ["Save", "Tell", "Save", "Tell", "Answer"]
    assert [job.state for job in told(effects)] == [State.PENDING, State.RUNNING]
    assert told(effects)[-1].worker == SUPERVISOR
    assert [e for e in run_to_end(live, busy) if isinstance(e, m.Start)] == []


def test_its_end_says_what_came_of_it_and_frees_no_worker():
    live = machine()
    job = own(live)

    effects = live.handle(m.JobEnded(job.number, SUPERVISOR, Outcome.SUCCESS, 3.0, result="[1]"))

    assert kinds(effects) == ["Save", "Tell"]
    assert told(effects)[0].phase == Finished(Outcome.SUCCESS, 3.0, 1.0, result="[1]")
    assert live.idle == []
    assert started(submit(live, "b")).worker != SUPERVISOR


def test_killing_it_needs_no_worker():
    live = machine()
    job = own(live)

    effects = live.handle(m.Kill(job.number, "root", 2.0, "killed"))

    assert kinds(effects) == ["Save", "Tell", "Answer"]
    assert told(effects)[0].phase == Finished(Outcome.KILLED, 2.0, 1.0, "killed by root")
    assert live.handle(m.JobEnded(job.number, SUPERVISOR, Outcome.SUCCESS, 3.0)) == []


def test_the_key_of_one_that_runs_is_in_use():
    live = machine()
    own(live, "same")

    with pytest.raises(Refused, match="in use"):
        submit(live, "same")


def test_after_a_restart_it_is_lost_and_nothing_else_is():
    before = machine()
    job = own(before)
    live = machine(active=[job], next_number=job.number + 1, changed=job.changed)

    assert live.unsettled() == []
    effects = live.lose_own(5.0)

    assert told(effects)[0].phase.outcome is Outcome.LOST
    assert started(submit(live, "next")).state is State.RUNNING


def test_progress_is_told_once_for_each_change():
    live = machine()
    job = started(submit(live, "a"))
    live.handle(m.Taken(job.number, job.worker, 1.0))

    effects = live.handle(m.Progressed(job.number, job.worker, HALF))

    assert told(effects)[0].progress == HALF
    assert live.handle(m.Progressed(job.number, job.worker, HALF)) == []
    assert live.handle(m.Progressed(job.number, job.worker + 1, Progress(60))) == []
    assert told(live.handle(m.Progressed(job.number, None, Progress(70))))[0].progress == Progress(70)


def test_the_end_brings_the_last_progress():
    live = machine()
    job = started(submit(live, "a"))
    live.handle(m.Taken(job.number, job.worker, 1.0))

    effects = live.handle(m.JobEnded(job.number, job.worker, Outcome.SUCCESS, 2.0, progress=HALF))

    assert told(effects)[0].progress == HALF


def test_progress_of_a_job_that_waits_is_nobodys():
    live = machine()
    submit(live, "a")
    job = one(submit(live, "b"), m.Answer).reply.job

    assert live.handle(m.Progressed(job.number, None, HALF)) == []


def called(live, key, words=("true",), method="do.it", stdin=None):
    commands = (Command(words, " ".join(words)),)
    what = replace(submission(key, "once"), commands=commands, task=Task(method), stdin=stdin)
    return one(live.handle(m.Submit(what, 1.0)), m.Answer).reply


@pytest.mark.parametrize(
    ("words", "method", "stdin", "is_same"),
    [
        (("true",), "do.it", None, True),
        (("true", "x"), "do.it", None, False),
        (("true",), "do.other", None, False),
        (("true",), "do.it", "y", False),
    ],
)
def test_only_an_equal_call_is_joined_to_one_that_waits(words, method, stdin, is_same):
    live = machine(Queue("once", on_duplicate=OnDuplicate.ATTACH))
    called(live, "runs")
    waits = called(live, "waits")

    answer = called(live, "more", words, method, stdin)

    assert answer.attached is is_same
    assert (answer.job.number == waits.job.number) is is_same


def test_equal_calls_are_two_jobs_where_the_queue_does_not_say_attach():
    live = machine(Queue("once"))
    called(live, "runs")
    called(live, "waits")

    assert not called(live, "more").attached


def test_a_secret_argument_is_masked_where_it_is_shown():
    command = Command(("login", "-p", "hunter2"), f"login -p {MASK}", (2,))

    assert command.shown == ("login", "-p", MASK)
    assert Command(("a", "b"), "a b").shown == ("a", "b")


def test_a_running_job_without_commands_takes_no_place_in_its_queue():
    job = own(machine())
    live = Live([SERIAL], active=[job])

    assert isinstance(job.phase, Running)
    assert live.lines["serial"].running == {}
