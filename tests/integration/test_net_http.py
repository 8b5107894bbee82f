"""HTTP as clients see it: whole requests in, whole answers out, and nothing on the wire ends the server."""

import http.client

import pytest
import trio
import trio.testing

from dispatcher import settings
from dispatcher.net import http as net_http
from dispatcher.net.http import Request
from dispatcher.net.peer import Peer
from tests.integration.net_server import (
    LOCAL,
    SMALL,
    masked,
    open_raw,
    read_until,
    rest_of,
    running,
    talk,
)

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def body_of(answer):
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("request_bytes", "path", "body"),
    [
        (GET, "/a", b""),
        (b"PUT /b?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "/b", b"hello"),
        (b"PUT /c%20d HTTP/1.1\r\nHost: x\r\n\r\n", "/c d", b""),
        (
            b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            "/c",
            b"hello",
        ),
        (b"GET http://x/full?q HTTP/1.1\r\nHost: x\r\n\r\n", "/full", b""),
        (b"GET /old HTTP/1.0\r\n\r\n", "/old", b""),
    ],
    ids=["no body", "content-length", "absent body", "chunked", "absolute target", "HTTP/1.0"],
)
async def test_a_request_reaches_its_handler_whole(request_bytes, path, body):
    async with running() as server:
        answer = await talk(server.port, request_bytes)

    (request, got) = server.site.requests[0]
    assert (request.path, got) == (path, body)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert body_of(answer) == f"{request.method} {path} ".encode() + body
    assert b"content-length: %d\r\n" % len(body_of(answer)) in answer.lower()
    assert b"date: " in answer.lower()


async def test_two_requests_in_one_segment_are_answered_in_order():
    async with running() as server:
        answer = await talk(server.port, GET + GET.replace(b"/a", b"/b"))

    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.index(b"GET /a ") < answer.index(b"GET /b ")


async def test_a_connection_is_kept_for_further_requests_by_another_client_library():
    async with running() as server:

        def ask_three_times():
            client = http.client.HTTPConnection(LOCAL, server.port, timeout=10)
            try:
                answers = []
                for number in range(3):
                    client.request("PUT", f"/{number}", body=b"x" * 1000)
                    answers.append(client.getresponse().read())
                return answers
            finally:
                client.close()

        answers = await trio.to_thread.run_sync(ask_three_times)

    assert answers == [b"PUT /%d " % n + b"x" * 1000 for n in range(3)]
    assert len({request.peer.port for request, _ in server.site.requests}) == 1


async def test_an_answer_to_head_has_the_length_and_no_body():
    async with running() as server:
        answer = await talk(server.port, b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")

    assert b"content-length: 8\r\n" in answer.lower()
    assert body_of(answer) == b""


async def test_a_client_that_expects_100_continue_gets_it_before_it_sends_the_body():
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(
            b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        go_on = await read_until(stream, b"\r\n\r\n")
        await stream.send_all(b"{}")
        answer = await read_until(stream, b"{}")

    assert go_on.startswith(b"HTTP/1.1 100 Continue\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 100001\r\n\r\n",
        b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n10000\r\n" + b"x" * 65536,
    ],
    ids=["length", "expect", "chunked"],
)
async def test_a_body_above_the_limit_is_answered_with_413(head):
    async with running(limits=SMALL) as server:
        answer = await talk(server.port, b"PUT /a HTTP/1.1\r\nHost: x\r\n" + head)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert b"above 100000 bytes" in answer


async def test_a_client_that_sends_on_and_on_still_reads_the_413():
    async with running(limits=SMALL) as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        await stream.send_all(b"x" * 3_000_000)
        answer = await rest_of(stream)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_head_that_never_ends_is_answered_with_431():
    async with running() as server:
        answer = await talk(server.port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000)

    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_does_not_come_in_time_is_answered_with_408(monkeypatch):
    monkeypatch.setattr(net_http, "HEAD_SECONDS", 0.1)
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHo")
        answer = await rest_of(stream)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_connection_without_a_request_is_closed_in_silence(monkeypatch):
    monkeypatch.setattr(net_http, "HEAD_SECONDS", 0.1)
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        answer = await rest_of(stream)

    assert answer == b""


async def test_a_body_that_stops_coming_is_answered_with_408(monkeypatch):
    monkeypatch.setattr(net_http, "BODY_SECONDS", 0.1)
    async with running() as server, await trio.open_tcp_stream(LOCAL, server.port) as stream:
        await stream.send_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
        answer = await rest_of(stream)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_handler_that_fails_is_logged_and_answered_with_500(caplog):
    async with running() as server:
        answer = await talk(server.port, GET.replace(b"/a", b"/crash") + GET)

    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"broken on purpose" not in answer
    assert "cannot answer GET /crash" in caplog.text
    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_connections_above_the_limit_are_turned_away_with_503(caplog):
    async with running(limits=settings.Limits(connections=2)) as server:
        first, _ = await open_raw(server.port)
        second, _ = await open_raw(server.port)
        refused = await talk(server.port, b"")
        async with first, second:
            await first.send_all(masked(0x81, b"hi"))
            await read_until(first, b"hi")
            await first.send_all(masked(0x88, b""))
            await rest_of(first)
        await server.site.left()
        await trio.testing.wait_all_tasks_blocked()
        accepted = await talk(server.port, GET)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert accepted.startswith(b"HTTP/1.1 200 ")
    assert "turned a client away: 2 connections" in caplog.text


async def test_one_address_may_not_take_all_places(caplog):
    limits = settings.Limits(connections_per_address=1)
    async with running(limits=limits) as server:
        first, _ = await open_raw(server.port)
        async with first:
            refused = await talk(server.port, b"")
            other = await trio.open_tcp_stream(LOCAL, server.port, local_address="127.0.0.2")
            async with other:
                await other.send_all(GET)
                await read_until(other, b"HTTP/1.1 200 ")

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"raise limits: connections_per_address" in refused
    assert "turned a client away: 1 connections are open (limits: connections_per_address)" in caplog.text


@pytest.mark.parametrize(("status", "line"), [(404, b"404 Not Found"), (299, b"299 ")])
async def test_a_status_line_says_in_words_what_the_number_means(status, line, monkeypatch):
    async with running() as server:

        async def answer_so(request, body):
            return net_http.Response(status)

        monkeypatch.setattr(server.site, "http", lambda request: answer_so)
        answer = await talk(server.port, GET)

    assert answer.startswith(b"HTTP/1.1 " + line + b"\r\n")


def test_a_header_that_came_twice_is_joined_and_an_absent_one_is_empty():
    peer = Peer(LOCAL, 1, None, None, is_tls=False, may_send_password=True)
    request = Request("GET", "/a", (("x", "1"), ("y", "2"), ("x", "3")), peer)

    assert request.header("x") == "1, 3"
    assert request.header("z") == ""


async def test_a_broken_request_line_is_answered_with_400_and_a_sentence():
    async with running() as server:
        answer = await talk(server.port, b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert body_of(answer).startswith(b"cannot read the request: ")
