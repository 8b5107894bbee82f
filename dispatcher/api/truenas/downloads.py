"""`/_download/{id}`: what a job writes, or its log, to whoever has the token for it, once.

The output of a job goes through a pipe, so its commands write no faster than the client reads; or, for
a buffered download, into a file. A download that is not begun in time is over, and its job is stopped.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import trio

from dispatcher.access.peers import origin_of
from dispatcher.api.truenas.credentials import Identity
from dispatcher.api.truenas.jobs import JobRun
from dispatcher.api.truenas.logins import Logins
from dispatcher.api.truenas.problems import Errno, call_error
from dispatcher.api.truenas.session_tokens import Grant
from dispatcher.api.truenas.transfer_jobs import TransferJobs
from dispatcher.api.truenas.transfer_login import token_of
from dispatcher.api.truenas.transfer_pipes import JobEnd, OutputFile, OutputPipe, watched_end
from dispatcher.core.model import Job, Value
from dispatcher.errors import NotFound
from dispatcher.net.exchange import BrokenOff, Exchange
from dispatcher.net.handshake import Refusal
from dispatcher.net.http_messages import Request, plain

TOKEN_SECONDS = 300.0
BUFFERED_SECONDS = 3600.0
MOST_WAITING = 256
BROKE_OFF = "the download broke off"
LOG_BYTES = 1024 * 1024

Read = Callable[[], Awaitable[bytes]]


class Asker(Value, frozen=True):
    """Who asks for a download: the login, its session, and the address that may fetch it; None for any."""

    identity: Identity
    session: str
    address: str | None


class _Waiting:
    """A download that nobody has begun yet."""

    def __init__(self, output: OutputPipe | OutputFile) -> None:
        self.output = output
        self.is_begun = trio.Event()


class Downloads:
    """All downloads that wait, and those under way."""

    def __init__(self, jobs: TransferJobs, logins: Logins) -> None:
        self._jobs = jobs
        self._logins = logins
        self._service = jobs.service
        self._waiting: dict[int, _Waiting] = {}

    async def open(self, asker: Asker, run: JobRun, filename: str, *, is_buffered: bool) -> tuple[int, str]:
        """Begin the job of a download; give its number and the path to fetch its output from.

        Raises Problem if too many wait, DispatcherError.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise call_error(
                Errno.EBUSY, f"{MOST_WAITING} downloads wait to be begun: begin one, or wait a minute"
            )
        try:
            output: OutputPipe | OutputFile
            if is_buffered:
                output = OutputFile(self._jobs.pipes, self._service.settings.state_dir)
            else:
                output = OutputPipe(self._jobs.pipes)
        except OSError as error:
            raise call_error(Errno.EIO, f"cannot make room for a download: {error.strerror}") from None
        try:
            job = await self._jobs.begin(run, asker.identity, output.offer)
        except BaseException:
            output.close()
            raise
        self._waiting[job.number] = waiting = _Waiting(output)
        limit = BUFFERED_SECONDS if is_buffered else self._service.settings.limits.download_time
        self._jobs.in_background(self._give_up_later, job.number, waiting, limit)
        ttl = BUFFERED_SECONDS if is_buffered else TOKEN_SECONDS
        return job.number, self._path(asker, job.number, {"job": job.number, "filename": filename}, ttl)

    def open_log(self, asker: Asker, job: Job, filename: str) -> str:
        """Give the path to fetch the log of a job from, as far as it goes then."""
        attrs = {"job": job.number, "filename": filename, "log": True}
        return self._path(asker, job.number, attrs, TOKEN_SECONDS)

    async def serve(self, exchange: Exchange) -> None:
        """Serve one download."""
        try:
            await self._serve(exchange)
        except Refusal as refusal:
            await exchange.answer(plain(refusal.status, refusal.sentence, refusal.headers))

    def _path(self, asker: Asker, number: int, attrs: dict[str, object], ttl: float) -> str:
        token = self._logins.tokens.issue(
            Grant(asker.identity, asker.session, ttl, attrs, asker.address, is_single_use=True)
        )
        return f"/_download/{number}?auth_token={token}"

    async def _serve(self, exchange: Exchange) -> None:
        request = exchange.request
        number = _number(request)
        token = token_of(request)
        if not token:
            raise Refusal(401, "Missing token: ask core.download for a path with auth_token")
        grant = self._logins.check_token(token, request.peer.address, {"job": number})
        if grant is None:
            raise Refusal(401, "Invalid token: it is unknown, over, used, or for something else")
        caller = grant.identity.caller
        try:
            job = await self._service.show(caller, number)
        except NotFound:
            raise Refusal(404, f"there is no job {number}") from None
        filename = str(grant.attrs.get("filename") or "download")
        if "log" in grant.attrs:
            await self._send_log(exchange, job, filename)
            return
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            raise Refusal(410, f"the output of job {number} was fetched already, or not in time")
        waiting.is_begun.set()
        try:
            async with watched_end(self._service, caller, number) as end:
                if end.is_here and not end.is_success:
                    raise Refusal(410, f"job {number} did not succeed: there is nothing whole to fetch")
                await self._send_output(exchange, number, filename, waiting.output, end)
        finally:
            self._jobs.close_at_end(number, waiting.output)

    async def _send_output(
        self,
        exchange: Exchange,
        number: int,
        filename: str,
        output: OutputPipe | OutputFile,
        end: JobEnd,
    ) -> None:
        async def succeeded() -> bool:
            await end.wait()
            return end.is_success

        if not await _send(exchange, filename, lambda: output.read(end), succeeded):
            if not end.is_here:
                await self._jobs.fail(number, origin_of(exchange.request.peer), BROKE_OFF)
            raise BrokenOff(f"{BROKE_OFF}, or job {number} failed")

    async def _send_log(self, exchange: Exchange, job: Job, filename: str) -> None:
        offset = 0
        size = (await self._service.logs.read(job, limit=0)).size

        async def read() -> bytes:
            nonlocal offset
            limit = min(LOG_BYTES, size - offset)
            piece = await self._service.logs.read(job, offset=offset, limit=limit)
            offset += len(piece.data)
            return piece.data

        async def is_whole() -> bool:
            await trio.lowlevel.checkpoint()
            return True

        if not await _send(exchange, filename, read, is_whole):
            raise BrokenOff(BROKE_OFF)

    async def _give_up_later(self, number: int, waiting: _Waiting, limit: float) -> None:
        with trio.move_on_after(limit):
            await waiting.is_begun.wait()
            return
        if self._waiting.get(number) is not waiting or waiting.is_begun.is_set():
            return
        del self._waiting[number]
        self._jobs.close_at_end(number, waiting.output)
        await self._jobs.abort(number, "/_download", f"the download did not begin within {limit:g} s")


async def _send(
    exchange: Exchange, filename: str, read: Read, is_whole: Callable[[], Awaitable[bool]]
) -> bool:
    """Answer with what `read` gives until it gives b""; False if the client has gone, or it is not whole."""
    is_sent = False

    async def send() -> None:
        nonlocal is_sent
        try:
            await exchange.begin(200, _headers(filename))
            while piece := await read():
                await exchange.send(piece)
            if await is_whole():
                await exchange.finish()
                is_sent = True
        except BrokenOff:
            is_sent = False
        nursery.cancel_scope.cancel()

    async def watch() -> None:
        await exchange.gone()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        nursery.start_soon(send)
    return is_sent


def _number(request: Request) -> int:
    last = request.path.rstrip("/").rpartition("/")[2]
    if not (last.isascii() and last.isdecimal() and len(last) < 16):
        raise Refusal(404, "there is no such download: use the path that core.download gave")
    return int(last)


def _headers(filename: str) -> tuple[tuple[str, str], ...]:
    return (
        ("content-type", "application/octet-stream"),
        ("content-disposition", disposition(filename)),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    )


def disposition(filename: str) -> str:
    """Write a file name into a header: no folders, nothing that could end the name or the line.

    A name beyond ASCII stands there twice, as RFC 6266 has it.
    """
    name = Path(filename.replace("\\", "/")).name[:255]
    name = "".join(letter for letter in name if letter.isprintable()).strip() or "download"
    fallback = "".join(letter if letter.isascii() and letter not in '"%' else "_" for letter in name)
    shown = f'attachment; filename="{fallback}"'
    return (
        shown if fallback == name else f"{shown}; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    )
