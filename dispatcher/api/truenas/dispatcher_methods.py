"""The methods of our own, `dispatcher.*`: what TrueNAS lacks, and what the command line speaks."""

from datetime import datetime

from dispatcher.access.roles import Level
from dispatcher.api.service import JobRequest
from dispatcher.api.stopping import stop_all
from dispatcher.api.truenas import parameters
from dispatcher.api.truenas.client import Client, Stream
from dispatcher.api.truenas.follow import Following, Piece, piece_of
from dispatcher.api.truenas.method import row
from dispatcher.api.truenas.parameters import Nothing
from dispatcher.api.truenas.records import (
    JobRecord,
    QueueRecord,
    StoppedJobsRecord,
    SubmittedRecord,
    job_record,
    queue_record,
    stopped_record,
    submitted_record,
)
from dispatcher.core.model import Value
from dispatcher.errors import DispatcherError
from dispatcher.store.port import JobFilter


class JobList(Value, frozen=True):
    """Part of a list, and how many match in all."""

    jobs: tuple[JobRecord, ...]
    total: int


class KillAnswer(Value, frozen=True):
    """The job that is being stopped; null if no pending or running job has that name."""

    killed: JobRecord | None


class Subscribed(Value, frozen=True):
    """The newest event told so far; `truncated` is the first one kept, if some missed ones are not."""

    last: int
    truncated: int | None


class LogFollowed(Value, frozen=True):
    """The number that this connection's pieces of the log carry, and the number of the job."""

    follow: int
    job: int


class QueuePaused(Value, frozen=True):
    """Whether a queue is paused now."""

    queue: str
    paused: bool


class Started(Value, frozen=True):
    """Whether queues are held now; they are not."""

    held: bool


class Reloaded(Value, frozen=True):
    """What the new settings changed, one sentence each."""

    changed: tuple[str, ...]


async def _submit(client: Client, params: parameters.Submit) -> SubmittedRecord:
    request = JobRequest(
        commands=tuple(one if isinstance(one, str) else tuple(one) for one in params.commands),
        key=params.id,
        queue=params.queue,
        cwd=params.cwd,
        env=tuple((params.env or {}).items()),
    )
    (answer,) = await client.service.submit(client.caller, [request])
    if isinstance(answer, DispatcherError):
        raise answer
    return submitted_record(answer.job, attached=answer.attached)


async def _list(client: Client, params: parameters.List) -> JobList:
    narrowed = params.all or any((params.state, params.outcome, params.since, params.until))
    which = JobFilter(
        live=None if narrowed else True,
        queue=params.queue,
        state=params.state,
        outcome=params.outcome,
        since=_instant(params.since),
        until=_instant(params.until),
    )
    page = await client.service.page(client.caller, which, params.offset, params.limit)
    return JobList(tuple(job_record(job) for job in page.jobs), page.total)


def _instant(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


async def _show(client: Client, params: parameters.One) -> JobRecord:
    return job_record(await client.service.show(client.caller, params.job))


async def _kill(client: Client, params: parameters.One) -> KillAnswer:
    (answer,) = await client.service.kill(client.caller, [params.job])
    if isinstance(answer, DispatcherError):
        raise answer
    return KillAnswer(None if answer.job is None else job_record(answer.job))


async def _log(client: Client, params: parameters.Log) -> Piece:
    read = await client.service.read_log(
        client.caller, params.job, command=params.command, offset=params.offset, limit=params.limit
    )
    return piece_of(read)


async def _log_follow(client: Client, params: parameters.Follow) -> Stream:
    job = await client.service.show(client.caller, params.job)
    number = client.next_stream()
    following = Following(client.socket, client.service, client.caller, number, job.number)

    async def run() -> None:
        await following.run(params.command, params.offset)

    return Stream(LogFollowed(number, job.number), run)


async def _events(client: Client, params: parameters.Events) -> Stream:
    only = None if params.job is None else (await client.service.show(client.caller, params.job)).number
    subscription = client.subscribe()
    last = client.feed.last
    page = await subscription.begin(params.since, only)
    is_truncated = params.since is not None and page.first_kept > params.since + 1

    async def run() -> None:
        await subscription.run(page)

    return Stream(Subscribed(last, page.first_kept if is_truncated else None), run)


async def _wait(client: Client, params: parameters.One) -> JobRecord:
    return job_record(await client.service.wait(client.caller, params.job))


async def _queues(client: Client, _: Nothing) -> list[QueueRecord]:
    return [
        queue_record(
            one.queue,
            is_paused=one.is_paused,
            is_held=one.is_held,
            running=one.running,
            pending=one.pending,
        )
        for one in await client.service.queues(client.caller)
    ]


async def _pause(client: Client, params: parameters.OneQueue) -> QueuePaused:
    await client.service.pause(client.caller, params.queue)
    return QueuePaused(params.queue, paused=True)


async def _resume(client: Client, params: parameters.OneQueue) -> QueuePaused:
    await client.service.resume(client.caller, params.queue)
    return QueuePaused(params.queue, paused=False)


async def _reload(client: Client, _: Nothing) -> Reloaded:
    return Reloaded(tuple(await client.service.reload(client.caller)))


async def _accounts_changed(client: Client, _: Nothing) -> None:
    await client.service.notice_accounts(client.caller)


async def _stop_jobs(client: Client, params: parameters.StopJobs) -> StoppedJobsRecord:
    found = await stop_all(client.service, client.caller, reason=params.reason, seconds=params.wait)
    return StoppedJobsRecord(
        tuple(stopped_record(job) for job in found.ended), tuple(stopped_record(job) for job in found.running)
    )


async def _start_jobs(client: Client, _: Nothing) -> Started:
    await client.service.start_again(client.caller)
    return Started(held=False)


DISPATCHER_ROWS = (
    row("dispatcher.submit", parameters.Submit, Level.FULL, _submit, "Run a list of commands as one job."),
    row("dispatcher.list", parameters.List, Level.READ, _list, "List jobs, part by part."),
    row("dispatcher.show", parameters.One, Level.READ, _show, "Describe one job."),
    row("dispatcher.kill", parameters.One, Level.FULL, _kill, "Stop a pending or running job."),
    row("dispatcher.log", parameters.Log, Level.READ, _log, "Read a part of a job's log."),
    row("dispatcher.log_follow", parameters.Follow, Level.READ, _log_follow, "Send a log as it grows."),
    row("dispatcher.events", parameters.Events, Level.READ, _events, "Tell of every change of jobs."),
    row(
        "dispatcher.wait",
        parameters.One,
        Level.READ,
        _wait,
        "Answer when a job has finished.",
        holds_slot=False,
    ),
    row("dispatcher.queues", Nothing, Level.READ, _queues, "List the queues."),
    row("dispatcher.pause", parameters.OneQueue, Level.FULL, _pause, "Start no further job of a queue."),
    row("dispatcher.resume", parameters.OneQueue, Level.FULL, _resume, "Start a paused queue's jobs again."),
    row("dispatcher.reload", Nothing, Level.FULL, _reload, "Read queues.yaml again."),
    row(
        "dispatcher.accounts_changed",
        Nothing,
        Level.FULL,
        _accounts_changed,
        "Read the accounts again, at once.",
    ),
    row(
        "dispatcher.stop_jobs",
        parameters.StopJobs,
        Level.FULL,
        _stop_jobs,
        "Stop every running job and start no other one.",
        holds_slot=False,
    ),
    row("dispatcher.start_jobs", Nothing, Level.FULL, _start_jobs, "Start jobs again after stop_jobs."),
)
