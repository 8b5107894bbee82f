"""HTTP/1.1 by h11: request after request on one connection, until it ends or becomes a WebSocket.

Requests are whole: a body is read to its end, within its limit, before the handler is called.
"""

import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote

import h11
import msgspec
import trio

from dispatcher import settings
from dispatcher.net.handshake import Refusal, require_handshake, wants_websocket
from dispatcher.net.outbox import send_in_slices
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import Socket

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
BODY_SECONDS = 30.0  # without a byte of it
RECEIVE_BYTES = 16 * 1024

log = logging.getLogger("dispatcher.net")


class Request(msgspec.Struct, frozen=True):
    """The head of a request; header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    peer: Peer

    @property
    def path(self) -> str:
        """The path without the query, decoded."""
        target = self.target.partition("?")[0]
        if target.lower().startswith(("http://", "https://")):
            # What is sent to a proxy; RFC 9112, 3.2.2 has every server take it.
            target = "/" + target.partition("://")[2].partition("/")[2]
        return unquote(target)

    def header(self, name: str) -> str:
        """Give a header's value, several joined by commas; "" without it. `name` is in lower case."""
        return ", ".join(value for one, value in self.headers if one == name)


class Response(msgspec.Struct, frozen=True):
    """An answer; content-length and date are added on the way."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


HttpHandler = Callable[[Request, bytes], Awaitable[Response]]
SocketHandler = Callable[[Socket, Request], Awaitable[None]]


class Routes(Protocol):
    """Who serves which request."""

    def http(self, request: Request) -> HttpHandler:
        """Give the handler of a plain request, also for paths that do not exist."""
        ...

    def socket(self, request: Request) -> SocketHandler | None:
        """Give the handler of a WebSocket, None if there is none at this path."""
        ...


class Upgrade(msgspec.Struct, frozen=True):
    """A checked WebSocket handshake; `early` came right behind it and belongs to the WebSocket."""

    handler: SocketHandler
    request: Request
    key: str
    early: bytes


class Conversation:
    """One connection that speaks HTTP."""

    def __init__(self, stream: trio.abc.Stream, peer: Peer, routes: Routes, limits: settings.Limits) -> None:
        self._stream = stream
        self._peer = peer
        self._routes = routes
        self._limits = limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    async def run(self) -> Upgrade | None:
        """Answer requests; return None at the end, or the handshake that ends the HTTP part."""
        while True:
            try:
                head = await self._head()
                if head is None:
                    return None
                upgrade = await self._exchange(head)
            except Refusal as refusal:
                await self._refuse(refusal)
                return None
            except h11.RemoteProtocolError as error:
                await self._refuse(Refusal(error.error_status_hint, f"cannot read the request: {error}"))
                return None
            if upgrade is not None:
                return upgrade
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return None
            self._h11.start_next_cycle()

    async def _head(self) -> h11.Request | None:
        with trio.move_on_after(HEAD_SECONDS) as waited:
            event = await self._event()
        if waited.cancelled_caught:
            if not self._h11.trailing_data[0]:
                return None
            raise Refusal(408, f"cannot read the request: its head took longer than {HEAD_SECONDS:g} s")
        return event if isinstance(event, h11.Request) else None

    async def _exchange(self, head: h11.Request) -> Upgrade | None:
        request = Request(
            head.method.decode("ascii"),
            head.target.decode("latin-1"),
            tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers),
            self._peer,
        )
        if request.method == "CONNECT":
            raise Refusal(501, "cannot CONNECT: this is no proxy")
        body = await self._body(request)
        if wants_websocket(request):
            handler = self._routes.socket(request)
            if handler is not None:
                key = require_handshake(request, head.http_version.decode("ascii"), body)
                return Upgrade(handler, request, key, self._h11.trailing_data[0])
        await self._reply(request.method, await self._handle(request, body))
        return None

    async def _body(self, request: Request) -> bytes:
        limit = self._limits.message_bytes
        too_large = Refusal(413, f"cannot take the request: its body is above {limit} bytes")
        # h11 has checked that this is a number; told before a byte of the body is asked for.
        if int(request.header("content-length") or 0) > limit:
            raise too_large
        if self._h11.they_are_waiting_for_100_continue:
            go_on = self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
            await send_in_slices(self._stream, go_on or b"", self._limits.send_timeout)
        body = bytearray()
        while True:
            with trio.move_on_after(BODY_SECONDS) as waited:
                event = await self._event()
            if waited.cancelled_caught:
                raise Refusal(408, f"cannot read the request: no byte of its body for {BODY_SECONDS:g} s")
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > limit:
                raise too_large

    async def _event(self) -> object:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(bytes(await self._stream.receive_some(RECEIVE_BYTES)))
            else:
                return event

    async def _handle(self, request: Request, body: bytes) -> Response:
        response = _plain(500, "the request failed inside the dispatcher; its log says why")
        try:
            answer = await self._routes.http(request)(request, body)
            _h11_response(answer, answer.body)  # a header that cannot be sent is found here
            response = answer
        except* Exception:
            log.exception("cannot answer %s %s", request.method, request.path)
        return response

    async def _refuse(self, refusal: Refusal) -> None:
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = (*refusal.headers, ("connection", "close"))
            await self._reply("GET", _plain(refusal.status, refusal.sentence, headers))

    async def _reply(self, method: str, response: Response) -> None:
        data = self._h11.send(_h11_response(response, response.body)) or b""
        if method != "HEAD" and response.body:
            data += self._h11.send(h11.Data(data=response.body)) or b""
        data += self._h11.send(h11.EndOfMessage()) or b""
        await send_in_slices(self._stream, data, self._limits.send_timeout)


def _plain(status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    body = f"{sentence}\n".encode()
    return Response(status, (("content-type", "text/plain; charset=utf-8"), *headers), body)


def _h11_response(response: Response, body: bytes) -> h11.Response:
    headers = [(name, value) for name, value in response.headers if name.lower() != "content-length"]
    if response.status not in {204, 304}:
        headers.append(("content-length", str(len(body))))
    if not any(name.lower() == "date" for name, _ in headers):
        headers.append(("date", formatdate(usegmt=True)))
    return h11.Response(status_code=response.status, headers=headers, reason=_phrase(response.status))


def _phrase(status: int) -> str:
    # h11 has none of its own, and there are clients that cannot read a status line without one.
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
