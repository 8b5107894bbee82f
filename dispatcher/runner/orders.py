"""What a worker is told about a job, and what a job says of its worker."""

import time

from dispatcher.core import messages as m
from dispatcher.core.model import CommandEnd, Job, Outcome, Pending, ResultKind, Running, Submission
from dispatcher.logs.reading import log_path
from dispatcher.runner.ends import Ends
from dispatcher.runner.place import Place
from dispatcher.settings import Queue, Settings

COMMAND_UMASK = 0o022


def start_order(job: Job, settings: Settings, place: Place, ends: Ends) -> dict[str, object]:
    """Give the order to run a job: everything that a worker must know of it. `ends` go with it."""
    queue = next((one for one in settings.queues if one.name == job.queue), Queue(job.queue))
    order: dict[str, object] = {
        "do": "start",
        "job": job.number,
        "handover": handover_of(job),
        "ahead": isinstance(job.phase, Pending),
        "commands": [command.argv for command in job.commands],
        "cwd": job.submission.cwd,
        "env": dict(settings.environment) | dict(job.submission.env),
        "umask": COMMAND_UMASK,
        "log": str(log_path(settings.log_dir, job.number)),
        "cap": settings.limits.log_cap_bytes,
        "tail": settings.limits.log_tail_bytes,
        "mark": f"{place.installation}:{job.number}",
        "leftovers": queue.leftovers,
        "grace": queue.grace,
    }
    streams = _streams(job.submission, ends)
    if streams:
        order["streams"] = streams
    return order


def _streams(submission: Submission, ends: Ends) -> dict[str, object]:
    """Say what the commands read and write besides the log; empty for most jobs."""
    streams: dict[str, object] = {}
    if submission.stdin is not None:
        streams["stdin"] = submission.stdin
    task = submission.task
    if task is None:
        return streams
    if task.result in {ResultKind.STDOUT, ResultKind.JSON}:
        streams["keeps_stdout"] = True
    if task.pattern:
        streams["pattern"] = task.pattern
    if task.has_progress_fd:
        streams["progress_fd"] = True
    if task.input or task.output:
        streams["descriptors"] = list(ends.named)
    return streams


def worker_of(job: Job) -> int:
    """Name the worker that a job is with."""
    if job.worker is None:
        raise ValueError(f"job {job.number} is with no worker")
    return job.worker


def handover_of(job: Job) -> int:
    """Give the number of the hand-over that a job is in; 0 if it is in none."""
    return job.phase.handover if isinstance(job.phase, Pending | Running) else 0


def returned(job: Job) -> m.JobReturned:
    """Say that the worker of a job never got it."""
    return m.JobReturned(job.number, worker_of(job), handover_of(job), time.time())


def not_started(job: Job, sentence: str) -> list[m.Fact]:
    """Say that a job failed because its first command could not be started, in the words of a worker."""
    worker, at = worker_of(job), time.time()
    return [
        m.Taken(job.number, worker, at),
        m.CommandStarted(job.number, worker, 0, None, 0, at),
        m.CommandEnded(job.number, worker, 0, CommandEnd(at, -1, 0.0, 0, error=sentence)),
        m.JobEnded(job.number, worker, Outcome.FAILED, at),
    ]
