"""Fakes for tests of the JSON-RPC session: a socket in memory, and a service with a few jobs."""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from dispatcher.access.audit import Audit
from dispatcher.access.roles import Caller, Level, require
from dispatcher.api.job_logs import LogPiece
from dispatcher.api.service import JobRequest
from dispatcher.api.truenas.client import Client, Clients
from dispatcher.api.truenas.excerpts import Excerpts
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.api.truenas.job_events import JobEvents
from dispatcher.api.truenas.jobs import Jobs
from dispatcher.api.truenas.jsonrpc import JsonRpc
from dispatcher.api.truenas.logins import Logins
from dispatcher.api.truenas.session import serve_calls
from dispatcher.core.messages import Killed, Submitted
from dispatcher.core.model import (
    Command,
    CommandEnd,
    CommandRun,
    Finished,
    Job,
    Outcome,
    Pending,
    Phase,
    Queue,
    Running,
    Submission,
)
from dispatcher.engine import QueueStatus
from dispatcher.errors import DispatcherError, NotFound
from dispatcher.net.http import Request
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import SocketClosed
from dispatcher.settings import Limits, Settings
from dispatcher.store.port import Changes, JobFilter, Page
from tests.api.truenas_logins import fake_logins

T = 1795327019.1234
ROOT = Peer("", 0, 0, 0, is_tls=False, may_send_password=True)
STRANGER = Peer("192.0.2.7", 4711, None, None, is_tls=True, may_send_password=True)
PLAIN = Peer("192.0.2.7", 4711, None, None, is_tls=False, may_send_password=False)


def job(
    number: int, changed: int = 0, *, phase: Phase | None = None, runs: tuple[CommandRun, ...] = ()
) -> Job:
    """A job of two commands: pending, or running since T, or finished at T + 60."""
    commands = (Command(("pkg", "update"), "pkg update"), Command(("pkg", "upgrade", "-y"), "pkg upgrade -y"))
    submission = Submission("pkg_queue", commands, f"build-{number}", "root", protocol="jsonrpc")
    return Job(number, submission, T, phase or Pending(), runs, changed)


def running(number: int, changed: int = 0) -> Job:
    return job(number, changed, phase=Running(T + 1, 3, "boot"), runs=(CommandRun(T + 1, 99, 0),))


def finished(number: int, changed: int = 0, code: int = 3) -> Job:
    first = CommandRun(T + 1, 99, 0, CommandEnd(T + 2, 0, 1.0, 120, leftovers=("sshd (pid 77)",)))
    second = CommandRun(T + 2, 100, 120, CommandEnd(T + 60, code, 58.0004, 4000, cut_bytes=7))
    outcome = Outcome.FAILED if code else Outcome.SUCCESS
    return job(number, changed, phase=Finished(outcome, T + 60, T + 1), runs=(first, second))


class FakeSocket:
    """The client's side is `send_in`, `answers` and `until`."""

    def __init__(self) -> None:
        self.on_drained: Callable[[], None] = lambda: None
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.has_room = True
        self.limit = 0
        self._room = trio.Event()
        self._more = trio.Event()
        self._put, self._take = trio.open_memory_channel[str | bytes](1000)

    async def receive(self) -> str | bytes:
        try:
            return await self._take.receive()
        except trio.EndOfChannel:
            raise SocketClosed("closed") from None

    def call_when_drained(self, function: Callable[[], None]) -> None:
        """A connection here follows either events or jobs."""

    def limit_messages(self, limit_bytes: int) -> None:
        self.limit = limit_bytes

    async def send(self, text: str | bytes) -> None:
        assert isinstance(text, str), "a message in bytes would leave as a binary one"
        await trio.lowlevel.checkpoint()
        while not self.has_room:
            await self._room.wait()
        self._note(text.encode())

    def offer(self, frame: bytes) -> bool:
        if not self.has_room:
            return False
        start = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
        self._note(frame[start:])
        return True

    async def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)
        self._put.close()

    def stop_reading(self) -> None:
        self.has_room = False
        self._room = trio.Event()

    def read_on(self) -> None:
        self.has_room = True
        self._room.set()
        self.on_drained()

    def _note(self, payload: bytes) -> None:
        self.sent.append(json.loads(payload))
        self._more.set()
        self._more = trio.Event()

    def send_in(self, message: object) -> None:
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self._put.send_nowait(text)

    def call(self, number: int, method: str, *params: object) -> None:
        self.send_in({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})

    def hang_up(self) -> None:
        self._put.close()

    async def until(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many messages in all."""
        with trio.fail_after(5):
            while len(self.sent) < count:
                await self._more.wait()
        return self.sent

    async def ask(self, method: str, *params: object) -> dict[str, Any]:
        """Call a method when nothing else is on its way; give the reply."""
        before = len(self.sent)
        self.call(before, method, *params)
        return (await self.until(before + 1))[before]


async def serve_jsonrpc(
    socket: Any,
    request: Request,
    *,
    service: Any,
    feed: JsonRpcFeed,
    logins: Logins,
    limits: Limits,
    clients: Clients,
) -> None:
    """Serve one connection with a feed of the test's own."""
    events = JobEvents(Excerpts(lambda: Path("/nonexistent")), lambda: Path("/nonexistent"))
    client = Client(
        socket,
        request.peer,
        await logins.at_connect(request.peer),
        session="the session",
        service=service,
        feed=feed,
        jobs=Jobs(service, events),
        logins=logins,
        limits=limits,
    )
    clients.add(client)
    try:
        await serve_calls(socket, client, JsonRpc())
    finally:
        clients.remove(client)


class FakeService:
    """Holds jobs in a dict; the gate, if set, holds up every submit."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {one.number: one for one in jobs}
        self.audit = Audit(None, time.time)
        self.settings = Settings(None, Path("/s"), Path("/l"), Path("/a"), ())
        self.requests: list[JobRequest] = []
        self.filters: list[tuple[JobFilter, int, int]] = []
        self.log = b""
        self.log_is_over = False
        self.gate: trio.Event | None = None
        self.first_kept = 0
        self.page_size = 100
        self.between_pages: Callable[[], None] = lambda: None
        self.answer: DispatcherError | None = None
        self.fault: Exception | None = None
        self.news = trio.Event()

    async def submit(self, caller: Caller, requests: Sequence[JobRequest], **_: Any) -> list[Any]:
        require(caller, Level.FULL)
        if self.gate is not None:
            await self.gate.wait()
        if self.fault:
            raise self.fault
        self.requests += requests
        return [self.answer or Submitted(job(7, 1), attached=False) for _ in requests]

    async def kill(self, caller: Caller, targets: Sequence[int | str]) -> list[Any]:
        return [Killed(self.jobs.get(one) if isinstance(one, int) else None) for one in targets]

    async def show(self, caller: Caller, target: int | str) -> Job:
        require(caller, Level.READ)
        for one in self.jobs.values():
            if target in (one.number, one.key):
                return one
        raise NotFound(f"there is no job {target!r}")

    async def page(self, caller: Caller, which: JobFilter, offset: int, limit: int) -> Page:
        self.filters.append((which, offset, limit))
        return Page(tuple(self.jobs.values()), len(self.jobs))

    async def changed_since(self, caller: Caller, number: int, limit: int) -> Changes:
        await trio.lowlevel.checkpoint()
        found = sorted((one for one in self.jobs.values() if one.changed > number), key=lambda x: x.changed)
        page = tuple(found[: self.page_size])
        self.between_pages()
        return Changes(page, self.first_kept, more=len(found) > self.page_size)

    async def wait(self, caller: Caller, target: int | str) -> Job:
        assert self.gate is not None
        await self.gate.wait()
        return await self.show(caller, target)

    async def read_log(
        self,
        caller: Caller,
        target: int | str,
        *,
        command: int | None = None,
        offset: int = 0,
        limit: int = 65536,
    ) -> LogPiece:
        await trio.lowlevel.checkpoint()
        data = self.log[offset : offset + limit]
        is_over = self.log_is_over and offset + len(data) >= len(self.log)
        return LogPiece(data, offset, len(self.log), end=is_over)

    @asynccontextmanager
    async def watch_log(self, number: int) -> AsyncIterator["FakeService"]:
        yield self

    async def changed(self) -> None:
        await self.news.wait()
        self.news = trio.Event()

    def write_log(self, data: bytes, *, is_over: bool = False) -> None:
        self.log += data
        self.log_is_over = is_over
        self.news.set()

    async def queues(self, caller: Caller) -> list[QueueStatus]:
        return [QueueStatus(Queue("pkg_queue", grace=120.0), is_paused=True, running=1, pending=3)]

    async def pause(self, caller: Caller, queue: str) -> None:
        require(caller, Level.FULL)

    resume = pause

    async def reload(self, caller: Caller) -> list[str]:
        return ["queue x is new"]


@asynccontextmanager
async def session(
    service: Any = None,
    peer: Peer = ROOT,
    feed: JsonRpcFeed | None = None,
    clients: Clients | None = None,
    logins: Logins | None = None,
) -> AsyncIterator[FakeSocket]:
    """Serve one connection; at the end the client hangs up, and the session must end by itself."""
    socket: Any = FakeSocket()
    served: Any = FakeService() if service is None else service
    request = Request("GET", "/api/current", (), peer)
    over = trio.Event()
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            await serve_jsonrpc(
                socket,
                request,
                service=served,
                feed=JsonRpcFeed() if feed is None else feed,
                logins=logins or fake_logins(),
                limits=Limits(),
                clients=clients or Clients(),
            )
            over.set()

        nursery.start_soon(serve)
        yield socket
        socket.hang_up()
        with trio.fail_after(5):
            await over.wait()
