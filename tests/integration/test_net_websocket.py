"""WebSockets as clients see them: messages whole and in order, limits, and an orderly end for everyone."""

import contextlib
import logging
import socket

import pytest
import trio
import trio.testing
import websockets.exceptions
import websockets.sync.client

from dispatcher import settings
from dispatcher.net import tls as net_tls
from dispatcher.net.websocket import text_frame
from tests.integration.net_server import (
    LOCAL,
    SECURE,
    SMALL,
    client_tls,
    masked,
    open_raw,
    rest_of,
    running,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return net_tls.self_signed(tmp_path_factory.mktemp("tls"))


def echo_with_their_client(connect):
    """Exercise a connection with a client library that is not ours; to be run in a thread."""
    with connect() as client:
        answers = []
        for message in ("hello", "", "x" * 70_000, "grüße ☃", b"", b"\x00\xff" * 200):
            client.send(message)
            answers.append(client.recv(timeout=10) == message)
        client.send(["in ", "three ", "fragments"])
        answers.append(client.recv(timeout=10) == "in three fragments")
        client.send([b"\x01", b"", b"\x02"])
        answers.append(client.recv(timeout=10) == b"\x01\x02")
        client.ping("alive?").wait(10)
        return answers


async def test_text_binary_and_fragments_come_back_over_ws():
    async with running() as server:
        url = f"ws://{LOCAL}:{server.port}/echo"
        answers = await trio.to_thread.run_sync(
            echo_with_their_client, lambda: websockets.sync.client.connect(url, compression=None)
        )

    assert all(answers)


async def test_a_client_that_offers_compression_is_served_without():
    async with running() as server:
        url = f"ws://{LOCAL}:{server.port}/echo"
        answers = await trio.to_thread.run_sync(
            echo_with_their_client, lambda: websockets.sync.client.connect(url)
        )

    assert all(answers)


async def test_text_binary_and_fragments_come_back_over_wss(certificate):
    context = net_tls.make_context(certificate.certificate, certificate.key)
    trusting = client_tls(certificate.certificate)
    async with running(SECURE, tls=context) as server:
        url = f"wss://localhost:{server.port}/echo"
        answers = await trio.to_thread.run_sync(
            echo_with_their_client, lambda: websockets.sync.client.connect(url, ssl=trusting)
        )

    assert all(answers)
    assert server.site.peers[0].is_tls
    assert server.site.peers[0].may_send_password


async def test_text_binary_and_fragments_come_back_over_a_unix_socket(tmp_path):
    path = tmp_path / "socket"
    async with running(settings.Listener(path=path)):
        answers = await trio.to_thread.run_sync(
            echo_with_their_client,
            lambda: websockets.sync.client.unix_connect(str(path), "ws://localhost/echo"),
        )

    assert all(answers)


@pytest.mark.parametrize("is_fragmented", [False, True], ids=["one frame", "fragments"])
async def test_a_message_above_the_limit_is_answered_with_1009(is_fragmented):
    async with running(limits=SMALL) as server:
        url = f"ws://{LOCAL}:{server.port}/echo"

        def send_too_much():
            with websockets.sync.client.connect(url, compression=None) as client:
                # Our side may be gone before all of it is sent.
                with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                    client.send((["x" * 60_000] * 2) if is_fragmented else "x" * 5_000_000)
                with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                    client.recv(timeout=10)
                return closed.value.rcvd and closed.value.rcvd.code

        code = await trio.to_thread.run_sync(send_too_much)

    assert code == 1009


async def test_the_limit_counts_bytes_also_of_letters_that_need_several():
    async with running(limits=SMALL) as server:
        stream, rest = await open_raw(server.port)
        async with stream:
            await stream.send_all(masked(0x81, ("☃" * 40_000).encode()))
            rest += await rest_of(stream)

    assert rest[2:4] == (1009).to_bytes(2)


async def test_several_messages_above_the_limit_at_once_end_only_that_connection(caplog):
    async with running(limits=settings.Limits(message_bytes=10)) as server:
        stream, rest = await open_raw(server.port)
        async with stream:
            await stream.send_all(masked(0x81, b"x" * 11) * 5 + masked(0x89, b"p"))
            rest += await rest_of(stream)
        stream, _ = await open_raw(server.port)
        await stream.aclose()

    assert rest[2:4] == (1009).to_bytes(2)
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


async def test_text_that_is_not_utf8_is_answered_with_1007():
    async with running() as server:
        stream, rest = await open_raw(server.port)
        async with stream:
            await stream.send_all(masked(0x81, b"\xff\xfe"))
            rest += await rest_of(stream)

    assert rest[2:4] == (1007).to_bytes(2)


async def test_a_frame_without_a_mask_is_answered_with_1002():
    async with running() as server:
        stream, rest = await open_raw(server.port, behind=b"\x81\x02hi")
        async with stream:
            rest += await rest_of(stream)

    assert rest[2:4] == (1002).to_bytes(2)


async def test_pings_are_answered_while_the_session_is_busy():
    async with running() as server:
        stream, rest = await open_raw(server.port, "/deaf")
        async with stream:
            await stream.send_all(masked(0x81, b"work") * 100 + masked(0x89, b"alive?"))
            while b"\x8a\x06alive?" not in rest:
                rest += await stream.receive_some()
            before = rest
            server.site.go.set()
            rest = b""
            while len(rest) < 600:
                rest += await stream.receive_some()

    assert before == b"\x8a\x06alive?"
    assert rest == text_frame(b"work") * 100


async def test_a_busy_session_holds_the_client_back_and_loses_nothing():
    async with running(limits=SMALL) as server:
        stream, rest = await open_raw(server.port, "/deaf")
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        count = 150
        messages = b"".join(masked(0x82, b"%03d" % n + b"x" * 20_000) for n in range(count))
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, messages)
            await trio.testing.wait_all_tasks_blocked(cushion=0.1)
            held_back = len(nursery.child_tasks) == 1
            server.site.go.set()
            while len(rest) < count * 20_007:
                rest += await stream.receive_some()

    assert held_back
    assert [int(rest[n * 20_007 + 4 :][:3]) for n in range(count)] == list(range(count))


@pytest.mark.parametrize(("size", "head"), [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_a_text_frame_has_the_shortest_length_field(size, head):
    frame = text_frame(b"x" * size)

    assert len(frame) == head + size
    assert frame[0] == 0x81
