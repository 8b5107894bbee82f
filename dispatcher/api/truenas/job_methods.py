"""Methods about jobs: find them, wait for one as a job, stop it, and say how far it is."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dispatcher.access.roles import Level
from dispatcher.api.service import JobRequest
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.job_object import JobObject
from dispatcher.api.truenas.job_search import get_jobs
from dispatcher.api.truenas.jobs import JobRun, OwnJob
from dispatcher.api.truenas.method import row
from dispatcher.api.truenas.problems import Errno, call_error, not_found
from dispatcher.core.model import Finished, Job, Progress, Task, Value
from dispatcher.errors import DispatcherError, NotFound

WAIT = "core.job_wait"


class JobSearch(Value, frozen=True):
    """Which jobs, and what of them."""

    filters: list[object] = msgspec.field(default_factory=list)
    options: dict[str, object] = msgspec.field(default_factory=dict)


class JobId(Value, frozen=True):
    """The number of a job."""

    id: int


class NewProgress(Value, frozen=True):
    """How far a job is; what is left out stays as it is."""

    percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    description: str | None = None
    extra: object = None


class Update(Value, frozen=True):
    """What may be changed of a job."""

    progress: NewProgress


class JobUpdate(Value, frozen=True):
    """The parameters of `core.job_update`."""

    id: int
    job: Update


async def _get_jobs(client: Client, params: JobSearch) -> int | JobObject | list[JobObject]:
    jobs = client.jobs
    return await get_jobs(
        client.service.store, jobs.events.objects, jobs.patterns, params.filters, params.options
    )


async def _job_wait(client: Client, params: JobId) -> JobRun:
    target = await _find(client, params.id)
    jobs, service = client.jobs, client.service

    async def work(own: OwnJob) -> object:
        def mirror(job: Job) -> None:
            if job.progress is not None and not isinstance(job.phase, Finished):
                service.tell_progress(own.job.number, job.progress)

        with service.watching(target.number, mirror):
            mirror(target)
            return await jobs.outcome(own.caller, target)

    task = Task(WAIT, msgspec.json.encode([params.id]).decode())
    return JobRun(JobRequest((), task=task), Level.READ, work)


async def _job_abort(client: Client, params: JobId) -> None:
    """Stop a job; one that has ended stays as it is. Those who may only read may stop their own."""
    job = await _find(client, params.id)
    if client.caller.level < Level.FULL and job.submission.owner != client.caller.name:
        raise call_error(Errno.EPERM, "Job is not owned by current session")
    (answer,) = await client.service.kill(client.caller, [job.number], level=Level.READ)
    if isinstance(answer, DispatcherError):
        raise answer


async def _job_update(client: Client, params: JobUpdate) -> None:
    job = await _find(client, params.id)
    before, new = job.progress or Progress(), params.job.progress
    extra = before.extra if new.extra is None else msgspec.json.encode(new.extra).decode()
    client.service.tell_progress(
        job.number,
        Progress(
            before.percent if new.percent is None else int(new.percent),
            new.description or before.description,
            extra,
        ),
    )


async def _find(client: Client, number: int) -> Job:
    try:
        return await client.service.show(client.caller, number)
    except NotFound:
        raise not_found(f"Job with id {number} does not exist") from None


JOB_ROWS = (
    row("core.get_jobs", JobSearch, Level.READ, _get_jobs, "List the jobs that match."),
    row(WAIT, JobId, Level.READ, _job_wait, "Wait for a job, as a job that ends as it does.", is_job=True),
    row("core.job_abort", JobId, Level.READ, _job_abort, "Stop a job."),
    row("core.job_update", JobUpdate, Level.FULL, _job_update, "Say how far a job is."),
)
