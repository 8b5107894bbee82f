"""HTTP/1.1 events over a stream: what h11 makes of the bytes that come, and its bytes on their way."""

import h11
import trio

from dispatcher.net.http_messages import Response, whole_head
from dispatcher.net.outbox import send_in_slices

HEAD_BYTES = 64 * 1024
RECEIVE_BYTES = 16 * 1024


class HttpWire:
    """One connection; `state` tells where both sides stand."""

    def __init__(self, stream: trio.abc.Stream, send_timeout: float) -> None:
        self.state = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._stream = stream
        self._send_timeout = send_timeout

    async def event(self, receive_bytes: int = RECEIVE_BYTES) -> object:
        """Give what comes next; so many bytes are read at once at most. Raises RemoteProtocolError."""
        while True:
            try:
                event = self.state.next_event()
            except ValueError as error:
                # Of h11 0.14: a Content-Length with more digits than Python reads.
                raise h11.RemoteProtocolError("bad Content-Length") from error
            if event is not h11.NEED_DATA:
                return event
            self.state.receive_data(bytes(await self._stream.receive_some(receive_bytes)))

    async def read_ahead(self) -> bool:
        """Read what comes behind a request that is read; False at the end of the connection."""
        data = await self._stream.receive_some(RECEIVE_BYTES)
        self.state.receive_data(bytes(data))
        return bool(data)

    async def go_on(self) -> None:
        """Tell a client that waits to be asked that it may send the body."""
        if self.state.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))

    async def send(self, *events: h11.Event) -> None:
        """Send events; trio.TooSlowError if the client reads nothing of it for the timeout."""
        data = b"".join(self.state.send(event) or b"" for event in events)
        await send_in_slices(self._stream, data, self._send_timeout)

    async def reply(self, method: str, response: Response) -> None:
        """Send a whole answer to a request of this method."""
        events: list[h11.Event] = [whole_head(response)]
        if method != "HEAD" and response.body:
            events.append(h11.Data(data=response.body))
        await self.send(*events, h11.EndOfMessage())
