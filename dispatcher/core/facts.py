"""What each fact from workers and from the store does to the live jobs.

A fact is identified by job, worker, command number and kind. One that comes late or again
finds no job that it fits and has no effect.
"""

from typing import assert_never

from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.live import Live
from dispatcher.core.model import (
    SUPERVISOR,
    AfterLost,
    CommandEnd,
    CommandRun,
    Finished,
    Job,
    Outcome,
    Pending,
    Running,
    Stop,
)


def apply(live: Live, fact: m.Fact) -> None:
    """Apply one fact."""
    match fact:
        case m.Taken():
            _taken(live, fact)
        case m.CommandStarted():
            _command_started(live, fact)
        case m.CommandEnded():
            _command_ended(live, fact)
        case m.Progressed():
            _progressed(live, fact)
        case m.JobEnded():
            _job_ended(live, fact)
        case m.JobReturned():
            _job_returned(live, fact)
        case m.JobLost():
            _job_lost(live, fact)
        case m.WorkerReported():
            _worker_reported(live, fact)
        case m.WorkerRested():
            _worker_rested(live, fact)
        case m.WorkerGone():
            live.bury(fact.worker)
        case m.WorkerSilent():
            _worker_silent(live, fact)
        case m.Loaded():
            _loaded(live, fact)
        case _:
            assert_never(fact)


def _taken(live: Live, fact: m.Taken) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None or not isinstance(job.phase, Pending):
        return
    # A hold came too late to keep it from beginning: it is stopped as those that ran.
    stop = job.phase.stop or (live.hold.stop if live.hold else None)
    line = live.line(job.queue)
    line.not_ahead(fact.worker, job.number)
    line.running[fact.worker] = job.number
    job = live.put(
        replace(job, phase=Running(fact.at, fact.worker, job.phase.boot_id, job.phase.handover, stop))
    )
    if stop is not None:
        live.stop(job, fact.worker)


def _command_started(live: Live, fact: m.CommandStarted) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None or not isinstance(job.phase, Running) or fact.command != len(job.runs):
        return
    run = CommandRun(fact.at, fact.pid, fact.log_start)
    # The start of the job was told already; the first command adds nothing to that.
    live.put(replace(job, runs=(*job.runs, run)), tell=fact.command > 0)


def _command_ended(live: Live, fact: m.CommandEnded) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None or not isinstance(job.phase, Running) or fact.command != len(job.runs) - 1:
        return
    if job.runs[-1].end is not None:
        return
    # Told with what comes next at once: the next command's start or the job's end.
    ended = replace(job.runs[-1], end=fact.end)
    live.put(replace(job, runs=(*job.runs[:-1], ended)), tell=False)


def _progressed(live: Live, fact: m.Progressed) -> None:
    job = live.jobs.get(fact.job) if fact.worker is None else live.assigned(fact.job, fact.worker)
    if job is not None and isinstance(job.phase, Running) and job.progress != fact.progress:
        live.put(replace(job, progress=fact.progress))


def _job_ended(live: Live, fact: m.JobEnded) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None:
        return
    if fact.progress is not None:
        job = replace(job, progress=fact.progress)
    outcome, error, reason = fact.outcome, fact.error, _reason(job, fact.outcome)
    if outcome is Outcome.KILLED and isinstance(job.phase, Pending | Running) and job.phase.stop is not None:
        outcome, error = job.phase.stop.outcome, job.phase.stop.error
    live.end(job, Finished(outcome, fact.at, None, reason, fact.ended_by, result=fact.result, error=error))
    line = live.line(job.queue)
    if isinstance(job.phase, Running) and job.commands:
        line.note_length(fact.at - job.phase.started_at)
    live.leave(line, job, fact.worker, fact.at)


def _job_returned(live: Live, fact: m.JobReturned) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None or not isinstance(job.phase, Pending | Running) or job.phase.handover != fact.handover:
        return
    if job.runs:
        # A command of it is known to have begun: a worker that forgot it, or a journal on a full disk.
        _job_lost(
            live, m.JobLost(job.number, fact.worker, "its worker knows nothing of it any more", fact.at)
        )
        return
    line = live.line(job.queue)
    stop = job.phase.stop
    if stop is not None:
        live.end_stopped(job, stop, fact.at)
    else:
        was_told = isinstance(job.phase, Running)
        if not was_told:
            line.slow.add(fact.worker)
        job = live.put(replace(job, phase=Pending()), tell=was_told)
        if not line.add(job):
            live.drop(job)
    live.leave(line, job, fact.worker, fact.at)


def _job_lost(live: Live, fact: m.JobLost) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None:
        return
    stop = job.phase.stop if isinstance(job.phase, Pending | Running) else None
    if job.runs and job.runs[-1].end is None:
        run = job.runs[-1]
        log_end = max(fact.log_end, run.log_start)
        end = CommandEnd(fact.at, -1, max(0.0, fact.at - run.at), log_end, error=fact.reason)
        job = replace(job, runs=(*job.runs[:-1], replace(run, end=end)))
    if stop is not None:
        live.end_stopped(job, stop, fact.at, f"; {fact.reason}", "KILL")
    else:
        live.finish(job, Outcome.LOST, fact.at, fact.reason)
        line = live.line(job.queue)
        if line.queue.after_lost is AfterLost.PAUSE and fact.worker != SUPERVISOR:
            live.pause(line)
    live.leave(live.line(job.queue), job, fact.worker, fact.at)


def _worker_reported(live: Live, fact: m.WorkerReported) -> None:
    for number, handover in fact.missing:
        _job_returned(live, m.JobReturned(number, fact.worker, handover, fact.at))
    for number in fact.known:
        job = live.assigned(number, fact.worker)
        if job is None:
            continue
        _worker_silent(live, m.WorkerSilent(number, fact.worker, silent=False))
        match job.phase:
            case Running(stop=Stop()):
                live.stop(job, fact.worker)
            case Pending(stop=Stop()):
                live.do(m.Withdraw(number, fact.worker))
            case _:
                pass
        if live.settled(live.line(job.queue), number):
            live.advance(live.line(job.queue), fact.at)
    if not fact.known and not any(job.worker == fact.worker for job in live.jobs.values()):
        live.rest(fact.worker)


def _worker_rested(live: Live, fact: m.WorkerRested) -> None:
    if fact.worker in live.idle:
        live.idle.remove(fact.worker)
        live.do(m.EndWorker(fact.worker))


def _worker_silent(live: Live, fact: m.WorkerSilent) -> None:
    job = live.assigned(fact.job, fact.worker)
    if job is None or not isinstance(job.phase, Running) or job.phase.unreachable == fact.silent:
        return
    live.put(replace(job, phase=replace(job.phase, unreachable=fact.silent)))


def _loaded(live: Live, fact: m.Loaded) -> None:
    line = live.line(fact.queue)
    line.extend(fact.jobs)
    for job in fact.jobs:
        live.keep(job)
    live.advance(line, fact.at)


def _reason(job: Job, outcome: Outcome) -> str:
    """Say in one sentence why a job ended as it did; empty for success."""
    stop = job.phase.stop if isinstance(job.phase, Pending | Running) else None
    if outcome is Outcome.KILLED and stop is not None:
        return stop.sentence
    if outcome is not Outcome.FAILED or not job.runs or job.runs[-1].end is None:
        return ""
    number, end = len(job.runs), job.runs[-1].end
    if end.error is not None:
        return f"command {number}: {end.error}"
    if end.signal is not None:
        return f"command {number} was ended by {end.signal}"
    return f"command {number} exited with {end.code}"
