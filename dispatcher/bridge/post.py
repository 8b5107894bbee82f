"""What waits to be sent over one connection to several peers: a bounded outbox each, taken in turn.

A peer to whom much is sent fills its own outbox, and the others' messages leave between its own.
What is written is decided when a message leaves, so that sealed ones are numbered as they are sent.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import trio

Write = Callable[[bytes], str]


def _nothing() -> None:
    """Do nothing: the default of `on_drained`."""


class PeerOutbox:
    """The messages for one peer. When it is full `offer` refuses and `put` waits for room."""

    def __init__(self, post: "Post", peer: str, limit_bytes: int) -> None:
        self.on_drained: Callable[[], None] = _nothing
        self.has_turn = False  # the post's own note
        self._post = post
        self._first_line = f"{peer}\n" if peer else ""
        self._limit = limit_bytes
        self._messages: deque[tuple[bytes, Write]] = deque()
        self._size = 0
        self._has_refused = False
        self._is_open = True
        self._waiting = 0
        self._turn = trio.StrictFIFOLock()
        self._room = trio.lowlevel.ParkingLot()

    @property
    def size(self) -> int:
        """How many bytes wait."""
        return self._size

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._messages

    def offer(self, message: bytes, write: Write) -> bool:
        """Take a message and return True, or return False at once: it is full, or closed.

        After a refusal `on_drained` is called once when less than half is left.
        """
        if not self._is_open or self._waiting or not self._has_room(len(message)):
            self._has_refused = True
            return False
        self._append(message, write)
        return True

    async def put(self, message: bytes, write: Write) -> None:
        """Take a message, waiting for room first. Raises trio.ClosedResourceError once it is closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._waiting += 1
        try:
            if self._waiting > 1 or not self._has_room(len(message)):
                async with self._turn:
                    while self._is_open and not self._has_room(len(message)):
                        await self._room.park()
            if not self._is_open:
                raise trio.ClosedResourceError("the outbox is closed: the peer is gone")
            self._append(message, write)
        finally:
            self._waiting -= 1

    def clear(self) -> None:
        """Drop what waits."""
        self._messages.clear()
        self._size = 0
        self._room.unpark_all()

    def close(self) -> None:
        """Drop what waits and take nothing more."""
        self._is_open = False
        self.clear()

    def take(self) -> str:
        """Give the oldest message as it is sent."""
        message, write = self._messages.popleft()
        self._size -= len(message)
        self._room.unpark_all()
        return self._first_line + write(message)

    def notice_room(self) -> None:
        """Tell who was refused that there is room again."""
        if self._has_refused and self._is_open and not self._waiting and self._size <= self._limit // 2:
            self._has_refused = False
            self.on_drained()

    def _has_room(self, size: int) -> bool:
        # A message larger than the whole outbox is taken when it is alone, or it could never be sent.
        return self._size == 0 or self._size + size <= self._limit

    def _append(self, message: bytes, write: Write) -> None:
        self._messages.append((message, write))
        self._size += len(message)
        self._post.wake(self)


class Post:
    """All outboxes of a connection, and the task that empties them."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._ring: deque[PeerOutbox] = deque()  # those with something to send, whose turn is next in front
        self._work = trio.Event()

    def outbox(self, peer: str) -> PeerOutbox:
        """Make the outbox of a peer; "" is for whoever is at the other end of the connection itself."""
        return PeerOutbox(self, peer, self._limit)

    def wake(self, box: PeerOutbox) -> None:
        """Give an outbox that is not empty its turn."""
        if not box.has_turn:
            box.has_turn = True
            self._ring.append(box)
            self._work.set()

    async def run(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Send message after message, one of each peer in turn; raises what `send` raises."""
        while True:
            while not self._ring:
                self._work = trio.Event()
                await self._work.wait()
            box = self._ring.popleft()
            box.has_turn = False
            if box.is_empty:
                continue  # what it held was dropped
            text = box.take()
            if not box.is_empty:
                self.wake(box)
            await send(text)
            box.notice_room()
