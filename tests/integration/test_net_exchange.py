"""Bodies and answers that go through piece by piece: in order, slowed down by the slower side, never whole in memory."""

import contextlib

import pytest
import trio
import trio.testing

from dispatcher.net import exchange as net_exchange
from dispatcher.net.exchange import BrokenOff, Exchange, Streaming
from dispatcher.net.handshake import Refusal
from dispatcher.net.http import Response
from tests.integration.net_server import LOCAL, SMALL, read_until, rest_of, running, talk

POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def serving(handle, **more):
    """Run a server whose every request is handled by `handle`."""
    async with running(**more) as server:
        server.site.http = lambda _request: Streaming(handle)
        yield server


async def echo(exchange: Exchange) -> None:
    pieces = [piece async for piece in body_of(exchange)]
    await exchange.answer(Response(200, (), b"".join(pieces)))


async def body_of(exchange):
    while piece := await exchange.receive():
        yield piece


async def downwards(exchange: Exchange) -> None:
    await exchange.begin(200, (("x-one", "1"),))
    for piece in (b"one", b"", b"two"):
        await exchange.send(piece)
    await exchange.finish()


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_a_body_comes_in_pieces_and_the_connection_is_kept(body):
    async with serving(echo) as server:
        answer = await talk(server.port, POST + body + POST + body)

    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"\r\n\r\nhello") == 2
    assert b"connection: close" not in answer.lower()


async def test_a_body_may_be_larger_than_the_limit_of_a_message():
    async def count(exchange):
        total = sum([len(piece) async for piece in body_of(exchange)])
        await exchange.answer(Response(200, (), b"%d" % total))

    async with (
        serving(count, limits=SMALL) as server,
        await trio.open_tcp_stream(LOCAL, server.port) as stream,
    ):
        await stream.send_all(POST + b"Content-Length: %d\r\n\r\n" % (5 * MIB))
        await stream.send_all(bytes(5 * MIB))
        await read_until(stream, b"\r\n\r\n%d" % (5 * MIB))


async def test_who_does_not_read_slows_the_client_down():
    go = trio.Event()

    async def slow(exchange):
        await go.wait()
        await echo(exchange)

    sent = 0
    async with serving(slow) as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(POST + b"Content-Length: %d\r\n\r\n" % (64 * MIB))
        with trio.move_on_after(0.5) as waited:
            while sent < 64 * MIB:
                await stream.send_all(bytes(MIB // 4))
                sent += MIB // 4

    assert waited.cancelled_caught
    assert sent < 32 * MIB


async def test_a_client_is_asked_for_the_body_when_the_handler_wants_it_and_not_before():
    async def choosy(exchange):
        if "no" in exchange.request.path:
            await exchange.answer(Response(403))
        else:
            await echo(exchange)

    expect = b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with serving(choosy) as server:
        refused = await talk(server.port, POST.replace(b"/a", b"/no") + expect)
        async with await trio.open_tcp_stream(LOCAL, server.port) as stream:
            await stream.send_all(POST + expect)
            go_on = await read_until(stream, b"\r\n\r\n")
            await stream.send_all(b"hi")
            answer = await read_until(stream, b"hi")

    assert refused.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in refused.lower()
    assert go_on.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_answer_before_the_end_of_the_body_ends_the_connection():
    async def early(exchange):
        await exchange.answer(Response(405, (), b"no"))

    async with serving(early) as server:
        answer = await talk(server.port, POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 1000)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"\r\n\r\nno")


async def test_a_body_that_stops_coming_is_answered_with_408(monkeypatch):
    monkeypatch.setattr(net_exchange, "BODY_SECONDS", 0.1)
    async with serving(echo) as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(POST + b"Content-Length: 5\r\n\r\nhel")
        answer = await rest_of(stream)

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 5\r\n\r\nhel", b"Transfer-Encoding: chunked\r\n\r\nno number\r\n"],
    ids=["cut off", "no chunk"],
)
async def test_a_body_that_breaks_off_is_told_to_the_handler(body):
    told = []

    async def note(exchange):
        try:
            await exchange.discard()
        except BrokenOff as error:
            told.append(error)
            raise

    async with serving(note) as server:
        answer = await talk(server.port, POST + body)

    assert answer == b""
    assert len(told) == 1


async def test_an_answer_of_unknown_length_is_chunked_and_the_connection_is_kept():
    async with serving(downwards) as server:
        async with await trio.open_tcp_stream(LOCAL, server.port) as stream:
            for _ in range(2):
                await stream.send_all(GET)
                answer = await read_until(stream, b"0\r\n\r\n")
        old = await talk_without_end(server.port, b"GET /a HTTP/1.0\r\n\r\n")
        both = await talk(server.port, b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + GET)

    assert b"transfer-encoding: chunked" in answer.lower()
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert old.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in old.lower()
    assert both.count(b"x-one: 1\r\n") == 2
    assert both.count(b"3\r\none\r\n") == 1


async def talk_without_end(port, data):
    async with await trio.open_tcp_stream(LOCAL, port) as stream:
        await stream.send_all(data)
        return await rest_of(stream)


async def test_an_answer_that_is_not_finished_is_seen_to_be_cut_off(caplog):
    async def broken(exchange):
        await exchange.begin(200, ())
        await exchange.send(b"one")
        if "fault" in exchange.request.path:
            raise RuntimeError("broken on purpose")
        raise BrokenOff("on purpose")

    async with serving(broken) as server:
        answers = [
            await talk_without_end(server.port, GET.replace(b"/a", path)) for path in (b"/x", b"/fault")
        ]

    for answer in answers:
        assert answer.endswith(b"3\r\none\r\n")
    assert caplog.text.count("cannot answer GET") == 1
    assert "a connection failed" not in caplog.text


async def test_a_fault_before_the_answer_is_500_and_a_refusal_is_itself(caplog):
    async def handler(exchange):
        if "no" in exchange.request.path:
            raise Refusal(410, "gone")
        raise RuntimeError("broken on purpose")

    async with serving(handler) as server:
        fault = await talk(server.port, GET)
        refused = await talk(server.port, GET.replace(b"/a", b"/no"))

    assert fault.startswith(b"HTTP/1.1 500 ")
    assert b"on purpose" not in fault
    assert refused.startswith(b"HTTP/1.1 410 ")
    assert caplog.text.count("cannot answer GET /a") == 1


async def test_a_client_that_reads_nothing_holds_up_the_handler_until_it_is_given_up():
    broke = trio.Event()

    async def flood(exchange):
        await exchange.begin(200, ())
        try:
            while True:
                await exchange.send(bytes(MIB))
        except BrokenOff:
            broke.set()
            raise

    async with (
        serving(flood, limits=SMALL) as server,
        await trio.open_tcp_stream(LOCAL, server.port) as stream,
    ):
        await stream.send_all(GET)
        await broke.wait()  # after SMALL's send_timeout


@pytest.mark.parametrize("is_reset", [True, False])
async def test_the_end_of_a_client_is_noticed_though_nothing_is_sent(is_reset):
    begun, gone = trio.Event(), trio.Event()

    async def wait(exchange):
        await exchange.begin(200, ())
        begun.set()
        await exchange.gone()
        gone.set()

    async with serving(wait) as server:
        stream = await trio.open_tcp_stream(LOCAL, server.port)
        await stream.send_all(GET)
        await begun.wait()
        if not is_reset:
            await read_until(stream, b"\r\n\r\n")
        await stream.aclose()
        await gone.wait()


async def test_a_next_request_that_came_early_is_not_the_end_of_the_client():
    async def wait(exchange):
        with trio.move_on_after(0.05):
            await exchange.gone()
            raise AssertionError
        await echo(exchange)

    async with serving(wait) as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(GET)
        await read_until(stream, b"\r\n\r\nHTTP/1.1 200 ")
