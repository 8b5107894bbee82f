"""A worker's connection to the supervisor: never blocks, in either direction.

A stopped supervisor does not read: at most `ROOM` bytes wait here, the rest stays with whoever
wants to send. A dead one is tried again every `RECONNECT_SECONDS` by the worker's clock.
Standard library only.
"""

import array
import os
import socket
from collections import deque
from collections.abc import Callable

from dispatcher.runner.loop import READ, WRITE, Loop
from dispatcher.runner.wire import Lines, WireError

ROOM = 64 * 1024
RECONNECT_SECONDS = 0.25
_RECEIVE = 256 * 1024
_DESCRIPTORS = 64  # that may come with what is received at once
_INT = array.array("i").itemsize
_ANCILLARY = socket.CMSG_SPACE(_DESCRIPTORS * _INT)


class Uplink:
    """The connection. `on_line` gets each line, `on_lost` is called once when it has ended."""

    def __init__(
        self,
        path: str,
        loop: Loop,
        on_line: Callable[[bytes], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._path = path
        self._loop = loop
        self._on_line = on_line
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._lines = Lines()
        self._unsent = bytearray()
        self._is_deaf = False
        self._descriptors: deque[int] = deque()

    @property
    def is_open(self) -> bool:
        """Whether a supervisor is connected, as far as we know."""
        return self._socket is not None

    @property
    def has_room(self) -> bool:
        """Whether more may be put in now."""
        return self._socket is not None and len(self._unsent) < ROOM

    def connect(self) -> bool:
        """Try once to connect; tell whether it is done."""
        attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        attempt.setblocking(False)
        try:
            attempt.connect(self._path)
        except OSError:
            # No supervisor (ENOENT, ECONNREFUSED) or a full backlog (EAGAIN): the next try tells.
            attempt.close()
            return False
        self._socket = attempt
        self._lines = Lines()
        self._unsent.clear()
        self._is_deaf = False
        self._loop.watch(attempt.fileno(), READ, self._on_ready)
        return True

    def put(self, line: bytes) -> None:
        """Add a line to what is sent by the next `flush`."""
        self._unsent += line

    def flush(self) -> None:
        """Send what the socket takes now; go on when it takes more."""
        if self._socket is None:
            return
        if self._unsent and not self._is_deaf:
            try:
                del self._unsent[: self._socket.send(self._unsent)]
            except ConnectionError:
                # What the supervisor sent before it died is still to be read: its orders count.
                self._is_deaf = True
            except OSError:
                pass  # full (EAGAIN, ENOBUFS): the rest goes when the socket takes more
        wants_write = bool(self._unsent) and not self._is_deaf
        self._loop.watch(self._socket.fileno(), READ | WRITE if wants_write else READ, self._on_ready)

    def take_descriptors(self, count: int) -> list[int]:
        """Give away the next descriptors that came: those of an order are here when its line is.

        There are fewer only if the order was no good.
        """
        return [self._descriptors.popleft() for _ in range(min(count, len(self._descriptors)))]

    def close(self) -> None:
        """Close this process's copy, and the descriptors that nobody has taken."""
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for descriptor in self.take_descriptors(len(self._descriptors)):
            os.close(descriptor)

    def _on_ready(self, events: int) -> None:
        if events & WRITE:
            self.flush()
        if events & READ:
            self._receive()

    def _receive(self) -> None:
        if self._socket is None:
            return
        reason = "the supervisor has closed the connection"
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(_RECEIVE, _ANCILLARY)
            if ancillary or flags:
                self._receive_descriptors(ancillary, flags)
            lines = self._lines.feed(data)
        except BlockingIOError:
            return
        except (OSError, WireError) as error:
            reason, data, lines = str(error), b"", []
        for line in lines:
            self._on_line(line)
        if not data:
            self.close()
            self._on_lost(reason)

    def _receive_descriptors(self, ancillary: list[tuple[int, int, bytes]], flags: int) -> None:
        """Keep what came with the bytes. OSError if some got lost: what belongs to whom is not known then."""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                came = array.array("i", data[: len(data) - len(data) % _INT])
                for descriptor in came:
                    os.set_inheritable(descriptor, False)
                self._descriptors.extend(came)
        if flags & socket.MSG_CTRUNC:
            raise OSError("descriptors that came with an order were lost; raise the limit of open files")
