"""One session's subscription to `dispatcher` events, with or without a replay of what it missed.

A replay gives each job that changed since an event, with its newest record, in the order of change;
then the live events go on behind the last one, without gap or repetition.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from dispatcher.access.roles import Caller
from dispatcher.api.sysadm.arguments import Topics
from dispatcher.api.sysadm.calls import Jobs
from dispatcher.api.sysadm.codec import code_of, encode_error, encode_event
from dispatcher.api.sysadm.events import Change
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.increments import Increments
from dispatcher.api.sysadm.listener import Listener
from dispatcher.api.sysadm.records import extent
from dispatcher.core.model import Job, State
from dispatcher.errors import DispatcherError
from dispatcher.net.websocket import SocketClosed, text_frame
from dispatcher.store.port import Changes

PAGE = 100  # jobs read at once for a replay

Reply = Callable[[dict[str, object]], Awaitable[None]]


class Outlet(Protocol):
    """The part of a WebSocket that a subscription uses."""

    on_drained: Callable[[], None]

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting for room. Raises SocketClosed."""
        ...

    def offer(self, frame: bytes) -> bool:
        """Take a frame if there is room."""
        ...


class Socket(Outlet, Protocol):
    """The part of a WebSocket that a session uses."""

    async def receive(self) -> str | bytes:
        """Give the next message. Raises SocketClosed."""
        ...


class Subscription:
    """Not active until `subscribe`. Replays run in `nursery`, which is the session's."""

    def __init__(self, feed: SysadmFeed, jobs: Jobs, socket: Outlet, nursery: trio.Nursery) -> None:
        self._feed = feed
        self._jobs = jobs
        self._socket = socket
        self._nursery = nursery
        self._listener: Listener | None = None
        self._wants_seq = False
        self._replay_scope = trio.CancelScope()

    @property
    def is_active(self) -> bool:
        """Whether events may still come."""
        return self._listener is not None

    async def subscribe(self, topics: Topics, caller: Caller, reply: Reply) -> None:
        """Answer first, then let the events come, so that no client meets one it has not asked for."""
        if topics.since is not None:
            await self._subscribe_since(topics.since, caller, reply)
            return
        listener = self._listener
        if listener is None:
            listener = self._begin()
            self._feed.join(listener)
            await reply({"subscribe": topics.last})
            listener.open()
        else:
            await reply({"subscribe": topics.last})  # once is enough: nothing comes twice

    def end(self) -> None:
        """Let no further event come; a replay stops where it is."""
        if self._listener is None:
            return
        self._replay_scope.cancel()
        self._feed.leave(self._listener)
        self._feed.detach()
        self._listener = None
        self._socket.on_drained = _nothing

    def _begin(self) -> Listener:
        listener = Listener(self._socket, wants_seq=self._wants_seq)
        self._listener = listener
        self._socket.on_drained = listener.drained
        self._feed.attach()
        return listener

    async def _subscribe_since(self, since: int, caller: Caller, reply: Reply) -> None:
        # Read before anything is changed: a store that fails leaves the subscription as it was.
        changes = await self._jobs.changed_since(caller, since, PAGE)
        self.end()
        self._wants_seq = True
        listener = self._begin()
        is_cut = 0 < since < changes.first_kept - 1
        await reply({"subscribe": "dispatcher"} | ({"truncated": changes.first_kept} if is_cut else {}))
        self._replay_scope = trio.CancelScope()
        self._nursery.start_soon(self._replay, listener, self._replay_scope, since, caller, changes)

    async def _replay(
        self, listener: Listener, scope: trio.CancelScope, since: int, caller: Caller, changes: Changes
    ) -> None:
        try:
            with scope:
                await self._catch_up(listener, since, caller, changes)
        except DispatcherError as error:
            self.end()
            self._socket.offer(text_frame(encode_error("", code_of(error), error.sentence).encode()))
        except SocketClosed:
            pass  # the session's reader sees it too

    async def _catch_up(self, listener: Listener, since: int, caller: Caller, changes: Changes) -> None:
        replayed = _Replayed()
        sent = 0
        while True:
            for job in changes.jobs:
                await self._send(job, replayed)
                sent = job.changed
            for job in replayed.outdated(self._feed.increments):
                await self._send(job, replayed)
            changes = await self._jobs.changed_since(caller, sent or since, PAGE)
            newest = changes.jobs[-1].changed if changes.jobs else sent
            # Nothing is awaited between that read and this: what the store holds has been read, and
            # if no later change was handed out meanwhile, all of those still come through the feed.
            if (
                not changes.more
                and self._feed.delivered <= max(newest, since)
                and not replayed.outdated(self._feed.increments)
            ):
                break
        # A number from the future would keep the live events away: only what was told counts.
        known = {job.number: job.changed for job in changes.jobs}
        self._feed.join(listener, max(newest, min(since, self._feed.newest)), replayed.changed | known)
        # From here on the feed's increments gather for the listener: the rest goes only up to them.
        limits = {job.number: self._feed.increments.shown(job.number) for job in changes.jobs}
        for job in changes.jobs:
            await self._send(job, replayed, limits[job.number])
        listener.open()

    async def _send(self, job: Job, replayed: "_Replayed", shown: int | None = None) -> None:
        length = 0
        if job.state is State.RUNNING:
            length = (await self._jobs.read_log_of(job, limit=0)).size
        fresh = None
        if self._feed.frames.classes.find(job.key) is not None:
            start = replayed.upto.get(job.number, 0)
            if job.state is State.RUNNING:
                # What live events have not held yet comes with the next of them.
                end = self._feed.increments.shown(job.number) if shown is None else shown
            else:
                end = extent(job, 0)
            fresh = (start, max(start, end))
        replayed.note(job, fresh)
        (event,) = await self._feed.frames.encode([Change(job, length, fresh=fresh)])
        await self._socket.send(encode_event(event.body(), job.changed).decode())


class _Replayed:
    """What a replay has sent: each job's newest number, and of running jobs how much of the log."""

    def __init__(self) -> None:
        self.changed: dict[int, int] = {}
        self.upto: dict[int, int] = {}
        self._running: dict[int, Job] = {}

    def note(self, job: Job, fresh: tuple[int, int] | None) -> None:
        """Note a job that is being sent, with the part of its log that is new with it."""
        self.changed[job.number] = job.changed
        if fresh is None:
            return
        self.upto[job.number] = fresh[1]
        if job.state is State.RUNNING:
            self._running[job.number] = job
        else:
            self._running.pop(job.number, None)

    def outdated(self, increments: Increments) -> list[Job]:
        """Give the running jobs of which live events have held more by now."""
        return [job for number, job in self._running.items() if increments.shown(number) > self.upto[number]]


def _nothing() -> None:
    """Do nothing: there are no events to go on with."""
