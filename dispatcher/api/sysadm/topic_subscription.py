"""One session's subscription to events that are not about jobs, in the spelling that it understands."""

from collections.abc import Callable

from dispatcher.api.sysadm.notices import Topic, is_stock_id, is_stock_origin, spellings
from dispatcher.api.sysadm.subscription import Outlet
from dispatcher.api.sysadm.topics import TopicFeed, TopicListener


class TopicSubscription:
    """Not active until `join`. `setting` gives `sysadm: event_names`; `origin` is the client's Origin."""

    def __init__(self, feed: TopicFeed, socket: Outlet, setting: Callable[[], str], origin: str) -> None:
        self._feed = feed
        self._socket = socket
        self._is_stock = is_stock_origin(origin)
        self._listener = TopicListener(socket, lambda: spellings(setting(), is_stock=self._is_stock))
        socket.on_drained = self._listener.drained

    @property
    def is_active(self) -> bool:
        """Whether events may still come."""
        return bool(self._listener.topics)

    def note_id(self, call_id: str) -> None:
        """Learn from a request's id whether this is the real client."""
        self._is_stock = self._is_stock or is_stock_id(call_id)

    async def join(self, topic: Topic) -> None:
        """Send the topic's last event; then let all later ones come. Again: the last one again."""
        await self._feed.join(self._listener, topic, self._socket)

    def leave(self, topic: Topic) -> None:
        """Let no further event of a topic come."""
        self._listener.topics.discard(topic)
        if not self._listener.topics:
            self.end()

    def end(self) -> None:
        """Let no further event come."""
        self._feed.leave(self._listener)


class SharedSocket:
    """A socket for two who each want to be told when it is drained."""

    def __init__(self, socket: Outlet) -> None:
        self._socket = socket
        self._parts: list[SharedSocket.Part] = []
        socket.on_drained = self._drained

    def part(self) -> "SharedSocket.Part":
        """Give a socket of one's own."""
        part = SharedSocket.Part(self._socket)
        self._parts.append(part)
        return part

    def _drained(self) -> None:
        for part in self._parts:
            part.on_drained()

    class Part:
        """The socket as one of them sees it."""

        def __init__(self, socket: Outlet) -> None:
            self.on_drained: Callable[[], None] = lambda: None
            self._socket = socket

        async def send(self, message: str | bytes) -> None:
            """Send a message, waiting for room. Raises SocketClosed."""
            await self._socket.send(message)

        def offer(self, frame: bytes) -> bool:
            """Take a frame if there is room."""
            return self._socket.offer(frame)
