"""The client's side of a WebSocket (RFC 6455) on a blocking socket, in text messages only.

Written out because importing a library for it takes longer than a whole call may take.
"""

from __future__ import annotations

import base64
import hashlib
import os
import select
import struct

from dispatcher.cli.exits import ConnectionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_HEAD = 65536
_CONTINUATION, _TEXT, _CLOSE, _PING, _PONG = 0, 1, 8, 9, 10


class WebSocket:
    """One connection. Every method raises ConnectionLost when the other side is gone."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._output: int | None = None

    def open(self, path: str, host: str) -> None:
        """Do the opening handshake."""
        key = base64.b64encode(os.urandom(16))
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._write(head.encode() + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise ConnectionLost("what listens there does not speak HTTP")
            self._fill()
        status, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)
        }
        # SHA-1 is what the RFC prescribes; nothing secret depends on it.
        expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if status.split(b" ")[1:2] != [b"101"] or headers.get(b"sec-websocket-accept") != expected:
            answer = status.decode("latin-1")
            raise ConnectionLost(f"what listens there is no dispatcher: it answered {answer!r}")

    def send(self, text: bytes) -> None:
        """Send one text message."""
        self._write(_frame(_TEXT, text))

    def receive(self) -> bytes:
        """Wait for the next text message."""
        message = bytearray()
        while True:
            is_last, opcode, payload = self._read_frame()
            if opcode in (_TEXT, _CONTINUATION):
                message += payload
                if is_last:
                    return bytes(message)
            elif opcode == _PING:
                self._write(_frame(_PONG, payload))
            elif opcode == _CLOSE:
                reason = payload[2:].decode("utf-8", "replace")
                raise ConnectionLost(f"the dispatcher closed the connection{reason and ': ' + reason}")

    def watch_output(self, descriptor: int) -> None:
        """Raise BrokenPipeError, also while nothing comes, once nobody reads `descriptor` any more."""
        self._output = descriptor

    def close(self) -> None:
        """Say goodbye and close, without waiting for the answer."""
        try:
            self._stream.sendall(_frame(_CLOSE, struct.pack("!H", 1000)))
        except OSError:
            pass
        finally:
            self._stream.close()

    def _read_frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return bool(first & 0x80), first & 0x0F, self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _fill(self) -> None:
        if self._output is not None:
            self._wait_for_either(self._output)
        try:
            received = self._stream.recv(262144)
        except OSError as error:
            raise ConnectionLost(f"the connection to the dispatcher broke: {error}") from None
        if not received:
            raise ConnectionLost("the dispatcher closed the connection")
        self._buffer += received

    def _wait_for_either(self, output: int) -> None:
        poll = select.poll()
        poll.register(self._stream, select.POLLIN)
        poll.register(output, 0)  # the end of a pipe's reader is told without asking
        if any(descriptor == output for descriptor, _ in poll.poll()):
            raise BrokenPipeError

    def _write(self, frame: bytes) -> None:
        try:
            self._stream.sendall(frame)
        except OSError as error:
            raise ConnectionLost(f"the connection to the dispatcher broke: {error}") from None


def _frame(opcode: int, payload: bytes) -> bytes:
    """Make a frame; a client's frames are masked."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    mask = os.urandom(4)
    whole = int.from_bytes((mask * (size // 4 + 1))[:size], "big") ^ int.from_bytes(payload, "big")
    return head + mask + whole.to_bytes(size, "big")
