"""A pool with workers that a test plays: what they say and when they die is the test's choice."""

import array
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from msgspec.structs import replace

from dispatcher.config import load
from dispatcher.core import messages as m
from dispatcher.core.model import Command, Job, Pending, Queue, Running, Submission
from dispatcher.logs.news import LogNews
from dispatcher.runner.journal import Journal
from dispatcher.runner.place import Place
from dispatcher.runner.pool import Pool

BOOT = "this boot"


def running_job(number: int, worker: int, handover: int = 1, *commands: tuple[str, ...]) -> Job:
    """Make a job that was saved as handed to a worker."""
    what = tuple(Command(argv, " ".join(argv)) for argv in commands or (("true",),))
    submission = Submission("no_queue", what, f"key-{number}", "root")
    return Job(number, submission, 1.0, Running(2.0, worker, BOOT, handover))


def ahead_job(number: int, worker: int, handover: int = 1) -> Job:
    """Make a job that was saved as lying ahead at a worker."""
    return replace(running_job(number, worker), phase=Pending(worker, BOOT, handover))


class NoSpawner:
    """Takes requests for workers and remembers them."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def fork(self, worker: int) -> None:
        self.asked.append(worker)

    async def run(self) -> None:
        await trio.sleep_forever()


class House:
    """The pool, the facts that it has posted, and whether they count as saved."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder, "installation", BOOT)
        settings = replace(load(None), state_dir=folder, log_dir=folder / "log")
        settings = replace(settings, queues=(Queue("no_queue", concurrency=99, grace=0.2),))
        self.pool = Pool(self.place, lambda: settings, LogNews())
        self.spawner = NoSpawner()
        self.posted: list[m.Fact] = []
        self.saves = True
        self.unsaved: list[Callable[[], None]] = []
        self._news = trio.Event()

    def post(self, fact: m.Fact, saved: Callable[[], None] | None = None) -> None:
        self.posted.append(fact)
        if saved is not None:
            self.unsaved.append(saved)
        if self.saves:
            self.save()
        self._news.set()

    def save(self) -> None:
        """Say that all facts so far are on disk."""
        for saved in self.unsaved:
            saved()
        self.unsaved.clear()
        self.pool.flush()

    def facts(self, *kinds: type) -> list[Any]:
        return [fact for fact in self.posted if isinstance(fact, kinds)]

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait until the posted facts are as they should be."""
        with trio.fail_after(10):
            while not is_so():
                self._news = trio.Event()
                await self._news.wait()

    @asynccontextmanager
    async def worker(self, number: int, *jobs: int) -> AsyncIterator["Worker"]:
        """Be a worker that connects; it dies at the end."""
        worker = Worker(self.place, number)
        try:
            await worker.connect(*jobs)
            yield worker
        finally:
            await worker.die()


class Worker:
    """A worker with its lock, its journal and its connection."""

    def __init__(self, place: Place, number: int) -> None:
        place.spool.mkdir(exist_ok=True)
        self._place = place
        self.number = number
        self.journal = Journal.open_locked(place.journal(number), number)
        self.journal.header(os.getpid(), 1)
        self._stream: trio.SocketStream | None = None
        self._seq = 0
        self._heard = b""
        self.descriptors: list[int] = []  # those that came with orders

    async def connect(self, *jobs: int) -> None:
        self._stream = await trio.open_unix_socket(str(self._place.socket))
        await self._stream.send_all(self.hello(*jobs))

    def hello(self, *jobs: int) -> bytes:
        """Give the line with which the worker introduces itself."""
        said = {"hello": self.number, "pid": os.getpid(), "start": 1, "jobs": list(jobs)}
        return json.dumps(said).encode() + b"\n"

    def fact(self, kind: str, job: int, **fields: object) -> dict[str, object]:
        """Note a fact in the journal; `say` tells it."""
        self._seq += 1
        fact = {"fact": kind, "seq": self._seq, "job": job, **fields, "at": 3.0, "mono": 3.0}
        self.journal.write(fact)
        return fact

    async def say(self, *lines: dict[str, object]) -> None:
        assert self._stream is not None
        await self._stream.send_all(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    async def order(self) -> dict[str, Any]:
        """Wait for the next order."""
        assert self._stream is not None
        while b"\n" not in self._heard:
            piece, ancillary, _, _ = await self._stream.socket.recvmsg(65536, 1024)
            assert piece, "the supervisor hung up"
            for _, _, data in ancillary:
                self.descriptors.extend(array.array("i", data))
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        order: dict[str, Any] = json.loads(line)
        return order

    async def die(self) -> None:
        """Let go of everything, the lock first."""
        self.journal.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        if self._stream is not None:
            await self._stream.aclose()


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Run a pool; its spawner forks nothing."""
    it = House(folder)
    it.pool._spawning = it.spawner  # type: ignore[assignment]
    it.pool.report_to(it.post)
    async with trio.open_nursery() as nursery:
        await nursery.start(it.pool.run)
        yield it
        nursery.cancel_scope.cancel()
