"""From a change of a job to its event: read what its log holds, then encode."""

from collections.abc import Awaitable, Callable, Sequence

import trio

from dispatcher.api.sysadm.codec import encode_record
from dispatcher.api.sysadm.event_classes import EventClass, EventClasses, Told
from dispatcher.api.sysadm.events import NOTHING, Change, Event, Increment, Wrapping
from dispatcher.api.sysadm.records import Span, read_text, record, spans
from dispatcher.core.model import Finished, Job
from dispatcher.errors import DispatcherError

# (job number, start, end) -> the bytes of its log between them, or fewer if the file is shorter.
# Reads in a thread; raises DispatcherError or OSError if the log cannot be read.
ReadLogText = Callable[[int, int, int], Awaitable[bytes]]


class Frames:
    """Read and encode. At most `command_bytes` of one command's output and `event_bytes` in all."""

    def __init__(
        self,
        read_log_text: ReadLogText,
        command_bytes: int,
        event_bytes: int,
        classes: EventClasses | None = None,
    ) -> None:
        self.classes = classes or EventClasses()
        self._read_log_text = read_log_text
        self._command_bytes = command_bytes
        self._event_bytes = event_bytes

    async def encode(self, changes: Sequence[Change]) -> list[Event]:
        """Give the event of each change, in their order; the logs are read side by side."""
        events: dict[int, Event] = {}
        async with trio.open_nursery() as nursery:
            for place, change in enumerate(changes):
                parts = spans(change.job, change.length, self._command_bytes, self._event_bytes)
                if change.fresh is not None or any(part.end > part.start for part in parts):
                    nursery.start_soon(self._read_into, events, place, change, parts)
                else:
                    events[place] = self._event(change, [read_text(part, b"") for part in parts])
        return [events[place] for place in range(len(changes))]

    async def _read_into(
        self, events: dict[int, Event], place: int, change: Change, parts: list[Span]
    ) -> None:
        number = change.job.number
        increment, last = NOTHING, ""
        try:
            data = await self._read(number, parts)
            texts = [read_text(part, piece) for part, piece in zip(parts, data, strict=True)]
            if change.fresh is not None:
                increment = await self._read_fresh(number, *change.fresh)
                last = await self._read_last(change.job, texts)
        except (DispatcherError, OSError) as error:
            reason = f"[the log cannot be read: {error}]\n"
            texts, increment = [reason] * len(parts), Increment(reason.encode())
        events[place] = self._event(change, texts, increment, last)

    def _event(
        self, change: Change, texts: Sequence[str], increment: Increment = NOTHING, last: str = ""
    ) -> Event:
        job = change.job
        encoded = encode_record(record(job, texts))
        found = self.classes.find(job.key)
        if found is None:
            return Event(job.number, encoded)
        told = Told(job.key, job.state, _current(job), last or _current_text(job, texts))
        wrapping = Wrapping(self.classes.fields(found, told), found.log_key)
        is_last = isinstance(job.phase, Finished)
        return Event(job.number, encoded, wrapping, increment, most=self._command_bytes, is_last=is_last)

    async def _read_fresh(self, number: int, start: int, end: int) -> Increment:
        begin = max(start, end - self._command_bytes)
        data = await self._read_log_text(number, begin, end) if end > begin else b""
        return Increment(data, begin - start)

    async def _read_last(self, job: Job, texts: Sequence[str]) -> str:
        """Read more of a finished job's last command, if its class asks for that; else give ""."""
        found = self.classes.find(job.key)
        most = _bytes_of(found) if isinstance(job.phase, Finished) else 0
        if most <= self._command_bytes or len(texts) < len(job.commands):
            return ""
        (span,) = spans(job, 0, most, most)[-1:]
        if not span.cut and span.end - span.start <= self._command_bytes:
            return ""
        return read_text(span, await self._read_log_text(job.number, span.start, span.end))

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


def _bytes_of(found: EventClass | None) -> int:
    return 0 if found is None else found.finished_bytes


def _current(job: Job) -> str:
    """Give the command that runs; of a job that has not begun the first, of a finished one the last."""
    place = len(job.commands) if isinstance(job.phase, Finished) else max(1, len(job.runs))
    return job.commands[place - 1].text


def _current_text(job: Job, texts: Sequence[str]) -> str:
    # A chain that failed early never came to its last command: there is nothing to read.
    is_begun = not isinstance(job.phase, Finished) or len(texts) == len(job.commands)
    return texts[-1] if texts and is_begun else ""
