"""The opening of a WebSocket: what is wrong with a handshake is told, and nothing behind a right one is lost."""

import pytest
import trio

from dispatcher.net.handshake import replayed_head
from dispatcher.net.websocket import text_frame
from tests.integration.net_server import HANDSHAKE, LOCAL, masked, open_raw, read_until, rest_of, running


def handshake(**changes):
    lines = {
        "start": "GET /echo HTTP/1.1",
        "host": "Host: x",
        "upgrade": "Upgrade: websocket",
        "connection": "Connection: Upgrade",
        "key": "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "version": "Sec-WebSocket-Version: 13",
    } | changes
    return "".join(f"{line}\r\n" for line in lines.values() if line).encode() + b"\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "words"),
    [
        (handshake(start="POST /echo HTTP/1.1"), 400, b"use GET"),
        (handshake(start="GET /echo HTTP/1.0"), 400, b"HTTP/1.1"),
        (handshake(connection=""), 400, b"'Connection: Upgrade' is missing"),
        (handshake(connection="Connection: keep-alive"), 400, b"'Connection: Upgrade' is missing"),
        (handshake(version="Sec-WebSocket-Version: 8"), 426, b"sec-websocket-version: 13"),
        (handshake(version=""), 426, b"must be 13"),
        (handshake(key=""), 400, b"Sec-WebSocket-Key must be"),
        (handshake(key="Sec-WebSocket-Key: c2hvcnQ="), 400, b"Sec-WebSocket-Key must be"),
        (handshake(key="Sec-WebSocket-Key: ~~~~"), 400, b"Sec-WebSocket-Key must be"),
        (handshake(extra="Content-Length: 2") + b"{}", 400, b"has a body"),
        (handshake(host="X: y"), 400, b"Host"),
    ],
)
async def test_a_wrong_handshake_is_told_what_is_wrong(request_bytes, status, words):
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(request_bytes)
        answer = await rest_of(stream)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert words.lower() in answer.lower()


async def test_a_websocket_where_there_is_none_gets_the_plain_answer_of_that_path():
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(handshake(start="GET /elsewhere HTTP/1.1"))
        answer = await read_until(stream, b"GET /elsewhere")

    assert answer.startswith(b"HTTP/1.1 200 ")


def test_the_replayed_head_holds_the_key_and_nothing_of_the_clients_else():
    assert replayed_head("a2V5").count(b"\r\n") == 7
    assert b"Sec-WebSocket-Key: a2V5\r\n" in replayed_head("a2V5")


async def test_frames_right_behind_the_handshake_in_one_segment_are_not_lost():
    async with running() as server:
        behind = masked(0x81, b"one") + masked(0x01, b"tw") + masked(0x80, b"o") + masked(0x89, b"p")
        stream, rest = await open_raw(server.port, behind=behind)
        async with stream:
            expected = text_frame(b"one") + text_frame(b"two")
            while len(rest) < len(expected) + 3:
                rest += await stream.receive_some()

    assert rest.replace(b"\x8a\x01p", b"") == expected


async def test_a_handshake_and_frames_that_come_byte_by_byte_are_understood():
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        for byte in HANDSHAKE + masked(0x81, b"hi"):
            await stream.send_all(bytes((byte,)))
        answer = await read_until(stream, b"\x81\x02hi")

    assert answer.count(b"101 ") == 1
