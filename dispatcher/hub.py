"""Bring numbered changes of jobs to everybody who listens.

Nothing here waits: the engine tells, each feed encodes an event once, and each member gets the
same bytes. A member that is slow gets merged states - the newest of each job - never a wrong one.
"""

from collections.abc import Callable
from typing import Protocol

from dispatcher.core.model import Job


class Feed(Protocol):
    """One protocol's way to turn changes into frames for its members."""

    def tell(self, job: Job) -> None:
        """Take one change, already saved; return at once."""
        ...


class Hub:
    """Pass each change, in the order of its number, to every feed."""

    def __init__(self) -> None:
        self._feeds: list[Feed] = []

    def attach(self, feed: Feed) -> None:
        """Let a feed hear of every change from now on."""
        self._feeds.append(feed)

    def detach(self, feed: Feed) -> None:
        """Let a feed hear no more."""
        self._feeds.remove(feed)

    def tell(self, job: Job) -> None:
        """Publish event number `job.changed`."""
        for feed in tuple(self._feeds):
            feed.tell(job)


class Outbox(Protocol):
    """Where frames for one client are put; bounded."""

    def offer(self, frame: bytes) -> bool:
        """Take the frame, or answer False if the outbox is full."""
        ...


class Member:
    """One subscribed client of a feed.

    While its outbox is full the newest frame of each job is kept here instead; they follow,
    oldest change first, as soon as `drained` is called.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._behind: dict[int, bytes] = {}

    @property
    def is_behind(self) -> bool:
        """Whether merged states are waiting for room."""
        return bool(self._behind)

    def offer(self, job_number: int, frame: bytes) -> None:
        """Send a frame about a job, or keep it as that job's newest state."""
        if self._behind or not self._outbox.offer(frame):
            self._behind.pop(job_number, None)
            self._behind[job_number] = frame

    def drained(self) -> None:
        """Send what was kept, as far as there is room."""
        while self._behind:
            number, frame = next(iter(self._behind.items()))
            if not self._outbox.offer(frame):
                return
            del self._behind[number]


class Watchers:
    """Functions that are called with every change of some jobs; used to wait for an end."""

    def __init__(self) -> None:
        self._by_job: dict[int, list[Callable[[Job], None]]] = {}

    def add(self, number: int, function: Callable[[Job], None]) -> None:
        """Call `function` with each change of a job until it is removed."""
        self._by_job.setdefault(number, []).append(function)

    def remove(self, number: int, function: Callable[[Job], None]) -> None:
        """Stop calling `function`."""
        functions = self._by_job[number]
        functions.remove(function)
        if not functions:
            del self._by_job[number]

    def tell(self, job: Job) -> None:
        """Take one change (this is a feed)."""
        for function in tuple(self._by_job.get(job.number, ())):
            function(job)
