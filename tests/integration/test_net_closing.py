"""How a WebSocket ends: by the peer, by its session, by a reader that stops, and when the server stops."""

import contextlib
import logging

import pytest
import trio
import trio.testing
import websockets.exceptions
import websockets.sync.client

from dispatcher import settings
from dispatcher.net import connection as net_connection
from dispatcher.net import websocket as net_websocket
from dispatcher.net.websocket import text_frame
from tests.integration.net_server import LOCAL, SMALL, masked, open_raw, read_until, rest_of, running


async def test_messages_sent_right_before_a_goodbye_are_still_received():
    async with running() as server:
        stream, _ = await open_raw(server.port, "/deaf")
        async with stream:
            await stream.send_all(masked(0x81, b"run this") * 3 + masked(0x88, (1000).to_bytes(2)))
            answer = await stream.receive_some()
            server.site.go.set()
            answer += await rest_of(stream)

        await server.site.left()

    assert answer == b"\x88\x02\x03\xe8"


async def test_a_reader_that_stops_is_closed_after_the_send_timeout_and_delays_nobody(caplog):
    caplog.set_level(logging.INFO, "dispatcher.net")
    frame = text_frame(b"x" * 5000)
    async with running(limits=SMALL) as server:
        slow, _ = await open_raw(server.port, "/hub")
        await server.site.arrived()
        quick, _ = await open_raw(server.port, "/hub")
        await server.site.arrived()
        slow_member, quick_member = server.site.members
        async with slow, quick, trio.open_nursery() as nursery:

            async def read_all():
                total = 0
                while total < 5000 * len(frame):
                    total += len(await quick.receive_some())

            nursery.start_soon(read_all)
            refused = 0
            for _ in range(5000):
                refused += not slow_member.offer(frame)
                while not quick_member.offer(frame):
                    await trio.lowlevel.checkpoint()
            await server.site.left()  # the slow one's: both clients are still here

    assert refused > 0
    assert "has read nothing for 0.5 s" in caplog.text


async def test_a_send_to_a_reader_that_stops_raises_and_the_session_ends():
    async with running(limits=SMALL) as server:
        stream, _ = await open_raw(server.port, "/echo")
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(masked(0x82, b"x" * 50_000))
            await server.site.left()


async def test_fifty_clients_get_the_same_frame_bytes_in_the_same_order():
    expected = b"".join(text_frame(b'{"number": %d}' % n) for n in range(200))
    received = []
    async with running() as server:

        async def listen():
            stream, rest = await open_raw(server.port, "/hub")
            async with stream:
                while len(rest) < len(expected):
                    rest += await stream.receive_some()
            received.append(rest)

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(listen)
            await server.site.arrived(50)
            for n in range(200):
                frame = text_frame(b'{"number": %d}' % n)
                assert all(member.offer(frame) for member in server.site.members)

    assert received == [expected] * 50


async def test_a_stopped_server_says_1001_to_every_client():
    async with running() as server:
        url = f"ws://{LOCAL}:{server.port}/hub"
        codes = []

        def listen():
            with (
                websockets.sync.client.connect(url) as client,
                pytest.raises(websockets.exceptions.ConnectionClosed) as closed,
            ):
                client.recv(timeout=10)
            codes.append(closed.value.rcvd and closed.value.rcvd.code)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.to_thread.run_sync, listen)
            await server.site.arrived(5)
            with trio.fail_after(1):  # they all answer, so nothing is waited for
                await server.stop()

    assert codes == [1001] * 5


async def test_a_stopped_server_sends_what_waits_before_it_says_goodbye():
    frame = text_frame(b"x" * 50_000)
    goodbye = b"\x88\x02" + (1001).to_bytes(2)
    async with running() as server:
        stream, rest = await open_raw(server.port, "/hub")
        await server.site.arrived()
        async with stream, trio.open_nursery() as nursery:
            for _ in range(60):
                assert server.site.members[0].offer(frame)
            nursery.start_soon(server.stop)
            while len(rest) < 60 * len(frame) + len(goodbye):
                rest += await stream.receive_some()
            await stream.send_all(masked(0x88, goodbye[2:]))
            await stream.aclose()

    assert rest == frame * 60 + goodbye


async def test_a_stopped_server_does_not_wait_for_a_client_that_says_nothing(monkeypatch):
    monkeypatch.setattr(net_websocket, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(net_connection, "LINGER_SECONDS", 0.1)
    async with running() as server:
        stream, _ = await open_raw(server.port, "/hub")
        await server.site.arrived()
        with trio.fail_after(2):
            await server.stop()
        await stream.aclose()


async def test_a_session_may_close_with_its_own_code_and_reason():
    async with running() as server:
        stream, rest = await open_raw(server.port, "/bye", behind=masked(0x81, b"enough"))
        async with stream:
            while len(rest) < 10:
                rest += await stream.receive_some()
            await stream.send_all(masked(0x88, (4001).to_bytes(2)))
            rest += await rest_of(stream)

    assert rest == b"\x88\x08" + (4001).to_bytes(2) + b"enough"


async def test_a_session_that_fails_is_logged_and_closed_with_1011_and_the_server_goes_on(caplog):
    async with running() as server:
        stream, rest = await open_raw(server.port, "/crash", behind=masked(0x81, b"go"))
        async with stream:
            while len(rest) < 4:
                rest += await stream.receive_some()
        stream, _ = await open_raw(server.port, "/echo", behind=masked(0x81, b"go"))
        await stream.aclose()

    assert rest == b"\x88\x02" + (1011).to_bytes(2)
    assert "a WebSocket session failed" in caplog.text


async def test_an_answered_ping_keeps_the_connection_and_notes_that_the_peer_was_heard():
    async with running(limits=settings.Limits(ping_time=0.1)) as server:
        stream, rest = await open_raw(server.port, "/hub")
        async with stream:
            await server.site.arrived()
            member = server.site.members[0]
            before = member.last_heard
            for _ in range(5):
                while len(rest) < 6:  # head of two bytes, payload of four
                    rest += await stream.receive_some()
                assert rest[:2] == b"\x89\x04"
                await stream.send_all(masked(0x8A, rest[2:6]))
                rest = rest[6:]
            await stream.send_all(masked(0x81, b"still here"))
            await read_until(stream, b"still here")

    assert member.last_heard > before


async def test_a_missed_pong_ends_the_session_although_the_peer_goes_on_talking():
    async with running(limits=settings.Limits(ping_time=0.1)) as server:
        stream, _ = await open_raw(server.port)
        async with stream, trio.open_nursery() as nursery:

            async def talk_on():
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    while True:
                        await stream.send_all(masked(0x81, b"x"))
                        await trio.sleep(0.01)

            nursery.start_soon(talk_on)
            heard = await read_until(stream, b"no pong within 0.1 s")
            await server.site.left()
            nursery.cancel_scope.cancel()

    assert (1011).to_bytes(2) + b"no pong" in heard


async def test_a_session_that_is_behind_is_not_blamed_on_the_peer():
    # Long enough for the echo of all after the session goes on: this client never answers a ping.
    async with running(limits=settings.Limits(ping_time=0.5)) as server:
        stream, rest = await open_raw(server.port, "/deaf")
        async with stream:
            # More than the inbox takes, so that no pong of ours could be read.
            await stream.send_all(masked(0x81, b"x") * 400)
            await trio.sleep(1.5)
            server.site.go.set()
            while len(rest) < 3 * 400:
                piece = await stream.receive_some()
                assert piece, "the server has closed the connection"
                rest = without_pings(rest + piece)

    assert rest == b"\x81\x01x" * 400


def without_pings(data):
    """Take out the pings between small frames."""
    found = b""
    while data:
        size = 2 + data[1] if len(data) > 1 else 1
        found += b"" if data[0] == 0x89 and len(data) >= size else data[:size]
        data = data[size:]
    return found


async def test_a_server_that_stops_in_the_middle_of_a_handshake_does_not_wait_for_the_client(nursery):
    ours, theirs = trio.testing.memory_stream_pair()
    closes = trio.Event()

    async def session(_socket):
        await trio.sleep_forever()

    async def hang_up():  # after a while, for otherwise a server that waits would wait for ever
        with trio.move_on_after(3):
            await closes.wait()
        await theirs.aclose()

    nursery.start_soon(hang_up)
    begun = trio.current_time()
    with trio.CancelScope() as stopping:
        stopping.cancel()
        await net_websocket.run_socket(ours, "dGhlIHNhbXBsZSBub25jZQ==", b"", SMALL, session)

    assert trio.current_time() - begun < 1
    closes.set()
