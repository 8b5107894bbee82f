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
from dispatcher.api.sysadm.feed import SysadmFeed
from dispatcher.api.sysadm.frames import Change
from dispatcher.api.sysadm.listener import Listener
from dispatcher.core.model import Job, State
from dispatcher.errors import DispatcherError
from dispatcher.net.websocket import SocketClosed, text_frame
from dispatcher.store.port import Changes

PAGE = 100  # jobs read at once for a replay

Reply = Callable[[dict[str, object]], Awaitable[None]]


class Socket(Protocol):
    """The part of a WebSocket that a session uses."""

    on_drained: Callable[[], None]

    async def receive(self) -> str | bytes:
        """Give the next message. Raises SocketClosed."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting for room. Raises SocketClosed."""
        ...

    def offer(self, frame: bytes) -> bool:
        """Take a frame if there is room."""
        ...


class Subscription:
    """Not active until `subscribe`. Replays run in `nursery`, which is the session's."""

    def __init__(self, feed: SysadmFeed, jobs: Jobs, socket: Socket, nursery: trio.Nursery) -> None:
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
        sent = 0
        is_live = False
        while True:
            for job in changes.jobs:
                await self._send(job)
                sent = job.changed
            if is_live:
                listener.open()
                return
            changes = await self._jobs.changed_since(caller, sent or since, PAGE)
            newest = changes.jobs[-1].changed if changes.jobs else sent
            # Nothing is awaited between that read and this: what the store holds has been read, and
            # if no later change was handed out meanwhile, all of those still come through the feed.
            if not changes.more and self._feed.delivered <= max(newest, since):
                # A number from the future would keep the live events away: only what was told counts.
                self._feed.join(listener, max(newest, min(since, self._feed.newest)))
                is_live = True

    async def _send(self, job: Job) -> None:
        length = 0
        if job.state is State.RUNNING:
            length = (await self._jobs.read_log_of(job, limit=0)).size
        (record,) = await self._feed.frames.encode([Change(job, length)])
        await self._socket.send(encode_event(record, job.changed).decode())


def _nothing() -> None:
    """Do nothing: there are no events to go on with."""
