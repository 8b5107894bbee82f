"""HTTP/1.1 by h11: request after request on one connection, until it ends or becomes a WebSocket.

Requests are whole: a body is read to its end, within its limit, before the handler is called. Only a
handler that says so (`Streaming`) is called at once, and reads and writes piece by piece.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import h11
import msgspec
import trio

from dispatcher import settings
from dispatcher.net.exchange import BODY_SECONDS, BrokenOff, Exchange, Streaming
from dispatcher.net.handshake import Refusal, require_handshake, wants_websocket
from dispatcher.net.http_messages import Request, Response, plain, read_head, whole_head
from dispatcher.net.http_wire import HttpWire
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import Socket

__all__ = ["Conversation", "HttpHandler", "Request", "Response", "Routes", "SocketHandler", "Upgrade"]

HEAD_SECONDS = 30.0

log = logging.getLogger("dispatcher.net")


HttpHandler = Callable[[Request, bytes], Awaitable[Response]]
SocketHandler = Callable[[Socket, Request], Awaitable[None]]


class Routes(Protocol):
    """Who serves which request."""

    def http(self, request: Request) -> HttpHandler | Streaming:
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
        self._wire = HttpWire(stream, limits.send_timeout)
        self._h11 = self._wire.state
        self._peer = peer
        self._routes = routes
        self._limits = limits

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
            except BrokenOff as error:
                log.debug("a transfer broke off: %s", error)
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
            event = await self._wire.event()
        if waited.cancelled_caught:
            if not self._h11.trailing_data[0]:
                return None
            raise Refusal(408, f"cannot read the request: its head took longer than {HEAD_SECONDS:g} s")
        return event if isinstance(event, h11.Request) else None

    async def _exchange(self, head: h11.Request) -> Upgrade | None:
        request = read_head(head, self._peer)
        if request.method == "CONNECT":
            raise Refusal(501, "cannot CONNECT: this is no proxy")
        socket = self._routes.socket(request) if wants_websocket(request) else None
        if socket is not None:
            body = await self._body(request)
            key = require_handshake(request, head.http_version.decode("ascii"), body)
            return Upgrade(socket, request, key, self._h11.trailing_data[0])
        handler = self._handler(request)
        if isinstance(handler, Streaming):
            await self._stream(handler, request)
        else:
            body = await self._body(request)
            await self._wire.reply(request.method, await self._handle(handler, request, body))
        return None

    async def _body(self, request: Request) -> bytes:
        limit = self._limits.message_bytes
        too_large = Refusal(413, f"cannot take the request: its body is above {limit} bytes")
        # h11 has checked that this is a number; told before a byte of the body is asked for.
        if int(request.header("content-length") or 0) > limit:
            raise too_large
        await self._wire.go_on()
        body = bytearray()
        while True:
            with trio.move_on_after(BODY_SECONDS) as waited:
                event = await self._wire.event()
            if waited.cancelled_caught:
                raise Refusal(408, f"cannot read the request: no byte of its body for {BODY_SECONDS:g} s")
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > limit:
                raise too_large

    def _handler(self, request: Request) -> HttpHandler | Streaming:
        try:
            return self._routes.http(request)
        except Exception:
            log.exception("cannot route %s %s", request.method, request.path)
            return _failed

    async def _handle(self, handler: HttpHandler, request: Request, body: bytes) -> Response:
        response = _FAULT
        try:
            answer = await handler(request, body)
            whole_head(answer)  # a header that cannot be sent is found here
            response = answer
        except* Exception:
            log.exception("cannot answer %s %s", request.method, request.path)
        return response

    async def _stream(self, handler: Streaming, request: Request) -> None:
        exchange = Exchange(request, self._wire)
        try:
            await handler.handle(exchange)
        except (Refusal, BrokenOff):
            raise
        except Exception:
            # The edge of the server: a fault in one exchange ends no other. Without its last chunk a
            # client sees that an answer is not whole.
            log.exception("cannot answer %s %s", request.method, request.path)
            if exchange.is_unanswered:
                await exchange.answer(_FAULT)

    async def _refuse(self, refusal: Refusal) -> None:
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = (*refusal.headers, ("connection", "close"))
            await self._wire.reply("GET", plain(refusal.status, refusal.sentence, headers))


_FAULT = plain(500, "the request failed inside the dispatcher; its log says why")


async def _failed(_request: Request, _body: bytes) -> Response:
    return _FAULT
