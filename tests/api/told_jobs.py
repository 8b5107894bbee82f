"""Jobs at each step of their lives, as the hub tells of them."""

from dispatcher.core.model import (
    Command,
    CommandEnd,
    CommandRun,
    Finished,
    Job,
    Outcome,
    Pending,
    Running,
    Stop,
    Submission,
)

T0 = 1795321365.0  # 2026-11-22T04:22:45 UTC


def pending(
    number: int, *commands: str, key: str = "build", queue: str = "no_queue", changed: int = 1
) -> Job:
    """A job that waits."""
    texts = tuple(Command(tuple(text.split()), text) for text in commands)
    return Job(number, Submission(queue, texts, key, "admin"), T0, Pending(), (), changed)


def running(job: Job, changed: int, *log_ends: int, stop: Stop | None = None) -> Job:
    """The same job when as many commands have ended as `log_ends` are given, and the next has begun."""
    runs = tuple(ended_run(start, end) for start, end in zip((0, *log_ends), log_ends, strict=False))
    if log_ends:
        runs += (CommandRun(T0 + 1, 99, log_ends[-1]),)
    phase = Running(T0, 1, "boot", stop=stop)
    return Job(job.number, job.submission, job.submitted_at, phase, runs, changed)


def finished(
    job: Job, changed: int, *log_ends: int, outcome: Outcome = Outcome.SUCCESS, code: int = 0
) -> Job:
    """The same job when it is over; `code` is the last command's."""
    runs = [ended_run(start, end) for start, end in zip((0, *log_ends), log_ends, strict=False)]
    if runs:
        runs[-1] = ended_run(runs[-1].log_start, log_ends[-1], code)
    phase = Finished(outcome, T0 + 3, T0 if runs else None)
    return Job(job.number, job.submission, job.submitted_at, phase, tuple(runs), changed)


def ended_run(start: int, end: int, code: int = 0) -> CommandRun:
    return CommandRun(T0, 98, start, CommandEnd(T0 + 1, code, 1.0, end))
