"""Increments: the part of a job's log that no earlier event of it held.

Clients append these texts to what they show, so each byte must come once, whatever is merged, cut or
split in between. An offset counts as shown when the event that held it was handed to listeners.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from dispatcher.api.sysadm.event_classes import EventClasses
from dispatcher.api.sysadm.events import Change, Event, Increment
from dispatcher.api.sysadm.records import extent
from dispatcher.core.model import Finished, Job, Pending, Value


class _Shown(Value, frozen=True):
    """How far events went: the log's offset, and how many commands had begun then.

    `rest` are the last bytes before the offset: a character of which more is to come.
    """

    offset: int = 0
    begun: int = 0
    rest: bytes = b""


class Increments:
    """How much of the log of each job of a class was shown; nothing is kept of other jobs."""

    def __init__(self, classes: EventClasses) -> None:
        self._classes = classes
        self._shown: dict[int, _Shown] = {}

    def shown(self, number: int) -> int:
        """Give the offset in a job's log up to which its events held the text."""
        shown = self._shown.get(number, _Shown())
        return shown.offset - len(shown.rest)

    def plan(self, changes: Iterable[Change]) -> list[Change]:
        """Say for each change which part of the log is new with it; they are handed out in this order."""
        ahead: dict[int, _Shown] = {}
        planned: list[Change] = []
        for change in changes:
            job = change.job
            if self._classes.find(job.key) is None:
                planned.append(change)
                continue
            before = ahead.get(job.number) or self._shown.get(job.number, _Shown())
            start, end = _fresh(job, change.length, before)
            ahead[job.number] = _Shown(end, begun(job))
            planned.append(Change(job, change.length, change.is_output, (start, end)))
        return planned

    def take(self, change: Change, event: Event) -> Event:
        """Note that an event is handed out; give it with the increment that is right for it."""
        if change.fresh is None:
            return event
        number = change.job.number
        rest = self._shown.get(number, _Shown()).rest
        if isinstance(change.job.phase, Finished | Pending):
            self._shown.pop(number, None)
        found = event.increment
        data = found.data if found.cut else rest + found.data
        cut = found.cut + len(rest) if found.cut else 0
        # Only while a command goes on writing can the end of the text be half a character.
        held = _unfinished(data) if change.is_output else 0
        if not isinstance(change.job.phase, Finished | Pending):
            self._shown[number] = _Shown(change.fresh[1], begun(change.job), data[len(data) - held :])
        return event.with_increment(Increment(data[: len(data) - held], cut))

    def pass_over(self, change: Change) -> None:
        """Note that nobody was there to hear a change."""
        if isinstance(change.job.phase, Finished):
            self._shown.pop(change.job.number, None)

    def keep(self, running: AbstractSet[int]) -> None:
        """Forget all jobs but these: the others ended while nobody listened."""
        self._shown = {number: shown for number, shown in self._shown.items() if number in running}


def begun(job: Job) -> int:
    """Count the commands that have begun; the first begins with the job."""
    return 0 if isinstance(job.phase, Pending) else max(1, len(job.runs))


def _fresh(job: Job, length: int, before: _Shown) -> tuple[int, int]:
    if isinstance(job.phase, Pending):
        return 0, 0
    # On a full disk a command's end may lie before what was seen of it; the next one begins there.
    nexts: Sequence[int] = [run.log_start for run in job.runs[before.begun : before.begun + 1]]
    start = min([before.offset, *nexts])
    return start, max(start, extent(job, length))


def _unfinished(data: bytes) -> int:
    """Count the bytes at the end that are the beginning of one UTF-8 character."""
    for count in range(1, min(3, len(data)) + 1):
        byte = data[-count]
        if byte & 0xC0 == 0x80:
            continue
        wanted = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4 if byte & 0xF8 == 0xF0 else 1
        return count if wanted > count else 0
    return 0
