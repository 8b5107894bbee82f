"""The events task of SysAdm's `dispatcher` events: changes of jobs in, encoded frames out.

Events carry log text, which is read in threads, so `tell` only puts the change in a line. One task
takes them from there in batches, reads what their logs need side by side, encodes each event once
and hands it to all listeners in the order in which it was told: no late read lets `finished`
overtake `running`, and a number that was sent means that everything before it was sent too.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Mapping

import trio

from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.calls import Jobs
from dispatcher.api.sysadm.codec import encode_event
from dispatcher.api.sysadm.events import Change, Event
from dispatcher.api.sysadm.frames import Frames
from dispatcher.api.sysadm.increments import Increments, begun
from dispatcher.api.sysadm.listener import Listener
from dispatcher.core.model import Finished, Job, Pending, Running, State
from dispatcher.errors import DispatcherError
from dispatcher.hub import Hub
from dispatcher.logs.news import LogNews
from dispatcher.net.websocket import text_frame
from dispatcher.store.port import JobFilter

BATCH = 32  # events whose logs are read side by side
LINE = 4096  # waiting events; more are merged, the newest of each job stays
OUTPUT_PAUSE = 1.0  # seconds from the first new output to the event that shows it
_PAGE = 256
_SELF = Caller("", Level.READ, protocol="sysadm")

_log = logging.getLogger("dispatcher.sysadm")


class _Followed:
    """A running job: its newest value, and how much of its log is known to be there."""

    __slots__ = ("grown", "job", "length")

    def __init__(self, job: Job, length: int, grown: Callable[[int], None]) -> None:
        self.job = job
        self.length = length
        self.grown = grown


class SysadmFeed:
    """Attached to the hub only while somebody listens. `run` is the task; it never ends by itself."""

    def __init__(self, hub: Hub, jobs: Jobs, news: LogNews, frames: Frames) -> None:
        self.delivered = 0  # the number of the newest change that was handed to the listeners
        self.newest = 0  # the number of the newest change that was told
        self.frames = frames
        self.increments = Increments(frames.classes)
        self._hub = hub
        self._jobs = jobs
        self._news = news
        self._listeners: list[Listener] = []
        self._attached = 0
        # While the running jobs have still to be looked up: those told of meanwhile, which need it not.
        self._told: set[int] | None = None
        self._line: deque[Change] = deque()
        self._merge_at = LINE
        self._followed: dict[int, _Followed] = {}
        self._due: dict[int, float] = {}  # when to show a job's new output; the first is due first
        self._wake = trio.Event()

    # --- listeners --------------------------------------------------------------------------

    def attach(self) -> None:
        """Hear of changes from now on; each call needs one of `detach`."""
        self._attached += 1
        if self._attached == 1:
            self._hub.attach(self)
            self._told = set()  # what runs already will have new output to show, too
            self._wake.set()

    def detach(self) -> None:
        """Hear no more once nobody needs it."""
        self._attached -= 1
        if self._attached == 0:
            self._hub.detach(self)
            self._told = None
            for number in list(self._followed):
                self._forget(number)
            self._line.clear()

    def join(self, listener: Listener, after: int = 0, newest: Mapping[int, int] = {}) -> None:
        """Tell a listener of every change after event number `after`; `newest` is what it knows of jobs."""
        listener.after = after
        # What was handed out already cannot come again.
        listener.newest = {number: changed for number, changed in newest.items() if changed > self.delivered}
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """Tell it nothing more; nothing happens if it did not listen."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    # --- what comes in ----------------------------------------------------------------------

    def tell(self, job: Job) -> None:
        """Take one change, already saved; return at once."""
        self.newest = job.changed
        if self._told is not None:
            self._told.add(job.number)
        match job.phase:
            case Pending(stop=None):
                self._forget(job.number)  # a worker may have given it back
                self._put(Change(job, 0))
            case Pending():
                pass  # a wish to stop alters nothing that this protocol shows
            case Running():
                self._tell_running(job, job.phase)
            case Finished():
                known = self._followed.get(job.number)
                self._put(Change(job, known.length if known else 0))
                self._forget(job.number)

    def _tell_running(self, job: Job, phase: Running) -> None:
        known = self._followed.get(job.number)
        if known is not None and begun(known.job) == begun(job):
            known.job = job  # a wish to stop, or a worker silent or back
            return
        if known is None and self._told is not None and (phase.stop is not None or phase.unreachable):
            # It ran before anybody listened, and this is no start.
            self._follow(job, self._news.length(job.number) or 0)
            return
        start = job.runs[-1].log_start if job.runs else 0
        if known is None:
            known = self._follow(job, start)
        known.job, known.length = job, max(known.length, start)
        # What ended is shown whole with this; the new command's text begins empty.
        self._due.pop(job.number, None)
        self._put(Change(job, start))
        if known.length > start:
            self._arm(job.number)

    def _follow(self, job: Job, length: int) -> _Followed:
        number = job.number

        def grown(length: int) -> None:
            self._grown(number, length)

        self._followed[number] = known = _Followed(job, length, grown)
        self._news.subscribe(number, grown)
        return known

    def _forget(self, number: int) -> None:
        self._due.pop(number, None)
        known = self._followed.pop(number, None)
        if known is not None:
            self._news.unsubscribe(number, known.grown)

    def _grown(self, number: int, length: int) -> None:
        known = self._followed[number]
        if length > known.length:
            known.length = length
            self._arm(number)

    def _arm(self, number: int) -> None:
        if number not in self._due:
            self._due[number] = trio.current_time() + OUTPUT_PAUSE
            if len(self._due) == 1:
                self._wake.set()

    def _put(self, change: Change) -> None:
        self._line.append(change)
        if len(self._line) >= self._merge_at:
            newest = {waiting.job.number: waiting for waiting in self._line}
            self._line = deque(sorted(newest.values(), key=lambda waiting: waiting.job.changed))
            self._merge_at = max(LINE, 2 * len(self._line))
        self._wake.set()

    # --- the task ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Encode and hand out what was told, for ever."""
        while True:
            while self._told is not None:
                await self._look(self._told)
            self._show_output()
            if not self._line:
                await self._rest()
                continue
            batch = [self._line.popleft() for _ in range(min(BATCH, len(self._line)))]
            changes = self.increments.plan(batch)
            for change, event in zip(changes, await self.frames.encode(changes), strict=True):
                self._deliver(change, event)

    async def _rest(self) -> None:
        self._wake = trio.Event()
        deadline = next(iter(self._due.values()), math.inf)
        with trio.move_on_at(deadline):
            await self._wake.wait()

    def _show_output(self) -> None:
        now = trio.current_time()
        while self._due:
            number, at = next(iter(self._due.items()))
            if at > now:
                return
            del self._due[number]
            known = self._followed[number]
            self._line.append(Change(known.job, known.length, is_output=True))

    async def _look(self, told: set[int]) -> None:
        """Follow what runs already; nothing is told of it until it has new output."""
        offset, total = 0, 1
        running: set[int] = set()
        while offset < total:
            try:
                page = await self._jobs.page(_SELF, JobFilter(state=State.RUNNING), offset, _PAGE)
            except DispatcherError as error:
                _log.warning("cannot show new output of jobs that run already: %s", error.sentence)
                break
            if self._told is not told:
                return  # nobody listens any more, or somebody does again
            running.update(job.number for job in page.jobs)
            for job in page.jobs:
                if job.number not in told and job.number not in self._followed:
                    self._follow(job, self._news.length(job.number) or 0)
            offset, total = offset + _PAGE, page.total
        else:
            self.increments.keep(running | told)
        if self._told is told:
            self._told = None

    def _deliver(self, change: Change, event: Event) -> None:
        if not change.is_output:
            self.delivered = max(self.delivered, change.job.changed)
        if not self._listeners:
            self.increments.pass_over(change)
            return
        event = self.increments.take(change, event)
        plain = numbered = b""
        for listener in self._listeners:
            if _is_known(change, listener):
                listener.skip(event)
            elif listener.wants_seq:
                # New output is no new event: it carries the number up to which all was sent.
                numbered = numbered or text_frame(encode_event(event.body(), self.delivered))
                listener.take(event, numbered, self.delivered)
            else:
                plain = plain or text_frame(encode_event(event.body()))
                listener.take(event, plain)


def _is_known(change: Change, listener: Listener) -> bool:
    """Whether a replay has shown this change, or a later one of its job."""
    changed = change.job.changed
    if change.is_output:
        return changed < listener.newest.get(change.job.number, 0)
    return changed <= listener.after
