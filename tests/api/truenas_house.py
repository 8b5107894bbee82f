"""The real sessions of TrueNAS clients over a real engine, with a store in memory, fake workers and no clock."""

import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import yaml

from dispatcher.api.service import Service
from dispatcher.api.truenas.entrance import TruenasEntrance
from dispatcher.config import load
from dispatcher.core import messages as m
from dispatcher.core.model import Progress
from dispatcher.core.schedule import HEADS
from dispatcher.engine import Engine
from dispatcher.hub import Hub
from dispatcher.logs.news import LogNews
from dispatcher.net.http import Request
from dispatcher.net.peer import Peer
from dispatcher.runner.fake import FakeRunner
from dispatcher.settings import Limits
from dispatcher.store.memory import MemoryStore
from tests.api.fake_access import at_once
from tests.api.jsonrpc_fakes import ROOT, FakeSocket
from tests.api.truenas_logins import fake_logins

JOBS = "core.get_jobs"
FINAL = ("SUCCESS", "FAILED", "ABORTED")
TASKS = {
    "backup.run": {
        "parameters": {
            "pool": {"type": "string", "pattern": "[a-z]+", "required": True},
            "count": {"type": "integer", "min": 1, "max": 9, "default": 1},
            "password": {"type": "string", "secret": True},
        },
        "commands": [["backup", "{pool}", "{count}"]],
        "description": "Back up a pool",
    },
    "pool.look": {"commands": [["look"]], "level": "read"},
    "file.take": {"commands": [["cksum"]], "input": True},
    "line.up": {"commands": [["next"]], "queue": "line"},
}
SETTINGS = {"tasks": TASKS, "queues": {"line": {"concurrency": 1, "on_duplicate": "attach"}}}

Fields = dict[str, Any]


class Ear(FakeSocket):
    """The client's end of one connection; messages that were not asked for yet wait until they are."""

    def __init__(self, *, is_legacy: bool) -> None:
        super().__init__()
        self.is_legacy = is_legacy
        self.drained: list[Callable[[], None]] = []
        self._read = 0
        self._unread = deque[Fields]()
        self._last = 0

    def call_when_drained(self, function: Callable[[], None]) -> None:
        self.drained.append(function)

    def read_on(self) -> None:
        super().read_on()
        for function in self.drained:
            function()

    async def take(self, is_wanted: Callable[[Fields], object]) -> Fields:
        """Give the first message that is wanted; earlier ones wait for whoever wants them."""
        passed = deque[Fields]()
        while True:
            if not self._unread:
                await self.until(self._read + 1)
                self._unread.extend(self.sent[self._read :])
                self._read = len(self.sent)
            message = self._unread.popleft()
            if is_wanted(message):
                self._unread.extendleft(reversed(passed))
                return message
            passed.append(message)

    def begin(self, method: str, *params: object) -> int:
        """Send a call; give its id."""
        self._last += 1
        message: Fields = {"id": self._last, "method": method, "params": list(params)}
        self.send_in(message | ({"msg": "method"} if self.is_legacy else {"jsonrpc": "2.0"}))
        return self._last

    async def answer(self, call_id: int) -> Fields:
        return await self.take(lambda one: one.get("id") == call_id and ("result" in one or "error" in one))

    async def ask(self, method: str, *params: object) -> Fields:
        return await self.answer(self.begin(method, *params))

    async def result(self, method: str, *params: object) -> Any:
        answer = await self.ask(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    async def error(self, method: str, *params: object) -> Fields:
        answer = await self.ask(method, *params)
        assert "error" in answer, answer
        found: Fields = answer["error"]
        return found

    def events(self, number: int | None = None) -> list[Fields]:
        """Give what events have told so far: the message as the older protocol has it, in their order."""
        found = [one.get("params", one) for one in self.sent if "fields" in one.get("params", one)]
        return [one for one in found if number in (None, one["id"])]

    async def job_when(self, number: int, is_so: Callable[[Fields], object]) -> Fields:
        """Wait for an event that tells something of a job; give the job."""
        message = await self.take(
            lambda one: (
                (told := one.get("params", one)).get("id") == number
                and is_so(told.get("fields", {"state": ""}))
            )
        )
        fields: Fields = message.get("params", message)["fields"]
        return fields

    async def ended(self, number: int) -> Fields:
        return await self.job_when(number, lambda job: job["state"] in FINAL)


class House:
    """A daemon without sockets, files and programs, with as many clients as the test wants."""

    def __init__(self, nursery: trio.Nursery, folder: Path, settings: Mapping[str, object]) -> None:
        written = folder / "queues.yaml"
        paths = {"state_dir": str(folder), "log_dir": str(folder), "accounts": str(folder / "accounts")}
        written.write_text(yaml.safe_dump(paths | dict(settings), sort_keys=False))
        self.settings = load(written)
        self.store, self.hub = MemoryStore(), Hub()
        self.runner = FakeRunner(lambda: 1795327019.0)
        self.nursery = nursery
        self.engine: Any = None
        self.entrance: Any = None

    async def open(self) -> None:
        restored = await self.store.restore(HEADS)
        self.engine = Engine(
            self.store, self.hub, self.runner, self.settings.queues, restored, boot_id="boot", clock=_clock
        )
        self.runner.report_to(self.engine.post)
        service = Service(
            self.engine,
            self.store,
            self.hub,
            LogNews(),
            settings=lambda: self.settings,
            reload=_nothing_new,
            clock=_clock,
        )
        pipes: Any = None
        self.entrance = TruenasEntrance(service, fake_logins(), Limits(), pipes, boot_id="boot")
        self.nursery.start_soon(self.engine.run)
        self.nursery.start_soon(self.entrance.run)

    def current(self, peer: Peer = ROOT) -> Ear:
        """Connect a client that speaks JSON-RPC."""
        return self._connect("/api/current", peer)

    async def older(self, peer: Peer = ROOT) -> Ear:
        """Connect one that speaks the older protocol, and has said so."""
        ear = self._connect("/websocket", peer)
        ear.send_in({"msg": "connect", "version": "1", "support": ["1"]})
        await ear.take(lambda one: one["msg"] == "connected")
        return ear

    def _connect(self, path: str, peer: Peer) -> Ear:
        ear: Any = Ear(is_legacy=path == "/websocket")
        serve = self.entrance.legacy if ear.is_legacy else self.entrance.jsonrpc
        self.nursery.start_soon(serve, ear, Request("GET", path, (), peer))
        connected: Ear = ear
        return connected

    async def tell_progress(self, number: int, percent: int, description: str = "") -> None:
        """Have the worker of a running job say how far it is."""
        job = await self.store.newest(number)
        assert job is not None
        self.engine.post(m.Progressed(number, job.worker, Progress(percent, description)))
        await self.settle()

    async def finish(self, number: int, code: int = 0) -> None:
        """Have a running job end."""
        await self.settle()
        self.runner.finish(number, code)
        await self.settle()

    async def settle(self) -> None:
        """Return when nothing happens by itself any more."""
        await trio.testing.wait_all_tasks_blocked()


async def _nothing_new() -> list[str]:
    await trio.lowlevel.checkpoint()
    return []


def _clock() -> float:
    return 1795327019.0


@asynccontextmanager
async def house(settings: Mapping[str, object] = SETTINGS) -> AsyncIterator[House]:
    """A house whose tasks end with the test, and whose threads are none."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        async with trio.open_nursery() as nursery:
            built = House(nursery, Path(folder), settings)
            await built.open()
            with trio.fail_after(60):
                yield built
            nursery.cancel_scope.cancel()
