"""The messages of one client that its session has not taken yet.

The connection is read on while the session is busy, so that pings are answered. When the inbox
is full reading pauses until the session takes a message, and TCP holds the client back.
"""

from collections import deque

import trio

COUNT = 256


class Inbox:
    """A queue of messages bounded by count and by bytes, for one writer and one reader."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._messages: deque[tuple[str | bytes, int]] = deque()
        self._size = 0
        self._is_open = True
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    async def put(self, message: str | bytes, size: int) -> None:
        """Add a message of `size` bytes as soon as there is room; nothing is kept after the end."""
        # A message is taken when it is alone, so a limit never stops the connection for good.
        while self._is_open and self._messages and not self._has_room(size):
            await self._writers.park()
        if self._is_open:
            self._messages.append((message, size))
            self._size += size
            self._readers.unpark()

    async def take(self) -> str | bytes | None:
        """Give the oldest message, waiting for one; None when the end is reached."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._messages:
            if not self._is_open:
                return None
            await self._readers.park()
        message, size = self._messages.popleft()
        self._size -= size
        self._writers.unpark()
        return message

    def end(self) -> None:
        """Say that no message follows; those that are here can still be taken."""
        self._is_open = False
        self._readers.unpark_all()
        self._writers.unpark_all()

    def clear(self) -> None:
        """Drop everything and end: we have closed the connection ourselves."""
        self._messages.clear()
        self._size = 0
        self.end()

    def _has_room(self, size: int) -> bool:
        return len(self._messages) < COUNT and self._size + size <= self._limit
