"""Heads, the horizon, and jobs handed ahead."""

import pytest
from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.model import Job, Outcome, Pending, State, Task
from dispatcher.core.schedule import AHEAD, HEADS, LOW, RECENT, Line, why_waiting
from tests.core.jobs import SERIAL, ended, machine, one, run_to_end, started, submission, submit


def waiting(number, queue="serial"):
    return Job(number, submission(f"k{number}", queue), 1.0, Pending())


def loads(effects):
    return [effect for effect in effects if isinstance(effect, m.Load)]


def test_memory_holds_the_heads_only_and_counts_the_rest():
    live = machine()

    for number in range(1, HEADS + 100):
        submit(live, f"k{number}")

    line = live.lines["serial"]
    assert len(line.heads) == HEADS
    assert line.beyond == HEADS + 99 - 1 - HEADS
    assert len(live.jobs) == HEADS + 1
    assert line.pending == HEADS + 98


def test_more_are_loaded_when_the_heads_run_low_and_nothing_is_skipped():
    live = machine()
    total = HEADS + 100
    disk = {}
    effects = []
    for number in range(1, total + 1):
        effects += submit(live, f"k{number}")
    for effect in effects:
        if isinstance(effect, m.Save):
            disk[effect.job.number] = effect.job
    order = []
    job = started(effects)
    loaded = 0
    while job is not None:
        order.append(job.number)
        effects = run_to_end(live, job, at=10.0 * job.number)
        for load in loads(effects):
            loaded += 1
            found = [disk[n] for n in sorted(disk) if n > load.after and disk[n].phase == Pending()]
            effects += live.handle(m.Loaded(load.queue, tuple(found[: load.count]), 2.0))
        job = next((e.job for e in effects if isinstance(e, m.Start)), None)

    assert order == list(range(1, total + 1))
    assert loaded == 1
    assert not live.jobs


def test_a_job_behind_the_horizon_can_be_killed():
    live = machine()
    for number in range(1, HEADS + 10):
        submit(live, f"k{number}")
    last = waiting(HEADS + 9)
    message = m.Kill(last.key, "alice", 3.0)

    needed = live.needs(message)
    effects = live.handle(message, {last.key: last})

    assert needed == (last.key,)
    assert one(effects, m.Save).job.state is State.FINISHED
    assert live.lines["serial"].beyond == HEADS + 8 - 1 - HEADS


def test_nothing_is_looked_up_for_a_submit_while_all_live_jobs_are_in_memory():
    live = machine()
    submit(live, "a")

    assert live.needs(m.Submit(submission("b"), 1.0)) == ()
    for number in range(HEADS + 2):
        submit(live, f"k{number}")
    assert live.needs(m.Submit(submission("b"), 1.0)) == ("b",)


def test_a_returned_job_keeps_its_place_before_those_that_came_later():
    line = Line(SERIAL)
    for number in (1, 2, 3):
        line.add(waiting(number))
    first = line.next()
    assert first is not None

    line.add(first)

    assert list(line.heads) == [1, 2, 3]


def test_a_returned_job_behind_the_horizon_is_counted_only():
    line = Line(SERIAL)
    line.beyond = 5
    line.extend((waiting(1), waiting(2)))

    assert not line.add(waiting(9))
    assert line.beyond == 4


def test_a_load_is_asked_once_until_it_is_answered():
    line = Line(SERIAL)
    line.beyond = 1000
    line.extend(tuple(waiting(n) for n in range(1, LOW)))

    first, second = line.wanted(), line.wanted()
    line.extend(tuple(waiting(n) for n in range(LOW, LOW + 10)))

    assert first == m.Load("serial", LOW - 1, HEADS - LOW + 1)
    assert second is None
    assert line.beyond == 1000 - (LOW - 1) - 10


def quick(live, count=RECENT):
    """Run short jobs one after the other until the queue counts as quick."""
    for number in range(count):
        job = started(submit(live, f"quick{number}"))
        run_to_end(live, job, at=1.001)


def test_short_jobs_are_handed_ahead_to_the_busy_worker_and_stay_pending():
    live = machine()
    quick(live)
    running = started(submit(live, "a"))

    effects = submit(live, "b")

    ahead = started(effects)
    assert ahead.state is State.PENDING
    assert ahead.phase.worker == running.worker
    assert [type(e).__name__ for e in effects] == ["Save", "Tell", "Answer", "Save", "Start"]


def test_at_most_eight_jobs_lie_ahead_of_one_worker():
    live = machine()
    quick(live)
    submit(live, "a")

    handed = [any(isinstance(e, m.Start) for e in submit(live, f"b{n}")) for n in range(AHEAD + 3)]

    assert handed == [True] * AHEAD + [False] * 3


def test_long_jobs_are_never_handed_ahead():
    live = machine()
    for number in range(RECENT):
        run_to_end(live, started(submit(live, f"long{number}")), at=5.0)
    submit(live, "a")

    assert not [e for e in submit(live, "b") if isinstance(e, m.Start)]


def test_a_job_ahead_runs_when_its_worker_takes_it():
    live = machine()
    quick(live)
    first = started(submit(live, "a"))
    second = started(submit(live, "b"))
    live.handle(m.JobEnded(first.number, first.worker, Outcome.SUCCESS, 1.1))

    effects = live.handle(m.Taken(second.number, second.worker, 1.2))

    job = one(effects, m.Tell).job
    assert job.state is State.RUNNING
    assert (job.phase.started_at, job.phase.worker) == (1.2, first.worker)
    assert live.idle == []


def test_a_worker_with_jobs_ahead_keeps_its_place_between_two_of_them():
    live = machine()
    quick(live)
    first = started(submit(live, "a"))
    submit(live, "b")
    effects = live.handle(m.JobEnded(first.number, first.worker, Outcome.SUCCESS, 1.1))

    assert not [e for e in effects if isinstance(e, m.Start)]
    more = submit(live, "c")
    assert started(more).phase == Pending(first.worker, "boot", started(more).phase.handover)


def test_a_job_ahead_is_asked_back_to_be_killed_and_finished_when_it_returns():
    live = machine()
    quick(live)
    submit(live, "a")
    ahead = started(submit(live, "b"))

    asked = live.handle(m.Kill("b", "alice", 2.0))
    back = live.handle(m.JobReturned(ahead.number, ahead.worker, ahead.phase.handover, 2.1))

    assert one(asked, m.Withdraw) == m.Withdraw(ahead.number, ahead.worker)
    assert one(back, m.Tell).job.phase.outcome is Outcome.KILLED


def test_a_job_ahead_that_was_taken_before_the_kill_reached_it_is_stopped():
    live = machine()
    quick(live)
    submit(live, "a")
    ahead = started(submit(live, "b"))
    live.handle(m.Kill("b", "alice", 2.0))

    effects = live.handle(m.Taken(ahead.number, ahead.worker, 2.1))

    assert one(effects, m.StopJob).job == ahead.number


def test_a_pause_asks_back_what_lies_ahead_and_it_waits_at_its_old_place():
    live = machine()
    quick(live)
    submit(live, "a")
    ahead = [started(submit(live, key)) for key in "bc"]

    paused = live.handle(m.Pause("serial"))
    for job in reversed(ahead):
        live.handle(m.JobReturned(job.number, job.worker, job.phase.handover, 2.0))

    assert [e.job for e in paused if isinstance(e, m.Withdraw)] == [job.number for job in reversed(ahead)]
    assert list(live.lines["serial"].heads) == [job.number for job in ahead]


def test_the_reason_why_a_job_waits_names_what_must_happen():
    line = Line(SERIAL)
    job = waiting(3)

    assert why_waiting(job, line, 2) == "2 jobs before it in queue 'serial'"
    assert why_waiting(job, line, 0) == "queue 'serial' runs 1 at a time"
    line.is_paused = True
    assert "dispatcher resume serial" in why_waiting(job, line, 0)
    assert ended().code == 0


def test_what_was_on_its_way_to_a_worker_that_gave_jobs_back_overtakes_nothing():
    live = machine()
    quick(live)
    first = started(submit(live, "a"))
    back, on_its_way, later = (started(submit(live, key)) for key in "bcd")

    effects = live.handle(m.JobReturned(back.number, first.worker, back.phase.handover, 2.0))
    effects += live.handle(m.JobEnded(first.number, first.worker, Outcome.SUCCESS, 1.005))
    # The worker gives these back, too, as it gets them; until then it keeps its place.
    effects += live.handle(m.JobReturned(on_its_way.number, first.worker, on_its_way.phase.handover, 2.1))
    last = live.handle(m.JobReturned(later.number, first.worker, later.phase.handover, 2.2))

    assert not [e for e in effects if isinstance(e, m.Start)]
    assert [(e.job.number, e.job.state) for e in last if isinstance(e, m.Start)] == [
        (back.number, State.RUNNING),
        (on_its_way.number, State.PENDING),
        (later.number, State.PENDING),
    ]


def test_nothing_is_handed_ahead_to_a_worker_that_is_dead():
    live = machine()
    quick(live)
    first = started(submit(live, "a"))
    ahead = [started(submit(live, key)) for key in "bc"]

    live.handle(m.WorkerGone(first.worker))
    effects = [
        effect
        for job in (first, *ahead)
        for effect in live.handle(m.JobReturned(job.number, first.worker, job.phase.handover, 2.0))
    ]

    assert [e.job.number for e in effects if isinstance(e, m.Start)] == [
        first.number,
        *(j.number for j in ahead),
    ]
    assert first.worker not in {e.job.worker for e in effects if isinstance(e, m.Start)}


def test_a_worker_that_gave_jobs_back_gets_none_ahead_until_its_long_job_ends():
    live = machine()
    quick(live)
    first = started(submit(live, "a"))
    ahead = started(submit(live, "b"))

    back = live.handle(m.JobReturned(ahead.number, ahead.worker, ahead.phase.handover, 2.0))
    end = live.handle(m.JobEnded(first.number, first.worker, Outcome.SUCCESS, 1.2))

    assert not [e for e in back if isinstance(e, m.Start)]
    assert started(end).number == ahead.number


@pytest.mark.parametrize("task", [Task("upload", input=True), Task("download", output=True)])
def test_a_job_with_pipes_is_not_handed_ahead_and_nothing_overtakes_it(task):
    live = machine()
    quick(live)
    first = started(submit(live, "a"))
    fed = live.handle(m.Submit(replace(submission("b"), task=task), 1.0))
    after = submit(live, "c")

    assert not [e for e in (*fed, *after) if isinstance(e, m.Start)]
    end = live.handle(m.JobEnded(first.number, first.worker, Outcome.SUCCESS, 1.005))
    assert [(e.job.key, e.job.state) for e in end if isinstance(e, m.Start)] == [
        ("b", State.RUNNING),
        ("c", State.PENDING),
    ]


def test_a_task_without_pipes_is_handed_ahead():
    live = machine()
    quick(live)
    submit(live, "a")

    effects = live.handle(m.Submit(replace(submission("b"), task=Task("plain")), 1.0))

    assert started(effects).state is State.PENDING
