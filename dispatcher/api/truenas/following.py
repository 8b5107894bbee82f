"""One connection's subscription to `core.get_jobs`: every state of every job, in order, bounded.

A client that does not keep up costs a bounded amount of memory: of jobs that only went on, the newest
progress is kept; states are all kept, until the bound is reached. Then the subscription ends, and the
client is told so.
"""

from collections import OrderedDict
from collections.abc import Callable

import trio

from dispatcher.api.truenas.job_events import Event, JobEvents
from dispatcher.net.websocket import text_frame

BEHIND_BYTES = 8 * 1024 * 1024  # what waits here at most, besides the outbox


class JobFollower:
    """Gives a connection's events to its socket. `is_legacy` chooses the older protocol's form.

    `offer` takes a frame or refuses it, `on_lag` is called once when the client is too far behind.
    """

    def __init__(
        self,
        events: JobEvents,
        offer: Callable[[bytes], bool],
        on_lag: Callable[[], None],
        *,
        is_legacy: bool,
    ) -> None:
        self._events = events
        self._offer = offer
        self._on_lag = on_lag
        self._is_legacy = is_legacy
        self._behind: OrderedDict[int, tuple[Event, bytes]] = OrderedDict()  # by the order of coming
        self._progress_of: dict[int, int] = {}
        self._came = 0
        self._after = 0
        self._size = 0
        self._sent = trio.lowlevel.ParkingLot()
        self._held = True  # until the answer to the subscription has left
        self._is_over = False
        events.join(self)

    @property
    def is_over(self) -> bool:
        """Whether this has ended."""
        return self._is_over

    def take(self, event: Event) -> None:
        """Take one event (this is a follower of the feed)."""
        if self._is_replayed(event):
            return
        frame = text_frame(event.legacy if self._is_legacy else event.jsonrpc)
        if not self._held and not self._behind and self._offer(frame):
            return
        # Only the newest progress of a job is worth room, at the place of the newest.
        older = self._progress_of.pop(event.job, None)
        self._came += 1
        if event.is_progress:
            self._drop(older)
            self._progress_of[event.job] = self._came
        self._behind[self._came] = event, frame
        self._size += len(frame)
        if self._size > BEHIND_BYTES:
            self.end()
            self._on_lag()

    def begin(self, after: int = 0) -> None:
        """Send what happened meanwhile and go on: the answer to the subscription has left.

        Events up to number `after` have been sent by a replay.
        """
        self._after = after
        for place in [place for place, (event, _) in self._behind.items() if self._is_replayed(event)]:
            self._drop(place)
        self._held = False
        self.drained()

    def drained(self) -> None:
        """Send what waits, as far as there is room."""
        if self._held:
            return
        while self._behind:
            place, (_, frame) = next(iter(self._behind.items()))
            if not self._offer(frame):
                return
            self._drop(place)
        self._progress_of.clear()
        self._sent.unpark_all()

    async def caught_up(self) -> None:
        """Return when nothing waits here any more."""
        while self._behind and not self._is_over:
            await self._sent.park()

    def end(self) -> None:
        """Send nothing more."""
        self._is_over = True
        self._events.leave(self)
        self._behind.clear()
        self._progress_of.clear()
        self._sent.unpark_all()

    def _is_replayed(self, event: Event) -> bool:
        # An event that waits for the last lines of a log may come after the replay that told of it.
        return not event.is_again and event.changed <= self._after

    def _drop(self, place: int | None) -> None:
        dropped = self._behind.pop(place, None) if place is not None else None
        if dropped is not None:
            self._size -= len(dropped[1])
