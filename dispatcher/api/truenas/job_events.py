"""Events of the collection `core.get_jobs`: the whole job each time, in the order of change.

A job is told once as `added`, always before anything else of it; everything after is `changed`.
An event is encoded once and its bytes go to every follower. The event of an end waits for the last
lines of the job's log, and what happens meanwhile waits behind it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import trio

from dispatcher.api.truenas.excerpts import Excerpts
from dispatcher.api.truenas.job_object import JobObject, job_object
from dispatcher.core.model import Finished, Job, Running, Value
from dispatcher.logs.reading import log_path

COLLECTION = "core.get_jobs"

_encode = msgspec.json.Encoder().encode


class Event(Value, frozen=True):
    """One change as it is sent: by JSON-RPC, and by the older protocol.

    `is_progress` tells that only the progress has changed since the job's event before, `is_again`
    that the job itself has not.
    """

    job: int
    changed: int
    is_progress: bool
    is_again: bool
    jsonrpc: bytes
    legacy: bytes


class Follower(Protocol):
    """Who is told."""

    def take(self, event: Event) -> None:
        """Take one event; return at once."""
        ...


class MessageIds:
    """Which calls wait for which job: the ids of their requests, as JSON text, by the job's key."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[msgspec.Raw]] = {}

    def add(self, key: str, call_id: bytes) -> None:
        """Note that a call waits for a job, which may not exist yet."""
        self._by_key.setdefault(key, []).append(msgspec.Raw(call_id))

    def of(self, key: str) -> list[msgspec.Raw]:
        """Give the ids of the calls that wait for a job."""
        return self._by_key.get(key, [])

    def drop(self, key: str, call_id: bytes) -> None:
        """Take one call back: its job was refused, or it waits for another."""
        left = [one for one in self.of(key) if bytes(one) != call_id]
        if left:
            self._by_key[key] = left
        else:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Let go of a job that has ended, or never began."""
        self._by_key.pop(key, None)


class JobEvents:
    """The feed: what the hub tells becomes events. `last` and `newest` are those before the first.

    `last` is the number of an event, `newest` the highest number of a job.
    """

    def __init__(
        self, excerpts: Excerpts, log_dir: Callable[[], Path], *, last: int = 0, newest: int = 0
    ) -> None:
        self.message_ids = MessageIds()
        self.excerpts = excerpts
        self._log_dir = log_dir
        self._newest = newest
        self._published = last
        self._followers: set[Follower] = set()
        self._shown: dict[int, Job] = {}  # of each running job what was told last
        self._waiting: deque[Job] = deque()
        self._work = trio.Event()
        self._progress = trio.lowlevel.ParkingLot()

    def tell(self, job: Job) -> None:
        """Take one change, already saved; return at once."""
        if self._waiting or (self._followers and self.excerpts.wants(job)):
            self._waiting.append(job)
            self._work.set()
        else:
            self._publish(job)

    async def run(self) -> None:
        """Publish what had to wait, until cancelled."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._waiting:
                await self.excerpts.read([self._waiting[0]])
                # Published before it leaves the line: `tell` must not overtake it.
                self._publish(self._waiting[0])
                self._waiting.popleft()

    def join(self, follower: Follower) -> None:
        """Let a follower hear of every change from now on."""
        self._followers.add(follower)

    def leave(self, follower: Follower) -> None:
        """Let it hear no more."""
        self._followers.discard(follower)

    async def reached(self, changed: int) -> None:
        """Return when the event of that number has been given to all followers."""
        while self._published < changed:
            await self._progress.park()

    def object_of(self, job: Job, *, is_whole: bool = False) -> JobObject:
        """Describe a job as events and lists do; its excerpt must have been read."""
        return job_object(
            job,
            excerpt=self.excerpts.known(job),
            log_path=str(log_path(self._log_dir(), job.number)),
            message_ids=self.message_ids.of(job.key),
            is_whole=is_whole,
        )

    async def objects(self, jobs: Iterable[Job], *, is_whole: bool = False) -> list[JobObject]:
        """Describe jobs; their excerpts are read first where they are not known."""
        jobs = tuple(jobs)
        await self.excerpts.read(jobs)
        return [self.object_of(job, is_whole=is_whole) for job in jobs]

    def event_of(self, job: Job) -> Event:
        """Make the event that tells of a job as it is, for one who missed it."""
        return self._event(job, "changed")

    def tell_again(self, job: Job) -> None:
        """Publish a live job once more: something that is not part of it has changed."""
        if self._followers:
            self._send(self._event(job, "changed", is_again=True))

    def _publish(self, job: Job) -> None:
        is_new = job.number > self._newest
        self._newest = max(self._newest, job.number)
        if self._followers:
            before = self._shown.get(job.number)
            is_progress = before is not None and _same_but_progress(before, job)
            self._send(self._event(job, "added" if is_new else "changed", is_progress=is_progress))
        if isinstance(job.phase, Running):
            self._shown[job.number] = job
        else:
            self._shown.pop(job.number, None)
        if isinstance(job.phase, Finished):
            self.message_ids.forget(job.key)
        self._published = job.changed
        self._progress.unpark_all()

    def _send(self, event: Event) -> None:
        for follower in tuple(self._followers):
            follower.take(event)

    def _event(self, job: Job, what: str, *, is_progress: bool = False, is_again: bool = False) -> Event:
        number = str(job.number).encode()
        head = b'"msg":"%b","collection":"core.get_jobs","id":%b,"fields":' % (what.encode(), number)
        fields = _encode(self.object_of(job))
        tail = b',"extra":' + _encode(_extra(job))
        jsonrpc = b"".join(
            (
                b'{"jsonrpc":"2.0","method":"collection_update","params":{',
                *(head, fields, tail, b',"event":"', what.upper().encode(), b'"}}'),
            )
        )
        legacy = b"{" + head + fields + tail + b"}"
        return Event(job.number, job.changed, is_progress, is_again, jsonrpc, legacy)


def _extra(job: Job) -> Mapping[str, int]:
    return {"seq": job.changed}


def _same_but_progress(before: Job, now: Job) -> bool:
    return before.phase == now.phase and before.runs == now.runs
