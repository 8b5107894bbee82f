"""The pipes between jobs and the clients that feed them or read from them: our ends."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol, Self, TypeVar

import trio

from dispatcher.access.roles import Caller
from dispatcher.api.service import Service
from dispatcher.core.model import Finished, Job, Outcome

PIPE_BYTES = 64 * 1024
FILE_BYTES = 1024 * 1024

T = TypeVar("T")


class PipeEnds(Protocol):
    """Where the ends for the commands are left until a worker begins with them."""

    def offer(
        self, key: str, *, stdin: int | None = None, keeper: int | None = None, stdout: int | None = None
    ) -> None:
        """Take descriptors for a job that is about to be submitted; they are closed there."""
        ...

    def withdraw(self, key: str) -> None:
        """Close what is left of a job's ends: it will not start any more."""
        ...


class JobPipes(Protocol):
    """What transfers ask of those who run jobs."""

    @property
    def pipes(self) -> PipeEnds:
        """The ends for the commands."""
        ...

    def end_input(self, number: int, key: str) -> None:
        """Let the commands of a job see the end of their input; our end is closed by now."""
        ...


class InputPipe:
    """The pipe that a job reads from; used with `with`, which closes our end. Raises OSError."""

    def __init__(self, pipes: JobPipes) -> None:
        self._pipes = pipes
        self._reader, writer = os.pipe()
        self._writer = trio.lowlevel.FdStream(writer)
        self._is_read = True

    def offer(self, key: str) -> None:
        """Leave the commands' end for a job that is about to be submitted; once."""
        keeper = os.dup(self._writer.fileno())
        reader, self._reader = self._reader, -1
        self._pipes.pipes.offer(key, stdin=reader, keeper=keeper)

    async def write(self, piece: memoryview, end: "JobEnd") -> None:
        """Write, as fast as the commands read; what they do not read any more is thrown away."""
        if not self._is_read or end.is_here:
            return
        try:
            await end.before(lambda: self._writer.send_all(piece))
        except trio.BrokenResourceError:
            self._is_read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        if self._reader >= 0:
            os.close(self._reader)


class OutputPipe:
    """The pipe that a job writes to. Raises OSError."""

    def __init__(self, pipes: JobPipes) -> None:
        self._pipes = pipes
        reader, self._writer = os.pipe()
        self._reader = trio.lowlevel.FdStream(reader)

    def offer(self, key: str) -> None:
        """Leave the commands' end for a job that is about to be submitted; once."""
        writer, self._writer = self._writer, -1
        self._pipes.pipes.offer(key, stdout=writer)

    async def read(self, end: "JobEnd") -> bytes:
        """Give the next bytes, b"" when no more will come from the job."""
        piece = await end.before(self._reader.receive_some)
        if piece is None:
            # What the job wrote is here by now. What it left behind may hold the pipe open for hours.
            await trio.lowlevel.checkpoint()
            try:
                piece = os.read(self._reader.fileno(), PIPE_BYTES)
            except BlockingIOError:
                piece = b""
        return bytes(piece)

    def close(self) -> None:
        """Close our end; commands that write on are ended by it."""
        self._reader.close()
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1


class OutputFile:
    """A file that a job writes to and that is read when the job has ended. It has no name. Raises OSError."""

    def __init__(self, pipes: JobPipes, folder: Path) -> None:
        self._pipes = pipes
        self._writer, path = tempfile.mkstemp(prefix="download-", dir=folder)
        try:
            self._reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._writer)
            raise
        finally:
            Path(path).unlink()
        self._offset = 0

    def offer(self, key: str) -> None:
        """Leave the commands' end for a job that is about to be submitted; once."""
        writer, self._writer = self._writer, -1
        self._pipes.pipes.offer(key, stdout=writer)

    async def read(self, end: "JobEnd") -> bytes:
        """Give the next bytes, b"" at the end; the first come when the job has ended."""
        await end.wait()
        piece = await trio.to_thread.run_sync(os.pread, self._reader, FILE_BYTES, self._offset)
        self._offset += len(piece)
        return piece

    def close(self) -> None:
        """Close our end; the file is gone when the commands have closed theirs."""
        os.close(self._reader)
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1


class JobEnd:
    """Whether a job has ended: what makes no sense after that does not go on."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._scope: trio.CancelScope | None = None
        self.is_success = False

    @property
    def is_here(self) -> bool:
        """Whether the job has ended."""
        return self._event.is_set()

    def note(self, job: Job) -> None:
        """Take a state of the job."""
        if isinstance(job.phase, Finished):
            self.is_success = job.phase.outcome is Outcome.SUCCESS
            self._event.set()
            if self._scope is not None:
                self._scope.cancel()

    async def wait(self) -> None:
        """Return when the job has ended."""
        await self._event.wait()

    async def before(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do something that is cancelled when the job ends; give None then. One at a time."""
        if self.is_here:
            return None
        with trio.CancelScope() as self._scope:
            return await work()
        return None


@contextlib.asynccontextmanager
async def watched_end(service: Service, caller: Caller, number: int) -> AsyncIterator[JobEnd]:
    """Watch for the end of a job, which may be there already."""
    end = JobEnd()
    with service.watching(number, end.note):
        end.note(await service.show(caller, number))
        yield end
