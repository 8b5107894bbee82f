"""The transition table, row by row."""

import pytest

from dispatcher.core import messages as m
from dispatcher.core.model import (
    Finished,
    OnDuplicate,
    Outcome,
    Pending,
    Queue,
    Running,
    State,
)
from dispatcher.errors import NotFound, Refused
from tests.core.jobs import SERIAL, ended, kinds, machine, one, run_to_end, started, submission, submit


def tells(effects):
    return [effect.job for effect in effects if isinstance(effect, m.Tell)]


def test_a_submitted_job_is_saved_and_told_as_pending_and_then_started():
    live = machine()

    effects = submit(live, "a")

    assert kinds(effects) == ["Save", "Tell", "Answer", "Save", "Tell", "Start"]
    assert [job.state for job in tells(effects)] == [State.PENDING, State.RUNNING]
    assert [job.changed for job in tells(effects)] == [1, 2]
    assert one(effects, m.Answer).reply.job.state is State.PENDING


def test_a_second_job_waits_and_starts_when_the_first_ends():
    live = machine()
    first = started(submit(live, "a"))

    waiting = submit(live, "b")
    effects = run_to_end(live, first)

    assert kinds(waiting) == ["Save", "Tell", "Answer"]
    assert [job.key for job in tells(effects)] == ["a", "b"]
    assert started(effects).key == "b"
    assert started(effects).worker == first.worker, "the worker that is free now takes the next job"


def test_queues_do_not_wait_for_each_other():
    live = machine()
    submit(live, "a")

    effects = submit(live, "b", queue="wide")

    assert started(effects).key == "b"


def test_a_queue_runs_no_more_jobs_at_once_than_its_concurrency():
    live = machine()

    all_started = [
        bool([e for e in submit(live, str(n), queue="wide") if isinstance(e, m.Start)]) for n in range(5)
    ]

    assert all_started == [True, True, True, False, False]


def test_numbers_and_serials_never_return():
    live = machine(next_number=7, next_serial=500)

    jobs = [started(submit(live, str(n), queue="wide")) for n in range(3)]

    assert [job.number for job in jobs] == [7, 8, 9]
    serials = [serial for job in jobs for serial in (job.phase.worker, job.phase.handover)]
    assert len(set(serials)) == 6
    assert min(serials) > 500


def test_a_key_in_use_is_refused_and_free_again_after_the_end():
    live = machine()
    job = started(submit(live, "a"))

    with pytest.raises(Refused, match="the key 'a' is in use by job 1, which is running"):
        submit(live, "a")
    run_to_end(live, job)
    effects = submit(live, "a")

    assert started(effects).number == 2


def test_a_key_that_is_only_on_disk_is_found_by_what_the_engine_looked_up():
    live = machine()
    other = started(submit(machine(), "a"))

    with pytest.raises(Refused, match="in use"):
        live.handle(m.Submit(submission("a"), 1.0), {"a": other})


def test_attach_answers_with_the_waiting_job_if_its_commands_are_the_same():
    live = machine(Queue("serial", on_duplicate=OnDuplicate.ATTACH))
    submit(live, "runs")
    submit(live, "a")

    effects = submit(live, "a")

    assert kinds(effects) == ["Answer"]
    assert effects[0].reply.attached
    assert effects[0].reply.job.number == 2
    with pytest.raises(Refused, match="in use"):
        submit(live, "a", commands=("false",))
    with pytest.raises(Refused, match="in use"):
        submit(live, "runs")


def test_a_full_queue_refuses_and_says_how_to_help():
    live = machine(Queue("serial", max_pending=1))
    submit(live, "a")
    submit(live, "b")

    with pytest.raises(Refused, match=r"1 jobs are waiting \(max_pending: 1\); raise it or kill one"):
        submit(live, "c")


def test_an_unknown_queue_is_refused_with_the_names_that_exist():
    with pytest.raises(Refused, match="there is no queue 'x'; there are: serial, wide"):
        submit(machine(), "a", queue="x")


def test_commands_are_told_at_each_boundary_and_only_there():
    live = machine()
    job = started(submit(live, "a", commands=("one", "two")))
    worker = job.worker

    steps = [
        live.handle(m.Taken(1, worker, 1.0)),
        live.handle(m.CommandStarted(1, worker, 0, 50, 0, 1.0)),
        live.handle(m.CommandEnded(1, worker, 0, ended(log_end=5))),
        live.handle(m.CommandStarted(1, worker, 1, 51, 5, 2.0)),
        live.handle(m.CommandEnded(1, worker, 1, ended(code=3))),
        live.handle(m.JobEnded(1, worker, Outcome.FAILED, 3.0)),
    ]

    assert [len(tells(step)) for step in steps] == [0, 0, 0, 1, 0, 1]
    assert len(tells(steps[3])[0].runs) == 2
    last = tells(steps[5])[0]
    assert last.phase == Finished(Outcome.FAILED, 3.0, 1.0, "command 2 exited with 3")


def test_late_and_repeated_facts_have_no_effect():
    live = machine()
    job = started(submit(live, "a"))
    facts = [
        m.Taken(1, job.worker, 1.0),
        m.CommandStarted(1, job.worker, 0, 50, 0, 1.0),
        m.CommandEnded(1, job.worker, 0, ended()),
    ]
    for fact in facts:
        live.handle(fact)

    again = [live.handle(fact) for fact in facts]
    live.handle(m.JobEnded(1, job.worker, Outcome.SUCCESS, 2.0))
    after = [live.handle(fact) for fact in [*facts, m.JobEnded(1, job.worker, Outcome.SUCCESS, 2.0)]]

    assert again == [[], [], []]
    assert after == [[], [], [], []]


def test_facts_of_a_worker_that_does_not_have_the_job_have_no_effect():
    live = machine()
    job = started(submit(live, "a"))

    assert live.handle(m.JobEnded(1, job.worker + 99, Outcome.SUCCESS, 2.0)) == []
    assert live.handle(m.JobLost(1, job.worker + 99, "?", 2.0)) == []


def test_killing_a_waiting_job_takes_it_out_at_once():
    live = machine()
    submit(live, "a")
    submit(live, "b")

    effects = live.handle(m.Kill("b", "alice", 5.0))

    assert kinds(effects) == ["Save", "Tell", "Answer"]
    assert effects[1].job.phase == Finished(Outcome.KILLED, 5.0, None, "killed by alice")


def test_killing_a_running_job_saves_the_wish_and_stops_it():
    live = machine()
    job = started(submit(live, "a"))

    effects = live.handle(m.Kill(1, "alice", 5.0))
    again = live.handle(m.Kill(1, "bob", 6.0))
    end = live.handle(m.JobEnded(1, job.worker, Outcome.KILLED, 7.0, "TERM"))

    assert kinds(effects) == ["Save", "Tell", "StopJob", "Answer"]
    assert one(effects, m.StopJob) == m.StopJob(1, job.worker, SERIAL.grace)
    assert kinds(again) == ["Answer"]
    assert again[0].reply.job.phase.stop.by == "alice"
    assert tells(end)[0].phase == Finished(Outcome.KILLED, 7.0, 1.0, "killed by alice", "TERM")


def test_killing_what_is_unknown_or_finished_is_no_error():
    live = machine()
    run_to_end(live, started(submit(live, "a")))
    done = Finished(Outcome.SUCCESS, 2.0)
    finished = started(submit(machine(), "a"))

    assert live.handle(m.Kill("nobody", "alice", 5.0)) == [m.Answer(m.Killed(None))]
    found = {1: finished.__class__(1, submission("a"), 1.0, done)}
    assert live.handle(m.Kill(1, "alice", 5.0), found) == [m.Answer(m.Killed(None))]


def test_a_killed_jobs_slot_is_free_when_its_worker_reports_the_end():
    live = machine()
    job = started(submit(live, "a"))
    submit(live, "b")

    killed = live.handle(m.Kill("a", "alice", 5.0))
    end = live.handle(m.JobEnded(1, job.worker, Outcome.KILLED, 7.0, "KILL"))

    assert not [effect for effect in killed if isinstance(effect, m.Start)]
    assert started(end).key == "b"


def test_a_paused_queue_starts_nothing_until_it_is_resumed():
    live = machine()

    paused = live.handle(m.Pause("serial"))
    waiting = submit(live, "a")
    resumed = live.handle(m.Resume("serial", 2.0))

    assert paused == [m.SavePaused("serial", paused=True), m.Answer(None)]
    assert kinds(waiting) == ["Save", "Tell", "Answer"]
    assert kinds(resumed) == ["SavePaused", "Answer", "Save", "Tell", "Start"]
    with pytest.raises(NotFound, match="there is no queue 'x'"):
        live.handle(m.Pause("x"))


def test_a_job_that_its_worker_never_took_goes_back_to_its_old_place():
    live = machine()
    job = started(submit(live, "a"))
    submit(live, "b")

    effects = live.handle(m.JobReturned(1, job.worker, job.phase.handover, 3.0))

    assert started(effects).key == "a"
    assert started(effects).phase.handover != job.phase.handover


def test_a_return_of_an_older_hand_over_has_no_effect():
    live = machine()
    job = started(submit(live, "a"))
    live.handle(m.JobReturned(1, job.worker, job.phase.handover, 3.0))

    assert live.handle(m.JobReturned(1, job.worker, job.phase.handover, 4.0)) == []


def test_a_job_killed_while_its_worker_has_not_taken_it_is_finished_when_it_comes_back():
    live = machine()
    job = started(submit(live, "a"))
    live.handle(m.Kill(1, "alice", 5.0))

    effects = live.handle(m.JobReturned(1, job.worker, job.phase.handover, 6.0))

    assert tells(effects)[0].phase.outcome is Outcome.KILLED


def test_a_lost_job_says_so_and_its_running_command_gets_code_minus_one():
    live = machine()
    job = started(submit(live, "a"))
    live.handle(m.CommandStarted(1, job.worker, 0, 50, 0, 1.5))

    effects = live.handle(m.JobLost(1, job.worker, "its worker ended before it did", 4.0, 77))

    (lost,) = tells(effects)
    assert lost.phase == Finished(Outcome.LOST, 4.0, 1.0, "its worker ended before it did")
    assert (lost.runs[0].end.code, lost.runs[0].end.log_end) == (-1, 77)


def test_a_lost_job_that_was_to_be_killed_is_killed():
    live = machine()
    job = started(submit(live, "a"))
    live.handle(m.Kill(1, "alice", 2.0))

    effects = live.handle(m.JobLost(1, job.worker, "gone", 4.0))

    assert tells(effects)[0].phase.outcome is Outcome.KILLED


def test_a_dead_worker_gets_no_further_job():
    live = machine()
    job = started(submit(live, "a"))
    submit(live, "b")

    live.handle(m.WorkerGone(job.worker))
    effects = live.handle(m.JobLost(1, job.worker, "gone", 4.0))

    assert started(effects).worker != job.worker
    assert live.idle == []
    assert live.gone == set()


def test_a_worker_that_reports_is_told_again_to_stop_and_gives_back_what_it_never_got():
    live = machine()
    first = started(submit(live, "a", queue="wide"))
    second = started(submit(live, "b", queue="wide"))
    live.handle(m.Kill(1, "alice", 2.0))

    effects = live.handle(m.WorkerReported(first.worker, (1,), (), 3.0))
    returned = live.handle(m.WorkerReported(second.worker, (), ((2, second.phase.handover),), 3.0))

    assert effects == [m.StopJob(1, first.worker, 10.0)]
    assert started(returned).number == 2


def test_an_idle_worker_is_used_before_a_new_one_and_goes_home_when_it_has_rested():
    live = machine()
    forks = live.handle(m.Prepare(2))
    for fork in forks[:-1]:
        live.handle(m.WorkerReported(fork.worker, (), (), 1.0))

    job = started(submit(live, "a"))
    other = next(fork.worker for fork in forks[:-1] if fork.worker != job.worker)

    assert kinds(forks) == ["Fork", "Fork", "Answer"]
    assert job.worker in {fork.worker for fork in forks[:-1]}
    assert live.handle(m.WorkerRested(other)) == [m.EndWorker(other)]
    assert live.handle(m.WorkerRested(job.worker)) == []


def test_a_silent_worker_makes_its_job_unreachable_until_it_reports():
    live = machine()
    job = started(submit(live, "a"))

    silent = live.handle(m.WorkerSilent(1, job.worker, silent=True))
    again = live.handle(m.WorkerSilent(1, job.worker, silent=True))
    back = live.handle(m.WorkerReported(job.worker, (1,), (), 3.0))

    assert tells(silent)[0].phase.unreachable
    assert again == []
    assert not tells(back)[0].phase.unreachable


def test_new_rules_apply_at_once_and_a_queue_with_waiting_jobs_cannot_go_away():
    live = machine()
    for key in "abc":
        submit(live, key)

    effects = live.handle(m.Reconfigure((Queue("serial", concurrency=2), Queue("new")), 2.0))

    assert started(effects).key == "b"
    assert list(live.lines) == ["serial", "new"]
    with pytest.raises(Refused, match="cannot take away queue 'serial': 1 jobs are waiting"):
        live.handle(m.Reconfigure((Queue("new"),), 3.0))


def test_a_lower_concurrency_waits_and_kills_nothing():
    live = machine()
    jobs = [started(submit(live, key, queue="wide")) for key in "abc"]
    submit(live, "d", queue="wide")

    effects = live.handle(m.Reconfigure((SERIAL, Queue("wide", concurrency=1)), 2.0))
    first = run_to_end(live, jobs[0])
    second = run_to_end(live, jobs[1])
    third = run_to_end(live, jobs[2])

    assert kinds(effects) == ["Answer"]
    assert [bool([e for e in step if isinstance(e, m.Start)]) for step in (first, second, third)] == [
        False,
        False,
        True,
    ]


def test_jobs_of_a_queue_that_left_the_settings_are_drained_but_none_is_added():
    job = started(submit(machine(), "a"))
    waiting = job.__class__(2, submission("b", "old"), 1.0, Pending())
    old = job.__class__(1, submission("a", "old"), 1.0, Running(1.0, 5, "boot", 6))
    live = machine(active=[old], heads={"old": [waiting]}, waiting={"old": 1}, next_number=3)

    effects = live.handle(m.JobEnded(1, 5, Outcome.SUCCESS, 2.0))

    assert started(effects).key == "b"
    with pytest.raises(Refused, match="there is no queue 'old'"):
        submit(live, "c", queue="old")
