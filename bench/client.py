"""A small client of the dispatcher for measuring: JSON-RPC over its Unix socket, in a process of its own.

client.py SOCKET many COUNT, or client.py SOCKET each COUNT PAUSE. It prints seconds. It reads no more
of an answer than it must, so that what is measured is the dispatcher and not this.
"""

import base64
import json
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator

WINDOW = 16  # calls under way at once; the dispatcher refuses more than 20
QUEUE = "bench"
_ANSWER = re.compile(rb'"id":(\d+)[,}]')


class Connection:
    """One WebSocket on a connected socket: text messages out, text messages in."""

    def __init__(self, connected: socket.socket, target: str) -> None:
        self._socket = connected
        self._buffer = bytearray()
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            sys.exit(f"no WebSocket there: {head!r}")
        self._buffer[:] = rest

    def _fill(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            sys.exit("the dispatcher closed the connection")
        self._buffer += data

    def send(self, messages: list[bytes]) -> None:
        """Send text messages together. The mask may be zero: it protects proxies, and here is none."""
        out = bytearray()
        for payload in messages:
            length = len(payload)
            out += (
                struct.pack("!BB", 0x81, 0x80 | length)
                if length < 126
                else struct.pack("!BBH", 0x81, 0xFE, length)
            )
            out += b"\0\0\0\0" + payload
        self._socket.sendall(out)

    def messages(self) -> Iterator[bytes]:
        """Give the messages of one read."""
        self._fill()
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            length, begin = buffer[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            elif length == 127:
                length, begin = int.from_bytes(buffer[at + 2 : at + 10]), at + 10
            if len(buffer) < begin + length:
                break
            if buffer[at] & 0x0F == 1:
                yield bytes(buffer[begin : begin + length])
            at = begin + length
        del buffer[:at]


def submit(number: int, command: str) -> bytes:
    """Give the message that submits one job."""
    params = [{"commands": [[command]], "queue": QUEUE}]
    return json.dumps(
        {"jsonrpc": "2.0", "id": number, "method": "dispatcher.submit", "params": params}
    ).encode()


def subscribe(connection: Connection) -> None:
    """Be told of every change from now on."""
    connection.send([b'{"jsonrpc":"2.0","id":0,"method":"dispatcher.events","params":[{}]}'])
    while not any(_ANSWER.search(message) for message in connection.messages()):
        pass


def many(connection: Connection, count: int, command: str) -> float:
    """Submit jobs, WINDOW at a time, until all have been told finished; the seconds."""
    begun = time.perf_counter()
    sent = min(WINDOW, count)
    connection.send([submit(number, command) for number in range(1, sent + 1)])
    finished = 0
    while finished < count:
        answered = 0
        for message in connection.messages():
            if b'"method":"dispatcher.event"' in message:
                finished += b'"state":"finished"' in message
            elif b'"error"' in message[:200] and b'"result"' not in message:
                sys.exit(f"refused: {message.decode()}")
            else:
                answered += 1
        more = range(sent + 1, min(sent + answered, count) + 1)
        if more:
            connection.send([submit(number, command) for number in more])
            sent = more[-1]
    return time.perf_counter() - begun


def each(connection: Connection, count: int, pause: float, command: str) -> Iterator[float]:
    """Submit one job after the other; the seconds from each submit to its finished event."""
    for number in range(1, count + 1):
        time.sleep(pause)
        begun = time.perf_counter()
        connection.send([submit(number, command)])
        is_answered = is_finished = False
        while not (is_answered and is_finished):
            for message in connection.messages():
                if b'"method":"dispatcher.event"' not in message:
                    is_answered = True
                elif b'"state":"finished"' in message:
                    is_finished = True
                    ended = time.perf_counter()
        yield ended - begun


def main() -> None:
    path, command, what, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(path)
    connection = Connection(connected, "/api/current")
    subscribe(connection)
    list(each(connection, 8, 0.0, command))  # workers are forked, code is loaded
    if what == "many":
        print(many(connection, count, command))
    else:
        for one in each(connection, count, float(sys.argv[5]), command):
            print(one)


if __name__ == "__main__":
    main()
