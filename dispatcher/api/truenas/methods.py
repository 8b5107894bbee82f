"""Every JSON-RPC method: its name, its parameters, the access it needs, and what does it.

`METHODS` at the end is the page for a security review: nothing can be called that is not in it.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from dispatcher.access.roles import Level
from dispatcher.api.service import JobRequest
from dispatcher.api.truenas import parameters
from dispatcher.api.truenas.client import Client, Stream
from dispatcher.api.truenas.follow import Following, Piece, piece_of
from dispatcher.api.truenas.parameters import Nothing, read_params
from dispatcher.api.truenas.records import (
    JobRecord,
    QueueRecord,
    SubmittedRecord,
    job_record,
    queue_record,
    submitted_record,
)
from dispatcher.core.model import Value
from dispatcher.errors import DispatcherError
from dispatcher.store.port import JobFilter

P = TypeVar("P", bound=Value)


class Method(Value, frozen=True):
    """One row of the table. `holds_slot` is False for a method that waits for a job."""

    name: str
    params: type[Value]
    level: Level
    call: Callable[[Client, Sequence[object]], Awaitable[object]]
    doc: str
    holds_slot: bool = True


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


class Reloaded(Value, frozen=True):
    """What the new settings changed, one sentence each."""

    changed: tuple[str, ...]


async def _ping(_: Client, __: Nothing) -> str:
    return "pong"


async def _login(client: Client, params: parameters.Login) -> bool:
    return await client.login(params.username, params.password)


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
        queue_record(one.queue, is_paused=one.is_paused, running=one.running, pending=one.pending)
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


def _row(
    name: str,
    params: type[P],
    level: Level,
    function: Callable[[Client, P], Awaitable[object]],
    doc: str,
    *,
    holds_slot: bool = True,
) -> Method:
    async def call(client: Client, given: Sequence[object]) -> object:
        return await function(client, read_params(params, given))

    return Method(name, params, level, call, doc, holds_slot)


_ROWS = (
    _row("core.ping", Nothing, Level.NOBODY, _ping, "Answer pong."),
    _row("auth.login", parameters.Login, Level.NOBODY, _login, "Log in with name and password."),
    _row("dispatcher.submit", parameters.Submit, Level.FULL, _submit, "Run a list of commands as one job."),
    _row("dispatcher.list", parameters.List, Level.READ, _list, "List jobs, part by part."),
    _row("dispatcher.show", parameters.One, Level.READ, _show, "Describe one job."),
    _row("dispatcher.kill", parameters.One, Level.FULL, _kill, "Stop a pending or running job."),
    _row("dispatcher.log", parameters.Log, Level.READ, _log, "Read a part of a job's log."),
    _row("dispatcher.log_follow", parameters.Follow, Level.READ, _log_follow, "Send a log as it grows."),
    _row("dispatcher.events", parameters.Events, Level.READ, _events, "Tell of every change of jobs."),
    _row(
        "dispatcher.wait",
        parameters.One,
        Level.READ,
        _wait,
        "Answer when a job has finished.",
        holds_slot=False,
    ),
    _row("dispatcher.queues", Nothing, Level.READ, _queues, "List the queues."),
    _row("dispatcher.pause", parameters.OneQueue, Level.FULL, _pause, "Start no further job of a queue."),
    _row("dispatcher.resume", parameters.OneQueue, Level.FULL, _resume, "Start a paused queue's jobs again."),
    _row("dispatcher.reload", Nothing, Level.FULL, _reload, "Read queues.yaml again."),
)

METHODS = {method.name: method for method in _ROWS}
