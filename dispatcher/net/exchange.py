"""One request whose body comes, or whose answer goes, piece by piece, however long either is.

No more than a piece is in memory: who does not read on from the one side slows down the other. A
handler that needs it is marked by `Streaming`; what it raises besides Refusal and BrokenOff is a fault.
"""

from collections.abc import Awaitable, Callable

import h11
import msgspec
import trio

from dispatcher.net.handshake import Refusal
from dispatcher.net.http_messages import Request, Response, open_head
from dispatcher.net.http_wire import HEAD_BYTES, HttpWire

PIECE_BYTES = 64 * 1024
BODY_SECONDS = 30.0  # without a byte of a body that is waited for

Headers = tuple[tuple[str, str], ...]


class BrokenOff(Exception):
    """The connection ended, or made no sense, in the middle of a request or an answer."""


class Exchange:
    """One request and its answer."""

    def __init__(self, request: Request, wire: HttpWire) -> None:
        self.request = request
        self._wire = wire

    @property
    def is_unanswered(self) -> bool:
        """Whether not even the head of an answer has been sent."""
        return self._wire.state.our_state is h11.SEND_RESPONSE

    async def receive(self) -> bytes:
        """Give the next bytes of the body, b"" at its end. Raises Refusal if none come, BrokenOff.

        The first call asks for the body where the client waits to be asked.
        """
        try:
            await self._wire.go_on()
            with trio.fail_after(BODY_SECONDS):
                event = await self._wire.event(PIECE_BYTES)
        except trio.TooSlowError:
            raise Refusal(
                408, f"cannot read the request: no byte of its body for {BODY_SECONDS:g} s"
            ) from None
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise BrokenOff(str(error)) from error
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def discard(self) -> None:
        """Read the rest of the body and forget it. Raises as `receive`."""
        while await self.receive():
            pass

    async def answer(self, response: Response) -> None:
        """Send a whole answer. If the body was not read to its end, the connection ends with it."""
        headers = (*response.headers, *self._last_words())
        await self._send(
            self._wire.reply(self.request.method, msgspec.structs.replace(response, headers=headers))
        )

    async def begin(self, status: int, headers: Headers) -> None:
        """Begin an answer of unknown length; `send` and `finish` follow."""
        await self._send(self._wire.send(open_head(status, (*headers, *self._last_words()))))

    async def send(self, data: bytes) -> None:
        """Send a piece of the answer, waiting until the client has room. Raises BrokenOff."""
        if data and self.request.method != "HEAD":
            await self._send(self._wire.send(h11.Data(data=data)))

    async def finish(self) -> None:
        """Say that the answer is complete. An answer without this is seen by its client to be cut off."""
        await self._send(self._wire.send(h11.EndOfMessage()))

    async def gone(self) -> None:
        """Return when the client has ended the connection; for a request without a body, or whose is read.

        Never for HEAD: whoever has the head has all, and may go.
        """
        ahead = 0
        try:
            while ahead < HEAD_BYTES and self.request.method != "HEAD":
                if not await self._wire.read_ahead():
                    return
                ahead = len(self._wire.state.trailing_data[0])
        except (h11.RemoteProtocolError, trio.BrokenResourceError):
            return
        await trio.sleep_forever()

    async def _send(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            raise BrokenOff(str(error)) from error

    def _last_words(self) -> Headers:
        """Give the header that ends the connection, if more of the body is to come."""
        try:
            while self._wire.state.their_state is h11.SEND_BODY:
                if self._wire.state.next_event() in (h11.NEED_DATA, h11.PAUSED):
                    return (("connection", "close"),)
        except h11.RemoteProtocolError:
            return (("connection", "close"),)
        return ()


class Streaming(msgspec.Struct, frozen=True):
    """A handler that reads the body itself, or answers piece by piece."""

    handle: Callable[[Exchange], Awaitable[None]]
