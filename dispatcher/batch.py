"""What one batch of the engine holds: the messages that gathered, and what they made necessary."""

from collections.abc import Callable, Iterable

import trio

from dispatcher.core import messages as m
from dispatcher.core.model import Job
from dispatcher.errors import DispatcherError


class Waiting:
    """A request in the inbox, and its answer once the batch is saved."""

    __slots__ = ("answered", "error", "message", "reply")

    def __init__(self, message: m.Request) -> None:
        self.message: m.Message = message
        self.answered = trio.Event()
        self.reply: m.Reply = None
        self.error: DispatcherError | None = None


class Posted:
    """A fact in the inbox, and whom to tell when it is saved."""

    __slots__ = ("message", "saved")

    def __init__(self, message: m.Fact, saved: Callable[[], None] | None) -> None:
        self.message: m.Message = message
        self.saved = saved


class Work:
    """What one batch has gathered, in the order in which it will be carried out."""

    def __init__(self) -> None:
        self.saves: dict[int, Job] = {}
        self.paused: dict[str, bool] = {}
        self.loads: list[tuple[str, int, int]] = []
        self.runs: list[m.Effect] = []
        self.tells: list[Job] = []
        self.done: list[Waiting | Posted] = []
        self.touched: set[int | str] = set()

    def add(self, effects: Iterable[m.Effect], entry: Waiting | Posted | None) -> None:
        """Sort the effects of one message."""
        for effect in effects:
            match effect:
                case m.Save(job=job):
                    self.saves[job.number] = job
                    self.touched.update((job.number, job.key))
                case m.SavePaused(queue=queue, paused=paused):
                    self.paused[queue] = paused
                case m.Tell(job=job):
                    self.tells.append(job)
                case m.Load(queue=queue, after=after, count=count):
                    self.loads.append((queue, after, count))
                case m.Answer(reply=reply):
                    if isinstance(entry, Waiting):
                        entry.reply = reply
                case _:
                    self.runs.append(effect)
        if entry is not None:
            self.done.append(entry)

    @property
    def changes_disk(self) -> bool:
        """Whether there is anything to save or to read."""
        return bool(self.saves or self.paused or self.loads)
