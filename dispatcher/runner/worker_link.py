"""The supervisor's end of the connection to one worker: lines in, lines out, never a wait to send."""

import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

MAX_LINE = 16 * 1024 * 1024  # a worker that sends a longer line is broken
PIECE = 65536
BACKLOG = 1024

_log = logging.getLogger("dispatcher.runner")
_encode = msgspec.json.Encoder().encode


class WorkerLink:
    """One connected worker. `known` are the jobs that it has, or has facts about.

    `is_late` is set while it has jobs from before this connection.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._unsent = bytearray()
        self._attached: list[tuple[int, list[int]]] = []  # offset in `_unsent`, descriptors
        self._wants_room = trio.Event()
        self.worker = 0
        self.known: set[int] = set()
        self.is_late = False
        self.last_busy = trio.current_time()

    def put(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Add one line to what the next `flush` sends, with copies of descriptors.

        OSError if these cannot be made; nothing was added then.
        """
        if descriptors:
            self._attached.append((len(self._unsent), _copies(descriptors)))
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
                sent = self._send_attached() if self._attached else self._connection.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()  # its reader sees the end and settles the worker's jobs
            self._drop_attached()

    def _send_attached(self) -> int:
        """Send up to where the next descriptors belong, or those with what follows; return the bytes."""
        (offset, descriptors), *later = self._attached
        if offset:
            sent = self._connection.send(bytes(self._unsent[:offset]))
        else:
            end = later[0][0] if later else len(self._unsent)
            # With the first byte, all of them are sent.
            sent = socket.send_fds(self._connection, [bytes(self._unsent[:end])], descriptors)
            _close(descriptors)
            del self._attached[0]
        self._attached = [(place - sent, some) for place, some in self._attached]
        return sent

    def _drop_attached(self) -> None:
        for _, descriptors in self._attached:
            _close(descriptors)
        self._attached.clear()

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

    def complain(self, line: bytes, error: ValueError) -> None:
        """Note a line of the worker that cannot be read; repeating it would not make it readable."""
        _log.error("worker %d says what cannot be read, %r: %s", self.worker, line[:200], error)

    def close(self) -> None:
        """Close the connection; the worker connects again if it lives."""
        self._connection.close()
        self._drop_attached()


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


def _copies(descriptors: Sequence[int]) -> list[int]:
    """Copy descriptors, so that their owner may close them before they are sent."""
    copies: list[int] = []
    try:
        copies.extend(os.dup(one) for one in descriptors)
    except OSError:
        _close(copies)
        raise
    return copies


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
