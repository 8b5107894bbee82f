"""One session's place in the feed of events."""

from dispatcher.hub import Member, Outbox


class Listener:
    """One session's place in the feed: shut until `open`, and until then its events are merged.

    It is told of changes after event number `after` only.
    """

    def __init__(self, outbox: Outbox, *, wants_seq: bool) -> None:
        self.wants_seq = wants_seq
        self.after = 0
        self._outbox = outbox
        self._is_open = False
        self._member = Member(self)

    def offer(self, frame: bytes) -> bool:
        """Pass a frame on if there is room (this is the Member's outbox)."""
        return self._is_open and self._outbox.offer(frame)

    def take(self, number: int, frame: bytes) -> None:
        """Take a frame about a job."""
        self._member.offer(number, frame)

    def open(self) -> None:
        """Let the frames through, first those that have gathered."""
        self._is_open = True
        self._member.drained()

    def drained(self) -> None:
        """Go on: the outbox has room again."""
        self._member.drained()
