"""One client behind a bridge, as a session sees it: texts in, texts out, by the channel of the moment.

Nobody but the other end of the session must be able to use what a session leaves behind. So a new
session begins with empty boxes and a plain channel, and what the one before had to say is dropped.
"""

from collections import deque
from collections.abc import Callable

import trio

from dispatcher.bridge.channels import Channel, Plain
from dispatcher.bridge.post import PeerOutbox
from dispatcher.bridge.sealing import Unsealable
from dispatcher.net.websocket import SocketClosed, payload_of

COUNT = 256  # messages that wait to be read


class RelayedSocket:
    """What a session has of its client.

    `most_bytes` is what the bridge passes on in one message; a longer one becomes what `shorten` makes
    of it. Of the client no message above `first_bytes` is taken, until the session says otherwise.
    `is_beginning` tells of a message whether it begins a session anew.
    """

    def __init__(
        self,
        outbox: PeerOutbox,
        most_bytes: int,
        first_bytes: int,
        *,
        shorten: Callable[[bytes], bytes],
        is_beginning: Callable[[str], bool],
        goodbye: Callable[[str], bytes],
    ) -> None:
        self._outbox = outbox
        self._most = most_bytes
        self._shorten = shorten
        self._is_beginning = is_beginning
        self._goodbye = goodbye
        self._limit = self._first_limit = first_bytes
        self._channel: Channel = Plain()
        self._inbox: deque[str] = deque()
        self._size = 0
        self._news = trio.Event()
        self._is_over = False
        self._first = ""
        self._reason = ""

    @property
    def on_drained(self) -> Callable[[], None]:
        """What is called when there is room again after a refused offer."""
        return self._outbox.on_drained

    @on_drained.setter
    def on_drained(self, function: Callable[[], None]) -> None:
        self._outbox.on_drained = function

    # --- the session's side -------------------------------------------------------------------

    async def receive(self) -> str | bytes:
        """Give the next message. Raises SocketClosed when the session is over; the peer may go on."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._inbox:
            self._require_open()
            self._news = trio.Event()
            await self._news.wait()
        self._require_open()
        payload = self._inbox.popleft()
        self._size -= len(payload)
        try:
            return self._channel.read(payload)
        except Unsealable as error:
            if payload.startswith("{") and self._is_beginning(payload):
                self.start_again(payload)
            self.end(error.sentence)
        raise SocketClosed("the session with a client behind a bridge is over")

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting for room. Raises SocketClosed."""
        self._require_open()
        data = self._fitting(message.encode() if isinstance(message, str) else message)
        try:
            await self._outbox.put(data, self._channel.write)
        except trio.ClosedResourceError as error:
            raise SocketClosed("cannot send: the client behind the bridge is gone") from error

    def offer(self, frame: bytes) -> bool:
        """Take a message, in the frame that all WebSockets get, if there is room."""
        if self._is_over:
            return False
        return self._outbox.offer(self._fitting(payload_of(frame)), self._channel.write)

    def limit_messages(self, limit_bytes: int) -> None:
        """End the session at a longer message from now on."""
        self._limit = limit_bytes

    def use(self, channel: Channel) -> None:
        """Write and read all that follows by another channel."""
        self._channel = channel

    def start_again(self, first: str) -> None:
        """End this session; the next one begins with `first`, then goes on with what has come since."""
        if not self._is_over:
            self._is_over, self._first = True, first
            self._news.set()

    def end(self, reason: str) -> None:
        """End this session, and drop what has come; the client is told, in the clear."""
        if not self._is_over:
            self._is_over, self._reason = True, reason
            self._inbox.clear()
            self._size = 0
            self._news.set()

    # --- the link's side ----------------------------------------------------------------------

    def deliver(self, payload: str) -> None:
        """Take what the client has sent; never wait. Too much at once ends the session."""
        # In base64 a message is longer by a third.
        if len(payload) > self._limit // 3 * 4 + 1024:
            self.end(f"a message above {self._limit} bytes has ended this session; begin again with auth_ssl")
        elif self._inbox and (len(self._inbox) >= COUNT or self._size + len(payload) > self._most):
            self.end("too many messages were sent at once, which has ended this session; wait for answers")
        else:
            self._inbox.append(payload)
            self._size += len(payload)
            self._news.set()

    def begin_anew(self) -> None:
        """Be as at the beginning, for the next session."""
        self._outbox.clear()
        self._channel = Plain()
        self._is_over = False
        self._limit = self._first_limit
        if self._first:
            self._inbox.appendleft(self._first)
            self._size += len(self._first)
        if self._reason:
            self._outbox.offer(self._goodbye(self._reason), self._channel.write)
        self._first = self._reason = ""

    def close(self) -> None:
        """Drop everything: the client is gone."""
        self._outbox.close()

    def _require_open(self) -> None:
        if self._is_over:
            raise SocketClosed("the session with a client behind a bridge is over")

    def _fitting(self, message: bytes) -> bytes:
        return message if len(message) <= self._most // 4 * 3 - 1024 else self._shorten(message)
