"""One accepted connection from its first byte to its last: TLS, HTTP, WebSocket, an orderly close.

This is the edge of the server: whatever goes wrong here is logged and ends this connection only.
"""

import logging
import ssl

import msgspec
import trio

from dispatcher import settings
from dispatcher.net.http import Conversation, Routes
from dispatcher.net.peer import Peer, peer_of
from dispatcher.net.websocket import Socket, run_socket

__all__ = ["Peer", "serve_connection"]

TLS_SECONDS = 30.0
LINGER_SECONDS = 1.0

log = logging.getLogger("dispatcher.net")


async def serve_connection(
    stream: trio.SocketStream,
    listener: settings.Listener,
    routes: Routes,
    limits: settings.Limits,
    tls: ssl.SSLContext | None,
) -> None:
    """Serve one connection; raise nothing but what cancels or stops the program."""
    try:
        peer = peer_of(stream, listener)
        if tls is None:
            await _serve(stream, stream, peer, routes, limits)
        else:
            peer = msgspec.structs.replace(peer, end_point=getattr(tls, "end_point", b""))
            secure = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            with trio.fail_after(TLS_SECONDS):
                await secure.do_handshake()
            await _serve(secure, stream, peer, routes, limits)
    except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError) as group:
        log.debug("a connection ended: %r", group.exceptions)
    except* Exception:
        log.exception("a connection failed and is closed")


async def _serve(
    stream: trio.abc.Stream,
    transport: trio.SocketStream,
    peer: Peer,
    routes: Routes,
    limits: settings.Limits,
) -> None:
    try:
        upgrade = await Conversation(stream, peer, routes, limits).run()
        if upgrade is not None:

            async def session(socket: Socket) -> None:
                await upgrade.handler(socket, upgrade.request)

            await run_socket(stream, upgrade.key, upgrade.early, limits, session)
    finally:
        await _linger(stream, transport)


async def _linger(stream: trio.abc.Stream, transport: trio.SocketStream) -> None:
    """Say that nothing follows and read what the peer still sends, for a moment.

    A socket that is closed with unread bytes is reset, and the reset may destroy our last words
    (a 413, a close frame) before the peer has read them.
    """
    try:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LINGER_SECONDS):
            if isinstance(stream, trio.SSLStream):
                await stream.unwrap()
            await transport.send_eof()
            while await transport.receive_some():
                pass
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        pass
