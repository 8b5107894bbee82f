"""The shapes of what the daemon answers, for the type checker only; nothing imports this at run time.

The records themselves are made and documented in `api/truenas/records.py`. Reading them into classes
would cost the command line more time than the call.
"""

from typing import TypedDict


class Command(TypedDict):
    """One command of a job."""

    text: str
    argv: list[str]
    code: int | None
    signal: str | None
    error: str | None
    started: str | None
    ended: str | None
    seconds: float | None
    log_start: int | None
    log_end: int | None
    cut_bytes: int
    leftovers: list[str]
    pid: int | None


class Stop(TypedDict):
    """Who stops a job."""

    at: str
    by: str
    reason: str


class Job(TypedDict):
    """A job."""

    number: int
    key: str
    queue: str
    state: str
    outcome: str | None
    owner: str
    protocol: str
    commands: list[Command]
    submitted: str
    started: str | None
    finished: str | None
    duration: float | None
    return_code: int | None
    reason: str
    stop: Stop | None
    ended_by: str | None
    unreachable: bool
    changed: int


class Submitted(Job):
    """The answer to a submit."""

    attached: bool


class JobList(TypedDict):
    """Part of a list of jobs."""

    jobs: list[Job]
    total: int


class Queue(TypedDict):
    """A queue."""

    name: str
    concurrency: int
    grace: float
    on_duplicate: str
    after_lost: str
    paused: bool
    held: bool
    running: int
    pending: int


class StoppedJob(TypedDict):
    """A job that was stopped with all others."""

    number: int
    key: str
    queue: str
    outcome: str | None


class StoppedJobs(TypedDict):
    """What came of stopping all jobs."""

    ended: list[StoppedJob]
    running: list[StoppedJob]


class Piece(TypedDict):
    """Part of a log."""

    text: str
    offset: int
    next: int
    size: int
    end: bool


class Event(TypedDict):
    """A numbered change of a job."""

    seq: int
    job: Job


class Request(TypedDict, total=False):
    """What a submit sends."""

    commands: list[str | list[str]]
    id: str
    queue: str
    cwd: str
    env: dict[str, str]
