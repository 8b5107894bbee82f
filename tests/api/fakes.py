"""Fakes for the SysAdm protocol: a socket without a network, a service without an engine."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKeys
from dispatcher.access.client_keys import ClientKeys
from dispatcher.access.failures import Failures
from dispatcher.access.gate import Gate
from dispatcher.access.pam_check import PamCheck
from dispatcher.access.roles import Caller, Level, require
from dispatcher.access.tokens import Tokens
from dispatcher.api.job_logs import LogPiece
from dispatcher.api.service import JobRequest
from dispatcher.api.sysadm.certificates import Certificates
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.frames import Frames
from dispatcher.api.sysadm.logins import Logins
from dispatcher.api.sysadm.parts import Parts
from dispatcher.api.sysadm.session import serve_sysadm
from dispatcher.core.messages import Killed, Submitted
from dispatcher.core.model import Job, Queue, State
from dispatcher.engine import QueueStatus
from dispatcher.errors import DispatcherError, Refused
from dispatcher.hub import Hub
from dispatcher.logs.news import LogNews
from dispatcher.net.http import Request
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import SocketClosed
from dispatcher.settings import Auth, Limits
from dispatcher.store.port import Changes, JobFilter, Page
from tests.api.fake_access import FakeUsers, QuickPasswords, at_once
from tests.api.told_jobs import pending

QUEUES = ("no_queue", "pkg_queue", "iocage_queue")
FULL = Caller("admin", Level.FULL)
TLS_PEER = Peer("192.0.2.7", 40000, None, None, is_tls=True, may_send_password=True)
PLAIN_PEER = Peer("192.0.2.7", 40000, None, None, is_tls=False, may_send_password=False)
UNIX_PEER = Peer("", 0, 1234, 1234, is_tls=False, may_send_password=True)
DAEMON_UID = 1234


class FakeSocket:
    """A WebSocket whose other end is the test. `room` is how many frames `offer` still takes."""

    def __init__(self) -> None:
        self.on_drained: Callable[[], None] = lambda: None
        self.room = 1_000_000
        self.last_heard = trio.current_time()
        self.limit = 0
        self.closed: int | None = None
        self._to_server, self._inbox = trio.open_memory_channel[str | bytes](1000)
        self._outbox, self._from_server = trio.open_memory_channel[str](100_000)

    async def receive(self) -> str | bytes:
        try:
            message = await self._inbox.receive()
        except trio.EndOfChannel:
            raise SocketClosed("gone") from None
        self.last_heard = trio.current_time()
        return message

    def limit_messages(self, limit_bytes: int) -> None:
        self.limit = limit_bytes

    async def close(self, code: int, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()
        self.closed = code
        self._to_server.close()

    async def send(self, message: str | bytes) -> None:
        await trio.lowlevel.checkpoint()
        assert isinstance(message, str), "replies are text"
        self._outbox.send_nowait(message)

    def offer(self, frame: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self._outbox.send_nowait(unframed(frame))
        return True

    # --- the test's end ---------------------------------------------------------------------

    def say(self, message: object) -> None:
        """Send a message: text and bytes as they are, anything else as JSON."""
        raw = message if isinstance(message, str | bytes) else json.dumps(message)
        self._to_server.send_nowait(raw)

    async def hear(self) -> dict[str, Any]:
        """Give the next message from the server."""
        with trio.fail_after(60):
            heard: dict[str, Any] = json.loads(await self._from_server.receive())
            return heard

    async def ask(self, message: object) -> dict[str, Any]:
        self.say(message)
        return await self.hear()

    async def silence(self) -> list[dict[str, Any]]:
        """Give all that has come when nothing more happens by itself."""
        await trio.testing.wait_all_tasks_blocked()
        heard = []
        while True:
            try:
                heard.append(json.loads(self._from_server.receive_nowait()))
            except trio.WouldBlock:
                return heard

    def leave(self) -> None:
        """Close the client's end."""
        self._to_server.close()


def unframed(frame: bytes) -> str:
    assert frame[0] == 0x81, "one whole text frame"
    skip = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[skip:].decode()


class FakeJobs:
    """The service as the protocol sees it, with the jobs that the test puts in."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.jobs: dict[int, Job] = {}
        self.first_kept = 0
        self.submitted: list[JobRequest] = []
        self.gate: trio.Event | None = None  # what `submit` waits for
        self.logs: dict[int, bytes] = {}
        self.reads: list[tuple[int, int, int]] = []

    def tell(self, *jobs: Job) -> None:
        """Save and publish changes."""
        for job in jobs:
            self.jobs[job.number] = job
            self.hub.tell(job)

    async def submit(
        self, caller: Caller, requests: Sequence[JobRequest], *, refused: Sequence[tuple[str, str]] = ()
    ) -> Sequence[Submitted | DispatcherError]:
        del refused
        require(caller, Level.FULL)
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        self.submitted.extend(requests)
        return [self._submit(request) for request in requests]

    def _submit(self, request: JobRequest) -> Submitted | DispatcherError:
        if any(job.key == request.key for job in self.jobs.values()):
            return Refused("the key is in use")
        texts = [" ".join(one) if isinstance(one, tuple) else str(one) for one in request.commands]
        return Submitted(pending(len(self.jobs) + 1, *texts, key=request.key or ""))

    async def kill(self, caller: Caller, targets: Sequence[int | str]) -> Sequence[Killed | DispatcherError]:
        require(caller, Level.FULL)
        await trio.lowlevel.checkpoint()
        by_key = {job.key: job for job in self.jobs.values() if job.state is not State.FINISHED}
        return [Killed(by_key.get(str(target))) for target in targets]

    async def live(self, caller: Caller, queue: str, offset: int, limit: int) -> Page:
        jobs = [job for job in self._live() if job.queue == queue]
        await trio.lowlevel.checkpoint()
        return Page(tuple(jobs[offset : offset + limit]), len(jobs))

    async def page(self, caller: Caller, which: JobFilter, offset: int, limit: int) -> Page:
        jobs = [job for job in self._live() if which.state in (None, job.state)]
        await trio.lowlevel.checkpoint()
        return Page(tuple(jobs[offset : offset + limit]), len(jobs))

    def _live(self) -> list[Job]:
        live = [job for job in self.jobs.values() if job.state is not State.FINISHED]
        return sorted(live, key=lambda job: (job.state is not State.RUNNING, job.number))

    async def changed_since(self, caller: Caller, number: int, limit: int) -> Changes:
        require(caller, Level.READ)
        changed = sorted(
            (job for job in self.jobs.values() if job.changed > number), key=lambda job: job.changed
        )
        await trio.lowlevel.checkpoint()
        return Changes(tuple(changed[:limit]), self.first_kept, more=len(changed) > limit)

    async def read_log_of(self, job: Job, *, limit: int) -> LogPiece:
        await trio.lowlevel.checkpoint()
        return LogPiece(b"", 0, len(self.logs.get(job.number, b"")), end=False)

    async def queues(self, caller: Caller) -> Sequence[QueueStatus]:
        require(caller, Level.READ)
        await trio.lowlevel.checkpoint()
        return [QueueStatus(Queue(name), is_paused=False, running=0, pending=0) for name in QUEUES]

    async def read_text(self, number: int, start: int, end: int) -> bytes:
        """What reads log text for the feed."""
        self.reads.append((number, start, end))
        await trio.lowlevel.checkpoint()
        return self.logs.get(number, b"")[start:end]


class House:
    """A service, a feed and logins, with as many clients as the test wants."""

    def __init__(
        self, nursery: trio.Nursery, *, command_bytes: int = 65536, event_bytes: int = 262144
    ) -> None:
        self.nursery = nursery
        self.hub = Hub()
        self.news = LogNews()
        self.jobs = FakeJobs(self.hub)
        self.accounts = Accounts(Path("/nonexistent"))
        self.passwords = QuickPasswords()
        self.tokens = Tokens(trio.current_time)
        self.folder = Path(tempfile.mkdtemp())
        self.auth = Auth(methods=("accounts",))
        self.keys = ClientKeys(self.folder / "client_keys.json")
        self.users = FakeUsers(self.auth)
        self.owner: int | None = None  # who holds the other end of local connections
        self.gate = Gate(
            self.auth,
            self.accounts,
            self.passwords,
            Failures(self.folder / "refused.json", self.auth, trio.current_time),
            self.keys,
            api_keys=ApiKeys(self.folder / "api_keys.json"),
            pam=PamCheck(self.users, 100, lambda *_given: False),
            users=self.users,
            owner_of=lambda _peer: self.owner,
        )
        self.feed = SysadmFeed(
            self.hub, self.jobs, self.news, Frames(self.jobs.read_text, command_bytes, event_bytes)
        )
        self.parts = Parts(
            self.jobs,
            self.feed,
            Logins(self.accounts, self.gate, self.tokens),
            DAEMON_UID,
            limits=Limits(list_jobs=3, login_time=1e9, idle_time=1e9),
            subsystems={"rpc/settings": Certificates(self.keys)},
            hostname=lambda: "box",
        )

    def connect(self, peer: Peer = TLS_PEER) -> FakeSocket:
        socket = FakeSocket()
        request = Request("GET", "/", (), peer)
        self.nursery.start_soon(serve_sysadm, self.parts, socket, request)
        return socket

    async def client(self, level: Level = Level.FULL) -> FakeSocket:
        """A client that is logged in, without having said so."""
        socket = self.connect()
        if level is not Level.NOBODY:
            token, _ = self.tokens.issue(Caller("admin" if level is Level.FULL else "reader", level))
            reply = await socket.ask(call("auth_token", {"token": token}))
            assert reply["args"] == [token, 900]
        return socket

    async def listener(self, topic: object = "dispatcher") -> FakeSocket:
        """A client that has subscribed."""
        socket = await self.client(Level.READ)
        reply = await socket.ask(call("subscribe", topic, namespace="events"))
        assert reply["args"] == {"subscribe": "dispatcher"}
        return socket


@asynccontextmanager
async def house(**sizes: int) -> AsyncIterator[House]:
    """A house whose tasks end with the test."""
    with pytest.MonkeyPatch.context() as patch:
        # A virtual clock jumps while a thread works.
        patch.setattr(trio.to_thread, "run_sync", at_once)
        async with _open_house(sizes) as built:
            yield built


@asynccontextmanager
async def _open_house(sizes: dict[str, int]) -> AsyncIterator[House]:
    async with trio.open_nursery() as nursery:
        built = House(nursery, **sizes)
        nursery.start_soon(built.feed.run)
        try:
            yield built
        finally:
            shutil.rmtree(built.folder)
        nursery.cancel_scope.cancel()


def call(name: str, args: object, *, namespace: str = "rpc", id: str = "x") -> dict[str, object]:  # noqa: A002
    return {"namespace": namespace, "name": name, "id": id, "args": args}


def run(**jobs: object) -> dict[str, object]:
    return call("dispatcher", {"action": "run", **jobs})
