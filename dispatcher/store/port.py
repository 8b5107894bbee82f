"""What the rest of the house may ask of a store; `sqlite.py` and `memory.py` keep the same contract.

Only the engine writes. Reads for clients use their own connections and never hold a
transaction over an await.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dispatcher.core.model import Job, Outcome, State, Value
from dispatcher.store.job_query import Counted, Found, JobQuery


class Batch(Value, frozen=True):
    """All changes of one transaction: the last value of each job, the pauses, and the counters.

    `next_number` is the number of the next job, `changed` the number of the newest event;
    both are saved with the changes they belong to, so neither ever returns.
    """

    jobs: tuple[Job, ...]
    paused: Mapping[str, bool]
    next_number: int
    changed: int


class Restored(Value, frozen=True):
    """What the engine starts from.

    `active` are the jobs that a worker has or may have, `heads` per queue the first pending jobs
    that no worker can know of, `waiting` per queue the number of all such pending jobs.
    `generation` counts the starts of the daemon on this store, this one included.
    """

    installation: str
    generation: int
    next_number: int
    changed: int
    active: tuple[Job, ...]
    heads: Mapping[str, tuple[Job, ...]]
    waiting: Mapping[str, int]
    paused: frozenset[str]


class JobFilter(Value, frozen=True):
    """Which jobs a list shows; None means any.

    `live` True: pending and running ones only; False: finished ones only. `since` (that instant
    included) and `until` (not included) are about the time of the end. The end of a live job lies
    in the future: `since` keeps such a job, `until` leaves it out.
    """

    live: bool | None = None
    queue: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    since: float | None = None
    until: float | None = None
    key: str | None = None


class Page(Value, frozen=True):
    """A part of a list, and how many jobs match in all."""

    jobs: tuple[Job, ...]
    total: int


class Changes(Value, frozen=True):
    """Jobs changed after an event number, in the order of their last change.

    `first_kept` is above 0 if jobs were pruned away: a client whose next event is below it may
    have missed their ends. `more` tells that the page was full.
    """

    jobs: tuple[Job, ...]
    first_kept: int
    more: bool


class Store(Protocol):
    """The port. Every method raises StoreFailed, with the reason, if the disk does not do its part."""

    async def restore(self, heads: int, *, count_start: bool = True) -> Restored:
        """Read what the engine starts from, with at most `heads` jobs per queue.

        With `count_start` the generation is raised and saved first; without, nothing is written.
        """
        ...

    async def commit(self, batch: Batch, loads: Sequence[tuple[str, int, int]] = ()) -> list[tuple[Job, ...]]:
        """Save a batch in one synced transaction, then answer each load: (queue, after, count).

        A load gives pending jobs that no worker can know of, by number, after the given one.
        """
        ...

    async def find(self, targets: Sequence[int | str]) -> dict[int | str, Job]:
        """Find jobs by number (any state) or by key (live ones only); absent ones are left out."""
        ...

    async def newest(self, target: int | str) -> Job | None:
        """Find one job by number, or by key the live one, else the finished one of the highest number."""
        ...

    async def page(self, which: JobFilter, offset: int, limit: int) -> Page:
        """List jobs: pending and running ones by number (running first), finished ones newest first."""
        ...

    async def live(self, queue: str, offset: int, limit: int) -> Page:
        """List the live jobs of one queue: running ones first, then pending ones in starting order."""
        ...

    async def search(self, query: JobQuery, after: int | None, limit: int) -> Found:
        """Find up to `limit` jobs by number, behind the number `after` (None: from the beginning).

        Fewer may come though more follow: a call goes through a bounded part of the store. With a
        sorting the first ones of all are among the first ones of the pieces.
        """
        ...

    async def count(self, query: JobQuery, after: int | None) -> Counted:
        """Count jobs behind the number `after`; a call goes through a bounded part of the store."""
        ...

    async def methods(self) -> tuple[str, ...]:
        """Name every method that some job was called as, in alphabetical order; at most 1000."""
        ...

    async def changed_since(self, number: int, limit: int) -> Changes:
        """Give each job that changed after event `number`, with its newest record."""
        ...

    async def forget(self, finished_before: float, limit: int) -> tuple[int, ...]:
        """Delete up to `limit` finished jobs that ended before an instant; return their numbers.

        The oldest end goes first, and `Changes.first_kept` moves in the same transaction.
        """
        ...

    async def aclose(self) -> None:
        """Write everything home and close."""
        ...
