"""One WebSocket: messages in, frames out, an orderly end.

trio-websocket does the protocol; it reads and writes through `OutboxStream`. Its tasks live in a
shielded nursery, because it can only say goodbye while its reader runs.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable

import trio
import trio_websocket

from dispatcher import settings
from dispatcher.net.handshake import replayed_head
from dispatcher.net.inbox import Inbox
from dispatcher.net.outbox import CLOSE, Outbox, OutboxStream

HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 2.0

TEXT = 0x81
BINARY = 0x82
UNSENDABLE = {1005, 1006, 1015}  # codes that stand for "there was none" (RFC 6455, 7.4.1)

log = logging.getLogger("dispatcher.net")


class SocketClosed(Exception):
    """The WebSocket has ended: by the peer, by us, or because the peer stopped reading."""


def text_frame(payload: bytes) -> bytes:
    """Write one whole text frame. Server frames are not masked, so it fits every client."""
    return _frame(TEXT, payload)


def payload_of(frame: bytes) -> bytes:
    """Give what stands in a frame made by `text_frame`."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2) + payload
    return bytes((first, 127)) + size.to_bytes(8) + payload


class Socket:
    """What a session has of its client.

    One task of the session should always be in `receive`: that is how it learns of the end.
    Messages that came before the end are still received.
    """

    def __init__(
        self,
        connection: trio_websocket.WebSocketConnection,
        stream: OutboxStream,
        outbox: Outbox,
        inbox: Inbox,
        limit_bytes: int,
    ) -> None:
        self._limit = limit_bytes
        self._is_paused = False
        self._pinging = trio.CancelScope()
        self._connection = connection
        self._stream = stream
        self._outbox = outbox
        self._inbox = inbox
        self._closing: trio.CancelScope | None = None

    @property
    def on_drained(self) -> Callable[[], None]:
        """What is called, in the sending task, when there is room again after a refused offer."""
        return self._outbox.on_drained

    @on_drained.setter
    def on_drained(self, function: Callable[[], None]) -> None:
        self._outbox.on_drained = function

    def call_when_drained(self, function: Callable[[], None]) -> None:
        """Call one more function whenever `on_drained` is called."""
        self._outbox.also_on_drained.append(function)

    @property
    def last_heard(self) -> float:
        """When the peer last sent anything, a pong included (trio.current_time)."""
        return self._stream.last_heard

    async def receive(self) -> str | bytes:
        """Give the next message, text or binary. Raises SocketClosed."""
        message = await self._inbox.take()
        if message is None:
            raise SocketClosed("the WebSocket is closed")
        return message

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting for room in the outbox. Raises SocketClosed."""
        frame = text_frame(message.encode()) if isinstance(message, str) else _frame(BINARY, message)
        try:
            await self._outbox.put(frame)
        except trio.ClosedResourceError as error:
            raise SocketClosed("cannot send: the WebSocket is closed") from error

    def offer(self, frame: bytes) -> bool:
        """Take a whole frame if there is room; never wait. False also when closed."""
        return self._outbox.offer(frame)

    def limit_messages(self, limit_bytes: int) -> None:
        """Close with 1009 at a message above this from now on, before more of it is kept."""
        self._limit = limit_bytes
        # The library has no public way to change it, and gathers a whole message before it gives us any.
        self._connection._max_message_size = limit_bytes  # noqa: SLF001

    def limit_outbox(self, limit_bytes: int) -> None:
        """Let so much wait for the peer from now on."""
        self._outbox.limit(limit_bytes)

    async def keep_pinging(self, ping_time: float) -> None:
        """Ping every `ping_time` seconds; close with 1011 if a pong takes as long. To be run by one task."""
        with self._pinging, contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                await trio.sleep(ping_time)
                with trio.move_on_after(ping_time) as waited:
                    await self._connection.ping()
                # A slow line may hold the ping back (the send timeout watches over that), and while the
                # session is behind we read no pong.
                if waited.cancelled_caught and not self._outbox.size and not self._is_paused:
                    await self.close(1011, f"no pong within {ping_time:g} s")
                    return

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye and wait for the peer to say it too, at most 2 s. Later calls do nothing."""
        if self._closing is not None:
            return
        self._inbox.clear()
        with trio.move_on_after(CLOSE_SECONDS) as self._closing:
            await self._connection.aclose(code, reason or None)
        self._outbox.finish()

    async def pump(self) -> None:
        """Bring messages into the inbox until the connection ends; to be run by one task."""
        try:
            while True:
                message = await self._connection.get_message()
                size = (
                    len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
                )
                if size > self._limit:
                    # The library counts characters; a limit that is about memory counts bytes.
                    await self.close(1009, f"message above {self._limit} bytes")
                    return
                self._is_paused = True
                await self._inbox.put(message, size)
                self._is_paused = False
        except trio_websocket.ConnectionClosed:
            self._outbox.finish(self._last_words())
        finally:
            self._inbox.end()
            self._pinging.cancel()

    def _last_words(self) -> bytes:
        # The library ends a connection that breaks the protocol without telling the peer why.
        # Where it has sent a close frame the outbox is finished already, and takes no second one.
        reason = self._connection.closed
        if reason is None or reason.code in UNSENDABLE:
            return b""
        return _frame(CLOSE, reason.code.to_bytes(2))

    def abandon(self) -> None:
        """Wait for no goodbye any longer: nobody reads what the peer would say."""
        self._inbox.end()
        if self._closing is not None:
            self._closing.cancel()


async def run_socket(
    transport: trio.abc.Stream,
    key: str,
    early: bytes,
    limits: settings.Limits,
    handler: Callable[[Socket], Awaitable[None]],
) -> None:
    """Accept the handshake and run the handler; return when all is sent and the tasks have ended.

    The transport stays open, unless the peer stopped reading. Cancelled, it cancels the handler
    and closes with 1001 within 2 s. A failing handler is logged and closes with 1011.
    """
    outbox = Outbox(limits.outbox_bytes)
    stream = OutboxStream(transport, outbox, replayed_head(key), early)
    async with trio.open_nursery() as nursery:
        socket, lifetime = await nursery.start(_carry, transport, stream, outbox, limits)
        code = 1001  # what a cancelled handler leaves behind: the server is going away
        try:
            try:
                await handler(socket)
                code = 1000
            except* SocketClosed:
                code = 1000
            except* Exception:
                log.exception("a WebSocket session failed and is closed")
                code = 1011
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                await socket.close(code)
                await outbox.ended.wait()
            lifetime.cancel()


async def _carry(
    transport: trio.abc.Stream,
    stream: OutboxStream,
    outbox: Outbox,
    limits: settings.Limits,
    *,
    task_status: trio.TaskStatus[tuple[Socket, trio.CancelScope]],
) -> None:
    """Run the library and the sending task, shielded from the handshake on: the given scope ends them."""
    socket: Socket | None = None
    with trio.CancelScope() as lifetime:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, outbox, transport, limits.send_timeout)
                with trio.fail_after(HANDSHAKE_SECONDS):
                    request = await trio_websocket.wrap_server_stream(
                        nursery, stream, max_message_size=limits.message_bytes
                    )
                    connection = await request.accept()
                socket = Socket(connection, stream, outbox, Inbox(limits.message_bytes), limits.message_bytes)
                stream.accepted.set()
                task_status.started((socket, lifetime))
                # If that was cancelled nobody will ever use the scope: do not hide behind it.
                await trio.lowlevel.checkpoint_if_cancelled()
                lifetime.shield = True
                nursery.start_soon(socket.keep_pinging, limits.ping_time)
                await socket.pump()
        except* Exception as group:
            # The library's reader stumbles over a ping that crosses our goodbye, for example.
            if socket is None:
                raise
            log.debug("a WebSocket ended early: %r", group.exceptions)
        finally:
            if socket is not None:
                socket.abandon()


async def _send(outbox: Outbox, transport: trio.abc.Stream, send_timeout: float) -> None:
    try:
        await outbox.run(transport, send_timeout)
    except trio.TooSlowError:
        log.info("a client has read nothing for %g s: its connection is closed", send_timeout)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    else:
        return
    await trio.aclose_forcefully(transport)
