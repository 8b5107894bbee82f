"""Jobs and queues as JSON-RPC clients see them. Every key is always there; absent values are null.

Times are ISO 8601 in UTC with milliseconds, durations are seconds.
"""

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from dispatcher.core.model import (
    Command,
    CommandRun,
    Finished,
    Job,
    Outcome,
    Pending,
    Queue,
    Running,
    State,
    Stop,
    Value,
)


class CommandRecord(Value, frozen=True):
    """One command; everything after `argv` is null until it has begun or ended."""

    text: str
    argv: tuple[str, ...]
    code: int | None = None
    signal: str | None = None
    error: str | None = None
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    log_start: int | None = None
    log_end: int | None = None
    cut_bytes: int = 0
    leftovers: tuple[str, ...] = ()
    pid: int | None = None


class StopRecord(Value, frozen=True):
    """Who asked for the end of a running job, and why."""

    at: str
    by: str
    reason: str


class JobRecord(Value, frozen=True):
    """A job. `return_code` is that of the command that failed, or else of the last one."""

    number: int
    key: str
    queue: str
    state: State
    outcome: Outcome | None
    owner: str
    protocol: str
    commands: tuple[CommandRecord, ...]
    submitted: str
    started: str | None
    finished: str | None
    duration: float | None
    return_code: int | None
    reason: str
    stop: StopRecord | None
    ended_by: str | None
    unreachable: bool
    changed: int


class SubmittedRecord(JobRecord, frozen=True, kw_only=True):
    """The answer to a submit; `attached` if it is an equal job that waited already."""

    attached: bool


class QueueRecord(Value, frozen=True):
    """A queue: its rules, and what is in it. While jobs are stopped for good, all queues are `held`."""

    name: str
    concurrency: int
    grace: float
    on_duplicate: str
    after_lost: str
    paused: bool
    held: bool
    running: int
    pending: int


def timestamp(instant: float) -> str:
    """Write an instant: 2026-11-22T05:56:59.123Z."""
    second, thousandths = divmod(round(instant * 1000), 1000)
    return f"{_second(second)}.{thousandths:03d}Z"


# Events tell of the same few seconds again and again.
@lru_cache(maxsize=256)
def _second(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def job_record(job: Job) -> JobRecord:
    """Describe a job."""
    phase = job.phase
    started: float | None = None
    finished: Finished | None = None
    stop: StopRecord | None = None
    match phase:
        case Pending():
            pass
        case Running():
            started = phase.started_at
            stop = _stop(phase.stop)
        case Finished():
            started = phase.started_at
            finished = phase
    return JobRecord(
        number=job.number,
        key=job.key,
        queue=job.queue,
        state=job.state,
        outcome=finished.outcome if finished else None,
        owner=job.submission.owner,
        protocol=job.submission.protocol,
        commands=_commands(job),
        submitted=timestamp(job.submitted_at),
        started=None if started is None else timestamp(started),
        finished=timestamp(finished.finished_at) if finished else None,
        duration=_duration(started, finished),
        return_code=_return_code(job) if finished else None,
        reason=finished.reason if finished else "",
        stop=stop,
        ended_by=finished.ended_by if finished else None,
        unreachable=isinstance(phase, Running) and phase.unreachable,
        changed=job.changed,
    )


def submitted_record(job: Job, *, attached: bool) -> SubmittedRecord:
    """Describe a job that was just submitted."""
    return SubmittedRecord(**msgspec.structs.asdict(job_record(job)), attached=attached)


def queue_record(
    queue: Queue, *, is_paused: bool, running: int, pending: int, is_held: bool = False
) -> QueueRecord:
    """Describe a queue."""
    return QueueRecord(
        queue.name,
        queue.concurrency,
        queue.grace,
        queue.on_duplicate.value,
        queue.after_lost.value,
        is_paused,
        is_held,
        running,
        pending,
    )


class StoppedRecord(Value, frozen=True):
    """A job that was stopped with all others; `outcome` is null while it is still running."""

    number: int
    key: str
    queue: str
    outcome: Outcome | None


class StoppedJobsRecord(Value, frozen=True):
    """The jobs that have ended by it, and those that had not when the time was over."""

    ended: tuple[StoppedRecord, ...]
    running: tuple[StoppedRecord, ...]


def stopped_record(job: Job) -> StoppedRecord:
    """Describe a job as far as it matters when everything stops."""
    outcome = job.phase.outcome if isinstance(job.phase, Finished) else None
    return StoppedRecord(job.number, job.key, job.queue, outcome)


def _stop(stop: Stop | None) -> StopRecord | None:
    return None if stop is None else StopRecord(timestamp(stop.at), stop.by, stop.reason)


def _commands(job: Job) -> tuple[CommandRecord, ...]:
    begun = [_begun(command, run) for command, run in zip(job.commands, job.runs, strict=False)]
    waiting = [CommandRecord(command.text, command.shown) for command in job.commands[len(begun) :]]
    return (*begun, *waiting)


def _begun(command: Command, run: CommandRun) -> CommandRecord:
    record = CommandRecord(
        command.text, command.shown, started=timestamp(run.at), log_start=run.log_start, pid=run.pid
    )
    if run.end is None:
        return record
    return msgspec.structs.replace(
        record,
        code=run.end.code,
        signal=run.end.signal,
        error=run.end.error,
        ended=timestamp(run.end.at),
        seconds=round(run.end.seconds, 3),
        log_end=run.end.log_end,
        cut_bytes=run.end.cut_bytes,
        leftovers=run.end.leftovers,
    )


def _duration(started: float | None, finished: Finished | None) -> float | None:
    if started is None or finished is None:
        return None
    # The wall clock may have been set back meanwhile; a negative duration helps nobody.
    return max(0.0, round(finished.finished_at - started, 3))


def _return_code(job: Job) -> int | None:
    codes = [run.end.code for run in job.runs if run.end is not None]
    return next((code for code in codes if code != 0), codes[-1] if codes else None)
