"""Carry out SysAdm's calls for a known caller; the same for WebSocket and REST.

Each function gives the `args` of the reply, or raises a DispatcherError that the codec can word.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, assert_never

from dispatcher.access.roles import Caller, Level, require
from dispatcher.api.job_logs import LogPiece
from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm.arguments import Kill, ListJobs, Run, read_dispatcher
from dispatcher.api.sysadm.codec import Call
from dispatcher.core.messages import Killed, Submitted
from dispatcher.core.model import Job, Queue, State
from dispatcher.errors import DispatcherError, NotFound
from dispatcher.store.port import Changes, JobFilter, Page

_OWN = {"rpc/settings"}  # where everybody changes what is their own
UNNUMBERED = "no_queue"  # the original shows no place in it


class QueueInfo(Protocol):
    """A queue as the service lists it."""

    @property
    def queue(self) -> Queue:
        """The queue's rules."""
        ...


class Jobs(Protocol):
    """The part of the service that this protocol uses."""

    async def submit(
        self, caller: Caller, requests: Sequence[JobRequest], *, refused: Sequence[tuple[str, str]] = ()
    ) -> Sequence[Submitted | DispatcherError]:
        """Add jobs; one answer per request. `refused` are others that could not be read, for the audit."""
        ...

    async def kill(self, caller: Caller, targets: Sequence[int | str]) -> Sequence[Killed | DispatcherError]:
        """Stop jobs; one answer per target."""
        ...

    async def live(self, caller: Caller, queue: str, offset: int, limit: int) -> Page:
        """List the live jobs of a queue, running ones first."""
        ...

    async def page(self, caller: Caller, which: JobFilter, offset: int, limit: int) -> Page:
        """List jobs."""
        ...

    async def changed_since(self, caller: Caller, number: int, limit: int) -> Changes:
        """Give each job that changed after an event."""
        ...

    async def read_log_of(self, job: Job, *, limit: int) -> LogPiece:
        """Read a piece of a job's log; its `size` is how far it can be read."""
        ...

    async def queues(self, caller: Caller) -> Sequence[QueueInfo]:
        """List the queues."""
        ...


class Subsystem(Protocol):
    """A part of the protocol beside rpc/dispatcher; rpc/query lists it."""

    async def answer(self, call: Call, caller: Caller) -> dict[str, object]:
        """Give the `args` of the reply to a caller who may read, or raise a DispatcherError."""
        ...


class Classes(Protocol):
    """The classes whose calls are made from templates."""

    def advertised(self, caller: Caller) -> dict[str, object]:
        """Say for rpc/query which are there, and what the caller may do with them."""
        ...

    def knows(self, subsystem: str) -> bool:
        """Whether there is a class of this name."""
        ...

    async def answer(self, call: Call, caller: Caller) -> dict[str, object]:
        """Carry out a call of a class that is known."""
        ...


def identify(hostname: str) -> dict[str, object]:
    """Say who this is."""
    return {"hostname": hostname, "type": "server"}


async def answer(
    call: Call,
    caller: Caller,
    jobs: Jobs,
    list_jobs: int,
    others: Mapping[str, Subsystem],
    *,
    classes: Classes | None = None,
) -> dict[str, object]:
    """Carry out a call of any subsystem; `list_jobs` is how many jobs of a queue one list shows."""
    require(caller, Level.READ)
    match call.subsystem:
        case "rpc/query":
            return _query(caller, others) | (classes.advertised(caller) if classes else {})
        case "rpc/dispatcher":
            return await _dispatcher(call, caller, jobs, list_jobs)
        case name if name in others:
            return await others[name].answer(call, caller)
        case name if classes is not None and classes.knows(name):
            return await classes.answer(call, caller)
        case _:
            raise NotFound(f"there is no {call.subsystem[:120]!r} here; rpc/query lists what there is")


def _query(caller: Caller, others: Mapping[str, Subsystem]) -> dict[str, object]:
    # Clients build their pages from this: what is not built yet must not stand here.
    access = "read/write" if caller.level >= Level.FULL else "read"
    return {name: "read/write" if name in _OWN else access for name in ("rpc/dispatcher", *others)}


async def _dispatcher(call: Call, caller: Caller, jobs: Jobs, list_jobs: int) -> dict[str, object]:
    request = read_dispatcher(call)
    match request:
        case Run():
            return await _run(request, caller, jobs)
        case Kill(keys=keys):
            return await _kill(keys, caller, jobs)
        case ListJobs():
            return await _list(request, caller, jobs, list_jobs)
        case _ as unreachable:
            assert_never(unreachable)


async def _run(request: Run, caller: Caller, jobs: Jobs) -> dict[str, object]:
    started: list[str] = []
    rejected = dict(request.rejected)
    # Asked even for no job at all, so that somebody who may only read hears 403.
    answers = await jobs.submit(caller, request.jobs, refused=request.rejected)
    for wanted, found in zip(request.jobs, answers, strict=True):
        key = wanted.key or ""
        if isinstance(found, DispatcherError):
            rejected[key] = found.sentence
        else:
            started.append(key)
    return {"started": started, "rejected": rejected} if rejected else {"started": started}


async def _kill(keys: Sequence[str], caller: Caller, jobs: Jobs) -> dict[str, object]:
    killed: list[str] = []
    for key, found in zip(keys, await jobs.kill(caller, keys), strict=True):
        if isinstance(found, DispatcherError):
            raise found
        if found.job is not None:
            killed.append(key)
    return {"killed": {"jobs": killed}}


async def _list(request: ListJobs, caller: Caller, jobs: Jobs, list_jobs: int) -> dict[str, object]:
    names = [status.queue.name for status in await jobs.queues(caller)]
    if request.queue is not None:
        if request.queue not in names:
            raise NotFound(f"there is no queue {request.queue[:120]!r}; there are: {', '.join(names)}")
        names = [request.queue]
    limit = list_jobs if request.limit is None else min(request.limit, list_jobs)
    shown: dict[str, object] = {}
    truncated: dict[str, int] = {}
    for name in names:
        page = await jobs.live(caller, name, request.offset, limit)
        if page.jobs:
            shown[name] = {
                job.key: _listed(job, name, request.offset + place) for place, job in enumerate(page.jobs)
            }
        if request.offset + len(page.jobs) < page.total:
            truncated[name] = page.total
    return {"jobs": shown, "truncated": truncated} if truncated else {"jobs": shown}


def _listed(job: Job, queue: str, place: int) -> dict[str, object]:
    state = State.RUNNING if job.state is State.RUNNING else State.PENDING
    fields: dict[str, object] = {
        "commands": [command.text for command in job.commands],
        "state": state.value,
    }
    if queue != UNNUMBERED:
        fields["queue_position"] = str(place)
    return fields
