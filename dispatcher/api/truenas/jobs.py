"""Calls that make jobs: of commands, or of work that the supervisor carries out itself.

Such work goes on when the connection that asked for it is closed, ends when its job is killed, and is
lost with the daemon.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable

import msgspec
import trio

from dispatcher.access.roles import Caller, Level
from dispatcher.api.service import JobRequest, Service
from dispatcher.api.truenas.excerpts import Excerpt
from dispatcher.api.truenas.job_events import JobEvents
from dispatcher.api.truenas.job_object import JobError, error_of, result_of, state_of
from dispatcher.api.truenas.patterns import Patterns
from dispatcher.api.truenas.problems import (
    INVALID_PARAMS,
    VALIDATION,
    Errno,
    ErrorData,
    Mistake,
    Problem,
    failed,
    invalid_params,
    problem_of,
    unexpected,
)
from dispatcher.core.messages import Submitted
from dispatcher.core.model import Finished, Job, Outcome, Progress, Task, Value
from dispatcher.errors import DispatcherError

_log = logging.getLogger("dispatcher.api")


class OwnJob:
    """A job that the supervisor carries out, as its work sees it."""

    def __init__(self, job: Job, caller: Caller, service: Service) -> None:
        self.job = job
        self.caller = caller
        self._service = service

    def tell_progress(self, percent: float, description: str = "", extra: str = "") -> None:
        """Say how far the work is; `extra` is JSON text or empty."""
        progress = Progress(max(0, min(100, int(percent))), description, extra)
        self._service.tell_progress(self.job.number, progress)


Work = Callable[[OwnJob], Awaitable[object]]


class JobRun(Value, frozen=True):
    """What a call wants to be run; `work` if that is not commands. `level` is what it takes."""

    request: JobRequest
    level: Level = Level.FULL
    work: Work | None = None


class Begun(Value, frozen=True):
    """The answer of a call that has made a job, or was joined to one that waits already."""

    job: Job


class Jobs:
    """Begins jobs for calls, and carries out the work of those without commands."""

    def __init__(self, service: Service, events: JobEvents) -> None:
        self.events = events
        self.patterns = Patterns()
        self._service = service
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Carry out work until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    async def begin(
        self, run: JobRun, caller: Caller, call_id: bytes | None = None, credentials: str = ""
    ) -> Job:
        """Submit a job; `call_id` is the id of a request that waits for its end, as JSON text.

        `credentials` is how the caller has logged in, as a JSON object.
        """
        request = run.request
        if credentials and request.task is not None:
            task = msgspec.structs.replace(request.task, credentials=credentials)
            request = msgspec.structs.replace(request, task=task)
        if request.key is None:
            name = request.task.method if request.task is not None else "dispatcher.run"
            request = msgspec.structs.replace(request, key=key_of(name))
        key = request.key or ""
        if call_id is not None:
            self.events.message_ids.add(key, call_id)
        # Once asked for it is a job, whether or not anybody waits here: its work must begin.
        with trio.CancelScope(shield=run.work is not None):
            try:
                answer = await self._submit(caller, request, run.level)
            except DispatcherError:
                if call_id is not None:
                    self.events.message_ids.drop(key, call_id)
                raise
        if answer.attached and call_id is not None:
            self.events.message_ids.drop(key, call_id)
            self.events.message_ids.add(answer.job.key, call_id)
            self.events.tell_again(answer.job)
        if run.work is not None and self._nursery is not None:
            self._nursery.start_soon(self._carry_out, OwnJob(answer.job, caller, self._service), run.work)
        return answer.job

    async def outcome(self, caller: Caller, job: Job) -> object:
        """Wait for the end of a job; give its result, or raise the Problem that it ended with."""
        job = await self._service.wait(caller, job.number)
        await self.events.reached(job.changed)
        await self.events.excerpts.read([job])
        return outcome_of(job, self.events.excerpts.known(job))

    async def _submit(self, caller: Caller, request: JobRequest, level: Level) -> Submitted:
        (answer,) = await self._service.submit(caller, [request], level=level)
        if isinstance(answer, DispatcherError):
            raise answer
        return answer

    async def _carry_out(self, own: OwnJob, work: Work) -> None:
        job = own.job
        result = error = None
        with trio.CancelScope() as scope, self._service.watching(job.number, _cancel_at_end(scope)):
            try:
                result = msgspec.json.encode(await work(own)).decode()
            except Problem as problem:
                error = _kept(problem)
            except DispatcherError as sentence:
                error = _kept(problem_of(sentence))
            except Exception:  # noqa: BLE001 (the edge of the work: a fault in it must not end the daemon)
                _log.exception("job %d, %s, failed", job.number, job.key)
                error = _kept(unexpected())
        if not scope.cancelled_caught:
            outcome = Outcome.SUCCESS if error is None else Outcome.FAILED
            self._service.end_own(job, outcome, result=result, error=error)


def key_of(method: str) -> str:
    """Make the key of a job that a method makes."""
    return f"{method}-{{{uuid.uuid4()}}}"


def refused(method: str, arguments: str, problem: Problem, level: Level) -> JobRun:
    """Make the job of a call whose arguments are wrong: it fails at once, and says why.

    `arguments` is their JSON text, secrets masked.
    """

    async def work(_: OwnJob) -> object:
        await trio.lowlevel.checkpoint()
        raise problem

    return JobRun(JobRequest((), task=Task(method, arguments)), level, work)


def outcome_of(job: Job, excerpt: Excerpt | None) -> object:
    """Give the result of a finished job, null if it was killed. Raises the Problem of a failed one."""
    if state_of(job) != "FAILED":
        return result_of(job)
    error = error_of(job, excerpt) or JobError("")
    if error.type == VALIDATION:
        mistakes = msgspec.convert(error.extra, tuple[Mistake, ...])
        raise invalid_params(mistakes)
    raise failed(error.errno, error.reason, error.type)


def _cancel_at_end(scope: trio.CancelScope) -> Callable[[Job], None]:
    def note(job: Job) -> None:
        if isinstance(job.phase, Finished):
            scope.cancel()

    return note


def _kept(problem: Problem) -> str:
    """Write a problem as it is kept with its job."""
    data = problem.data or ErrorData(Errno.EFAULT, Errno.EFAULT.name, problem.message)
    kind = data.trace.kind if data.trace is not None else "Exception"
    is_validation = problem.code == INVALID_PARAMS
    extra = list(data.extra) if is_validation else None
    return msgspec.json.encode(JobError(data.reason, kind, data.error, extra)).decode()
