"""One session's place in the feed of events.

While its outbox is full, the newest event of each job is kept here instead, with the increments of
those that it replaces joined: a slow client hears less often, and no text is lost or repeated.
"""

from collections.abc import Mapping

from dispatcher.api.sysadm.codec import encode_event
from dispatcher.api.sysadm.events import NOTHING, Event, Increment
from dispatcher.hub import Outbox
from dispatcher.net.websocket import text_frame


class _Kept:
    """An event that waits for room; its frame is made when it is sent, unless it is everybody's."""

    __slots__ = ("event", "frame", "increment", "seq")

    def __init__(self, event: Event, increment: Increment, frame: bytes, seq: int | None) -> None:
        self.event = event
        self.increment = increment
        self.frame = frame
        self.seq = seq


class Listener:
    """One session's place in the feed: shut until `open`, and until then its events are merged.

    It is told of changes after event number `after` only, and of a job in `newest` only after that
    job's number there.
    """

    def __init__(self, outbox: Outbox, *, wants_seq: bool) -> None:
        self.wants_seq = wants_seq
        self.after = 0
        self.newest: Mapping[int, int] = {}
        self._outbox = outbox
        self._is_open = False
        self._behind: dict[int, _Kept] = {}
        self._owed: dict[int, Increment] = {}

    def take(self, event: Event, frame: bytes, seq: int | None = None) -> None:
        """Take an event, and the frame of it that all get who were sent everything before."""
        number = event.number
        must_wait = bool(self._behind)
        before = self._owed.pop(number, None)
        replaced = self._behind.pop(number, None)
        if replaced is not None:
            before = replaced.increment
        increment = event.increment
        if before is not None and not before.is_empty:
            increment, frame = before.followed_by(increment, event.most), b""
        kept = _Kept(event, increment, frame, seq)
        if must_wait or not self._offer(kept):
            self._behind[number] = kept

    def skip(self, event: Event) -> None:
        """Leave out an event that the session knows already; what its text adds comes with the next."""
        if event.is_last or event.wrapping is None:
            self._owed.pop(event.number, None)
        else:
            before = self._owed.get(event.number, NOTHING)
            self._owed[event.number] = before.followed_by(event.increment, event.most)

    def open(self) -> None:
        """Let the frames through, first those that have gathered."""
        self._is_open = True
        self.drained()

    def drained(self) -> None:
        """Send what was kept, as far as there is room: the oldest change first."""
        while self._behind:
            number, kept = next(iter(self._behind.items()))
            if not self._offer(kept):
                return
            del self._behind[number]

    def _offer(self, kept: _Kept) -> bool:
        if not self._is_open:
            return False
        if not kept.frame:
            kept.frame = text_frame(encode_event(kept.event.body(kept.increment), kept.seq))
        return self._outbox.offer(kept.frame)
