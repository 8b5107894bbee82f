"""The supervisor's end of the connection to one worker: lines in, lines out, never a wait to send."""

import os
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import trio

MAX_LINE = 16 * 1024 * 1024  # a worker that sends a longer line is broken
PIECE = 65536
BACKLOG = 1024

_encode = msgspec.json.Encoder().encode


class WorkerLink:
    """One connected worker. `known` are the jobs that it has, or has facts about.

    `is_late` is set while it has jobs from before this connection.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._unsent = bytearray()
        self._wants_room = trio.Event()
        self.worker = 0
        self.known: set[int] = set()
        self.is_late = False
        self.last_busy = trio.current_time()

    def put(self, message: Mapping[str, Any]) -> None:
        """Add one line to what the next `flush` sends."""
        self._unsent += _encode(message)
        self._unsent += b"\n"

    def flush(self) -> None:
        """Send what was put, now or as soon as the worker reads on. A dead connection swallows it."""
        self._push()
        if self._unsent:
            self._wants_room.set()

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._connection.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # its reader sees the end and settles the worker's jobs

    async def push_on(self) -> None:
        """Send what did not fit at once, whenever there is room; runs until cancelled."""
        while True:
            await self._wants_room.wait()
            self._wants_room = trio.Event()
            while self._unsent:
                await trio.lowlevel.wait_writable(self._connection)
                self._push()

    async def pieces(self) -> AsyncIterator[list[bytes]]:
        """Give complete lines as they come, those of one read together; end at the end of the worker."""
        held = b""
        while True:
            await trio.lowlevel.wait_readable(self._connection)
            try:
                piece = self._connection.recv(PIECE)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not piece:
                return
            *lines, held = (held + piece).split(b"\n")
            if len(held) > MAX_LINE:
                return
            if lines:
                yield lines

    def close(self) -> None:
        """Close the connection; the worker connects again if it lives."""
        self._connection.close()


def listen(path: Path) -> socket.socket:
    """Bind the workers' socket; the holder of the state lock may take the name over."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
