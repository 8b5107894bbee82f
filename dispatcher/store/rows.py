"""A job as rows of the database and back.

What a job was asked to be is written once, into `submission`; its progress is JSON beside the
columns that jobs are found by. A field with a default may be added to the model without a new
schema file: old rows then read as the default.
"""

from collections.abc import Iterable

import msgspec

from dispatcher.core.model import (
    CommandRun,
    Finished,
    Job,
    Outcome,
    Pending,
    Phase,
    Progress,
    Running,
    Submission,
    Value,
)
from dispatcher.store.job_query import method_of

Row = tuple[int, float, int, str, str]
"""number, submitted, changed, submission.body, progress: what every reading query selects."""

Changing = tuple[str, Outcome | None, int | None, float | None, float | None, int, str, int]
"""state, outcome, worker, started, finished, changed, progress, number: what an update writes."""

Added = tuple[
    str, str, str, str, float, str, Outcome | None, int | None, float | None, float | None, int, str, int
]
"""key, queue, owner, method, submitted, then as in an update."""


class Course(Value, frozen=True, omit_defaults=True):
    """The part of a job that changes."""

    phase: Phase
    runs: tuple[CommandRun, ...] = ()
    progress: Progress | None = None


_encoder = msgspec.json.Encoder()
_progress = msgspec.json.Decoder(Course)
_submission = msgspec.json.Decoder(Submission)


def changing(job: Job) -> Changing:
    """Give the values of an update, the number last."""
    progress = _encoder.encode(Course(job.phase, job.runs, job.progress)).decode()
    match job.phase:
        case Pending(worker=worker):
            return ("pending", None, worker, None, None, job.changed, progress, job.number)
        case Running(started_at=started, worker=worker):
            return ("running", None, worker, started, None, job.changed, progress, job.number)
        case Finished(outcome=outcome, started_at=started, finished_at=end):
            return ("finished", outcome, None, started, end, job.changed, progress, job.number)


def added(job: Job) -> Added:
    """Give the values of an insert, the number last."""
    what = job.submission
    return (what.key, what.queue, what.owner, method_of(job), job.submitted_at, *changing(job))


def body(job: Job) -> tuple[int, str]:
    """Give the row of what never changes."""
    return job.number, _encoder.encode(job.submission).decode()


def job(row: Row) -> Job:
    """Make the job of a row."""
    number, submitted, changed, what, progress = row
    came = _progress.decode(progress)
    return Job(number, _submission.decode(what), submitted, came.phase, came.runs, changed, came.progress)


def jobs(rows: Iterable[Row]) -> tuple[Job, ...]:
    """Make the jobs of rows, in their order."""
    return tuple(map(job, rows))


def can_be_stored(target: float | str) -> bool:
    """Tell whether a number or text fits the database at all; what does not cannot be in it."""
    if isinstance(target, str):
        # JSON can spell half a surrogate pair, which is no text and cannot be written as UTF-8.
        return not any("\ud800" <= letter <= "\udfff" for letter in target)
    return isinstance(target, float) or -(2**63) <= target < 2**63
