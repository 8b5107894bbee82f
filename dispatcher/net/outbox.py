"""What waits to be sent to one client: a bounded buffer in front of a socket.

Replies and broadcasts go into the same outbox, whole frames in order, and one task joins what is
there and sends it. So a client that reads slowly costs its own buffer and delays nobody else.
"""

from collections import deque
from collections.abc import Callable

import trio

SLICE_BYTES = 64 * 1024
RECEIVE_BYTES = 64 * 1024
CLOSE = 0x88  # the first byte of a close frame (RFC 6455, 5.2)


def _nothing() -> None:
    """Do nothing: the default of `on_drained`."""


class Outbox:
    """A bounded buffer of frames. When it is full `offer` refuses and `put` waits for room."""

    def __init__(self, limit_bytes: int) -> None:
        self.on_drained: Callable[[], None] = _nothing
        self.also_on_drained: list[Callable[[], None]] = []
        self.ended = trio.Event()  # set when `run` has returned: nothing more is sent
        self._limit = limit_bytes
        self._frames: deque[bytes | memoryview] = deque()
        self._size = 0
        self._is_open = True
        self._has_refused = False
        self._waiting = 0
        self._turn = trio.StrictFIFOLock()
        self._room = trio.lowlevel.ParkingLot()
        self._work = trio.lowlevel.ParkingLot()

    @property
    def size(self) -> int:
        """How many bytes wait, counting those being sent."""
        return self._size

    def limit(self, limit_bytes: int) -> None:
        """Have room for so much from now on."""
        self._limit = limit_bytes
        self._room.unpark_all()

    def offer(self, frame: bytes) -> bool:
        """Take a frame and return True, or return False at once: it is full, or closed.

        After a refusal `on_drained` is called once when less than half is left.
        """
        # Who waits in `put` came first: without this a flow of small frames would starve a large one.
        if not self._is_open or self._waiting or not self._has_room(len(frame)):
            self._has_refused = True
            return False
        self._append(frame)
        return True

    async def put(self, frame: bytes) -> None:
        """Take a frame, waiting for room first. Raises trio.ClosedResourceError once it is closed.

        With room it does not yield, so that answers to what came together leave together.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._waiting or not self._has_room(len(frame)):
            await self._put_in_turn(frame)
            return
        self._require_open()
        self._append(frame)

    def finish(self, last: bytes = b"") -> None:
        """Take one last frame, room or no room, and nothing after it. What is there is still sent."""
        if not self._is_open:
            return
        if last:
            self._append(last)
        self._is_open = False
        self._room.unpark_all()
        self._work.unpark_all()

    async def run(self, stream: trio.abc.SendStream, send_timeout: float) -> None:
        """Send what comes until `finish`; to be run by one task.

        Raises trio.TooSlowError if the peer takes none of it for `send_timeout` seconds, and
        trio.BrokenResourceError or ClosedResourceError if the connection is gone.
        """
        try:
            while batch := await self._next_batch():
                with trio.fail_after(send_timeout):
                    await stream.send_all(batch)
                self._size -= len(batch)
                self._room.unpark_all()
        finally:
            self.finish()
            self.ended.set()

    async def _put_in_turn(self, frame: bytes) -> None:
        self._waiting += 1
        try:
            async with self._turn:
                while self._is_open and not self._has_room(len(frame)):
                    await self._room.park()
                self._require_open()
                self._append(frame)
        finally:
            self._waiting -= 1

    async def _next_batch(self) -> bytes | memoryview:
        """Wait for frames and join them up to a slice; empty when finished and all is sent."""
        while True:
            if self._has_refused and self._is_open and not self._waiting and self._size <= self._limit // 2:
                self._has_refused = False
                self.on_drained()
                for function in tuple(self.also_on_drained):
                    function()
            if self._frames:
                return self._joined()
            if not self._is_open:
                return b""
            await self._work.park()

    def _joined(self) -> bytes | memoryview:
        batch = [self._frames.popleft()]
        size = len(batch[0])
        if size > SLICE_BYTES:
            # In slices, because the send timeout is meant for a stop, not for a long message.
            view = memoryview(batch[0])
            self._frames.appendleft(view[SLICE_BYTES:])
            return view[:SLICE_BYTES]
        while self._frames and size + len(self._frames[0]) <= SLICE_BYTES:
            batch.append(self._frames.popleft())
            size += len(batch[-1])
        return b"".join(batch) if len(batch) > 1 else batch[0]

    def _has_room(self, size: int) -> bool:
        # A frame larger than the whole outbox is taken when it is alone, or it could never be sent.
        return self._size == 0 or self._size + size <= self._limit

    def _append(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._size += len(frame)
        self._work.unpark_all()

    def _require_open(self) -> None:
        if not self._is_open:
            raise trio.ClosedResourceError("the outbox is closed: the connection is ending")


class OutboxStream(trio.abc.Stream):
    """The stream that trio-websocket sees: it reads a replayed head first and writes to an outbox."""

    def __init__(self, transport: trio.abc.Stream, outbox: Outbox, head: bytes, early: bytes) -> None:
        self.last_heard = trio.current_time()
        self.accepted = trio.Event()
        self._transport = transport
        self._outbox = outbox
        self._head = head
        self._early = early

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Give the head, then what came right behind it, then the rest."""
        if self._head:
            head, self._head = self._head, b""
            return head
        # Before its 101 is out the library takes frames for a part of the request, and loses them.
        await self.accepted.wait()
        if self._early:
            early, self._early = self._early, b""
            return early
        # Some of the library's versions ask for 4 KiB at most, and all take what comes.
        data = await self._transport.receive_some(max(max_bytes or 0, RECEIVE_BYTES))
        self.last_heard = trio.current_time()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Put one frame, or the 101, into the outbox."""
        frame = bytes(data)
        if frame[0] == CLOSE:
            self._outbox.finish(frame)
            # The library may stumble over what it reads next, and the task that sends would end with it.
            await self._outbox.ended.wait()
        else:
            await self._outbox.put(frame)

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: the outbox does the waiting."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Do nothing: the transport is closed by its owner, after the last frame has been sent."""
        await trio.lowlevel.checkpoint()


async def send_in_slices(stream: trio.abc.SendStream, data: bytes, send_timeout: float) -> None:
    """Send at once without an outbox; trio.TooSlowError if a slice takes longer than the timeout."""
    view = memoryview(data)
    for start in range(0, len(view), SLICE_BYTES):
        with trio.fail_after(send_timeout):
            await stream.send_all(view[start : start + SLICE_BYTES])
