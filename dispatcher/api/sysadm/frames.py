"""From a change of a job to the encoded record of its event: read what its log holds, then encode."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from dispatcher.api.sysadm.codec import encode_record
from dispatcher.api.sysadm.records import Span, read_text, record, spans
from dispatcher.core.model import Job, Value
from dispatcher.errors import DispatcherError

# (job number, start, end) -> the bytes of its log between them, or fewer if the file is shorter.
# Reads in a thread; raises DispatcherError or OSError if the log cannot be read.
ReadLogText = Callable[[int, int, int], Awaitable[bytes]]


class Change(Value, frozen=True):
    """A job as it was when something was told, and how much of its log was known then."""

    job: Job
    length: int
    is_output: bool = False  # no numbered change: only its log has grown


class Frames:
    """Read and encode. At most `command_bytes` of one command's output and `event_bytes` in all."""

    def __init__(self, read_log_text: ReadLogText, command_bytes: int, event_bytes: int) -> None:
        self._read_log_text = read_log_text
        self._command_bytes = command_bytes
        self._event_bytes = event_bytes

    async def encode(self, changes: Sequence[Change]) -> list[bytes]:
        """Give the encoded record of each change, in their order; the logs are read side by side."""
        records = [b""] * len(changes)
        async with trio.open_nursery() as nursery:
            for place, change in enumerate(changes):
                parts = spans(change.job, change.length, self._command_bytes, self._event_bytes)
                if any(part.end > part.start for part in parts):
                    nursery.start_soon(self._read_into, records, place, change.job, parts)
                else:
                    texts = [read_text(part, b"") for part in parts]
                    records[place] = encode_record(record(change.job, texts))
        return records

    async def _read_into(self, records: list[bytes], place: int, job: Job, parts: list[Span]) -> None:
        try:
            data = await self._read(job.number, parts)
        except (DispatcherError, OSError) as error:
            texts = [f"[the log cannot be read: {error}]\n"] * len(parts)
        else:
            texts = [read_text(part, piece) for part, piece in zip(parts, data, strict=True)]
        records[place] = encode_record(record(job, texts))

    async def _read(self, number: int, parts: Sequence[Span]) -> list[bytes]:
        """Read each part; what lies side by side in the file is read at once."""
        pieces: list[bytes] = []
        for run in _side_by_side(parts):
            start, end = run[0].start, run[-1].end
            data = await self._read_log_text(number, start, end) if end > start else b""
            pieces.extend(data[part.start - start : part.end - start] for part in run)
        return pieces


def _side_by_side(parts: Sequence[Span]) -> list[list[Span]]:
    runs: list[list[Span]] = []
    for part in parts:
        if runs and runs[-1][-1].end == part.start:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs
