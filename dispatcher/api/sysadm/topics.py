"""The feed of `life-preserver` and `system-state` events: the last of each, who listens, their history.

Events are few and small. A client that is slow misses the oldest of them, never the newest.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import trio

from dispatcher.api.sysadm.notices import Notice, Spelling, Topic, preserver_notice, state_notice
from dispatcher.hub import Outbox
from dispatcher.logs.history import History, line
from dispatcher.net.websocket import text_frame
from dispatcher.watch.preserver_lines import PreserverEvent
from dispatcher.watch.system_state import SystemState

HISTORY_BYTES = 1024 * 1024  # of one file; one older file is kept
BEHIND = 64  # events that are kept for one slow client
FILES = {Topic.LIFE_PRESERVER: "events-lifepreserver.log", Topic.SYSTEM_STATE: "events-state.log"}

_log = logging.getLogger("dispatcher.sysadm")


class Writer(Protocol):
    """The part of a socket that sends what a subscriber gets first."""

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting for room."""
        ...


class TopicListener:
    """One session's place in the feed. `spellings` is asked for each event."""

    def __init__(self, outbox: Outbox, spellings: Callable[[], tuple[Spelling, ...]]) -> None:
        self.topics: set[Topic] = set()
        self.ends = 0  # how often everything was ended
        self.spellings = spellings
        self._outbox = outbox
        self._behind: deque[bytes] = deque(maxlen=BEHIND)

    def take(self, notice: Notice) -> None:
        """Take an event."""
        for spelling in self.spellings():
            self._behind.append(text_frame(notice.frame(spelling)))
        self.drained()

    def drained(self) -> None:
        """Go on: the outbox has room again."""
        while self._behind and self._outbox.offer(self._behind[0]):
            self._behind.popleft()

    def clear(self) -> None:
        """Forget what was not sent yet."""
        self.topics.clear()
        self._behind.clear()
        self.ends += 1


class TopicFeed:
    """Takes states and events, keeps the last of each topic, and tells who listens."""

    def __init__(self, histories: Mapping[Topic, History], clock: Callable[[], float]) -> None:
        self._histories = histories
        self._clock = clock
        self._last: dict[Topic, Notice] = {}
        self._listeners: list[TopicListener] = []
        self._thread = trio.CapacityLimiter(1)

    async def tell_state(self, state: SystemState) -> None:
        """Tell the state of the system."""
        await self._tell(state_notice(state))

    async def tell_preserver(self, event: PreserverEvent, is_old: bool) -> None:  # noqa: FBT001
        """Tell what life-preserver did; what is of before the start is only kept."""
        await self._tell(preserver_notice(event), is_old=is_old)

    def recall_preserver(self, event: PreserverEvent) -> None:
        """Take an event of an earlier daemon as the last one."""
        self._last[Topic.LIFE_PRESERVER] = preserver_notice(event)

    async def join(self, listener: TopicListener, topic: Topic, socket: Writer) -> None:
        """Send the last event of a topic, then let the listener hear of all later ones."""
        sent: Notice | None = None
        ends = listener.ends
        # Another one may be told while this one waits for room: it must not come before it.
        while (last := self._last.get(topic)) is not sent and last is not None:
            for spelling in listener.spellings():
                await socket.send(last.frame(spelling).decode())
            sent = last
            if listener.ends != ends:
                return  # the login ended while this one waited for room
        listener.topics.add(topic)
        if listener not in self._listeners:
            self._listeners.append(listener)

    def leave(self, listener: TopicListener) -> None:
        """Tell it nothing more; nothing happens if it did not listen."""
        listener.clear()
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def _tell(self, notice: Notice, *, is_old: bool = False) -> None:
        self._last[notice.topic] = notice
        if not is_old:
            for listener in tuple(self._listeners):
                if notice.topic in listener.topics:
                    listener.take(notice)
        history = self._histories.get(notice.topic)
        if history is not None:
            one = line(self._clock(), b'{"args":%b}' % notice.args(Spelling.HYPHEN))
            await trio.to_thread.run_sync(_append, history, one, limiter=self._thread)


def topic_histories(log_dir: Path) -> dict[Topic, History]:
    """Give the files in which the events of each topic are kept."""
    return {topic: History(log_dir / name, HISTORY_BYTES, 1) for topic, name in FILES.items()}


def _append(history: History, one: bytes) -> None:
    try:
        history.append([one])
    except OSError as error:
        _log.warning("cannot write %s: %s; the event was told all the same", history.path, error.strerror)
