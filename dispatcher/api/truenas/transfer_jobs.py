"""Jobs that a client feeds or reads from over HTTP: begun with a pipe, looked after to their end."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import trio

from dispatcher.access.roles import Caller, Level
from dispatcher.api.service import Service
from dispatcher.api.truenas.credentials import Identity
from dispatcher.api.truenas.job_object import JobError
from dispatcher.api.truenas.jobs import JobRun, Jobs, key_of
from dispatcher.api.truenas.problems import Errno
from dispatcher.api.truenas.transfer_login import PROTOCOL
from dispatcher.api.truenas.transfer_pipes import JobPipes, OutputFile, OutputPipe
from dispatcher.core.model import Job
from dispatcher.errors import DispatcherError

STOP_SECONDS = 10.0  # to save the wish that a job end

_log = logging.getLogger("dispatcher.api")


class TransferJobs:
    """Begins such jobs; `run` must run while they do. All of it ends with the daemon."""

    def __init__(self, service: Service, jobs: Jobs, pipes: JobPipes) -> None:
        self.service = service
        self.pipes = pipes
        self._jobs = jobs
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Look after what was begun, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    async def begin(self, run: JobRun, identity: Identity, offer: Callable[[str], None]) -> Job:
        """Submit a job; `offer` leaves the ends of its pipes under the key that it is given.

        Raises DispatcherError, and OSError if there are no pipes to be had.
        """
        request = run.request
        key = key_of(request.task.method if request.task is not None else "")
        run = msgspec.structs.replace(run, request=msgspec.structs.replace(request, key=key))
        credentials = identity.credentials
        record = msgspec.json.encode(credentials.record()).decode() if credentials is not None else ""
        offer(key)
        try:
            job = await self._jobs.begin(run, identity.caller, credentials=record)
        except BaseException:
            self.pipes.pipes.withdraw(key)
            raise
        self.in_background(self._withdraw_at_end, job, identity.caller)
        return job

    def in_background(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Do something that goes on when the connection that asked for it has ended."""
        if self._nursery is not None:
            self._nursery.start_soon(_kept_apart, task, arguments)

    def close_at_end(self, number: int, output: OutputPipe | OutputFile) -> None:
        """Close our end of an output when its job has ended.

        Sooner, and a command that writes would die of that before it is stopped for the right reason.
        """
        self.in_background(self._close_at_end, number, output)

    async def fail(self, number: int, origin: str, reason: str) -> None:
        """Stop a job that then counts as failed, because its client is gone. Not cancelled by its own end."""
        error = JobError(f"[{Errno.ECONNABORTED.name}] {reason}", errno=Errno.ECONNABORTED)
        await self._stop(number, origin, reason, msgspec.json.encode(error).decode())

    async def abort(self, number: int, origin: str, reason: str) -> None:
        """Stop a job, which then counts as killed by nobody."""
        await self._stop(number, origin, reason, None)

    async def _stop(self, number: int, origin: str, reason: str, error: str | None) -> None:
        ourselves = Caller("", Level.FULL, origin, PROTOCOL)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_SECONDS):
            await self.service.kill(ourselves, [number], reason=reason, error=error)

    async def _close_at_end(self, number: int, output: OutputPipe | OutputFile) -> None:
        try:
            await self.service.wait(Caller("", Level.READ), number)
        finally:
            output.close()

    async def _withdraw_at_end(self, job: Job, caller: Caller) -> None:
        # A job that was killed before it began is one that no worker tells the pipes of.
        try:
            await self.service.wait(caller, job.number)
        finally:
            self.pipes.pipes.withdraw(job.key)


async def _kept_apart(task: Callable[..., Awaitable[None]], arguments: Sequence[object]) -> None:
    """Do something whose failure, as on a full disk, is nobody else's."""
    try:
        await task(*arguments)
    except DispatcherError as error:
        _log.error("a transfer could not be looked after: %s", error.sentence)
