"""Nothing that a stranger puts on the wire ends the server, leaves a task or fills the log."""

import logging
import random
import socket
import struct

import pytest
import trio
import trio.testing

from tests.integration.net_server import HANDSHAKE, LOCAL, masked, running, talk

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"

RANDOM = random.Random(7)  # noqa: S311
GARBAGE = {
    "nothing": b"",
    "no line end": b"GET / HTTP/1.1",
    "zeros": b"\0" * 5000,
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + RANDOM.randbytes(500),
    "upgrade with a body": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
    "upgrade with a chunked body": HANDSHAKE.replace(
        b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"
    ),
    "upgrade with a strange host": HANDSHAKE.replace(b"Host: x", b"Host: \xff\xfe" + b"x" * 200),
    "upgrade to something else": HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "upgrade and frames of noise": HANDSHAKE + RANDOM.randbytes(2000),
    "upgrade and a wrong opcode": HANDSHAKE + masked(0x83, b"x"),
    "upgrade and reserved bits": HANDSHAKE + masked(0xF1, b"x"),
    "upgrade and a long ping": HANDSHAKE + masked(0x89, b"x" * 126),
    "upgrade and half a frame": HANDSHAKE + masked(0x81, b"x" * 100)[:50],
    "upgrade and a lonely continuation": HANDSHAKE + masked(0x80, b"x"),
    "upgrade and a message inside another": HANDSHAKE + masked(0x01, b"x") + masked(0x81, b"y"),
    "upgrade and a close of one byte": HANDSHAKE + masked(0x88, b"x"),
    "upgrade and frames after a close": HANDSHAKE + masked(0x88, b"") + masked(0x81, b"x") * 50,
    "upgrade and a close with a wrong code": HANDSHAKE + masked(0x88, b"\x00\x01"),
    "a huge header": b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "ten thousand headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    "a negative length": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length of many digits": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "two lengths": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a broken chunk": b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "a body cut short": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
    "a strange target": b"GET http://[::1/%zz%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\nHost: x\r\n\r\n",
    "a request cut by noise": GET[:12] + RANDOM.randbytes(100) + b"\r\n\r\n",
}


async def test_no_garbage_ends_the_server_or_leaves_a_task(caplog):
    async with running() as server:
        before = server.tasks()

        async def one(data):
            await talk(server.port, data)

        async with trio.open_nursery() as nursery:
            for data in GARBAGE.values():
                nursery.start_soon(one, data)
        answer = await talk(server.port, GET)
        while server.tasks() > before:
            await trio.testing.wait_all_tasks_blocked()
        after = server.tasks()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert after == before
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_that_is_cut_off_by_a_reset_ends_nothing(name, caplog):
    async with running() as server:
        stream = await trio.open_tcp_stream(LOCAL, server.port)
        no_time = struct.pack("ii", 1, 0)  # with it close is a reset
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)
        with trio.move_on_after(1):
            await stream.send_all(GARBAGE[name][: len(GARBAGE[name]) // 2])
        await stream.aclose()
        answer = await talk(server.port, GET)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
