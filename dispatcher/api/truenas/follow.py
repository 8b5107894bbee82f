"""Read a job's log as text, and follow it while it grows. A character is never cut in two."""

import codecs

from dispatcher.access.roles import Caller
from dispatcher.api.job_logs import LogPiece
from dispatcher.api.service import Service
from dispatcher.api.truenas import jsonrpc
from dispatcher.api.truenas.parameters import PIECE_BYTES
from dispatcher.core.model import Value
from dispatcher.net.websocket import Socket


class Piece(Value, frozen=True):
    """Text from `offset` up to `next`; `end` if nothing more will come. Bad bytes are shown as U+FFFD."""

    text: str
    offset: int
    next: int
    size: int
    end: bool


class FollowedPiece(Value, frozen=True):
    """A piece of the followed log `follow`, of job number `job`."""

    follow: int
    job: int
    text: str
    offset: int
    next: int
    end: bool


def piece_of(read: LogPiece) -> Piece:
    """Decode what was read; a character that is not whole yet is left for the next piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(read.data, final=read.end)
    left = len(decoder.getstate()[0])
    behind = read.offset + len(read.data)
    return Piece(text, read.offset, behind - left, read.size, read.end)


class Following:
    """One client's way through one log."""

    def __init__(self, socket: Socket, service: Service, caller: Caller, number: int, job: int) -> None:
        self._socket = socket
        self._service = service
        self._caller = caller
        self._number = number
        self._job = job

    async def run(self, command: int | None, offset: int) -> None:
        """Send the log from an offset on, as fast as it is read by the client, until its end."""
        async with self._service.watch_log(self._job) as log:
            while True:
                read = await self._service.read_log(
                    self._caller, self._job, command=command, offset=offset, limit=PIECE_BYTES
                )
                piece = piece_of(read)
                if piece.text or piece.end:
                    await self._send(piece)
                if piece.end:
                    return
                if piece.next <= offset:
                    # After a restart less may be known than was sent before: nothing is sent twice.
                    await log.changed()
                offset = max(offset, piece.next)

    async def _send(self, piece: Piece) -> None:
        params = FollowedPiece(self._number, self._job, piece.text, piece.offset, piece.next, piece.end)
        await self._socket.send(jsonrpc.notification("dispatcher.log_data", params).decode())
