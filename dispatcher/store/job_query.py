"""What a search for jobs asks of the store, and what it gets: light entries, piece by piece.

A search answers from columns alone; whole jobs are read by their numbers afterwards.
"""

from enum import StrEnum

from dispatcher.core.model import Finished, Job, Outcome, State, Value

ANY_NUMBER = (1, 2**63 - 1)
LIVE = frozenset((State.PENDING, State.RUNNING))
OUTCOMES = frozenset(Outcome)


class Instants(StrEnum):
    """What jobs can be sorted by, besides their numbers."""

    SUBMITTED = "submitted"
    FINISHED = "finished"


class Sorting(Value, frozen=True):
    """An order by an instant; equal ones in the order of their numbers, those without one first or last."""

    by: Instants
    descends: bool = False
    nulls_first: bool = True

    def place(self, entry: "Entry") -> tuple[bool, float, int]:
        """Give what an entry is sorted by."""
        instant = entry.submitted_at if self.by is Instants.SUBMITTED else entry.finished_at
        if instant is None:
            return not self.nulls_first, 0.0, entry.number
        return self.nulls_first, -instant if self.descends else instant, entry.number


class JobQuery(Value, frozen=True):
    """Which jobs a search gives, in the order of their numbers.

    `numbers` are spans, both ends included, ascending and apart. `live` and `outcomes` are the states
    and outcomes that match. Of `methods`, "" is a job that was not called as a method. `submitted` and
    `finished` are spans of instants, the second end not included; a live job has no `finished`.
    With a `sorting` each piece holds the first ones in that order of those that it went through.
    """

    numbers: tuple[tuple[int, int], ...] = (ANY_NUMBER,)
    live: frozenset[State] = LIVE
    outcomes: frozenset[Outcome] = OUTCOMES
    methods: frozenset[str] | None = None
    owner: str | None = None
    submitted: tuple[tuple[float, float], ...] | None = None
    finished: tuple[tuple[float, float], ...] | None = None
    newest_first: bool = False
    sorting: Sorting | None = None


class Entry(Value, frozen=True):
    """What the store knows of a job without reading it whole."""

    number: int
    state: State
    outcome: Outcome | None
    method: str
    submitted_at: float
    finished_at: float | None


class Found(Value, frozen=True):
    """A piece of an answer; the next one begins behind the number `after`. None: nothing follows."""

    entries: tuple[Entry, ...]
    after: int | None


class Counted(Value, frozen=True):
    """How many jobs match in a piece of the whole; the next piece begins behind `after`."""

    jobs: int
    after: int | None


def method_of(job: Job) -> str:
    """Name the method that a job was called as, or give ""."""
    return job.submission.task.method if job.submission.task is not None else ""


def entry_of(job: Job) -> Entry:
    """Give the entry of a job at hand."""
    match job.phase:
        case Finished(outcome=outcome, finished_at=end):
            return Entry(job.number, State.FINISHED, outcome, method_of(job), job.submitted_at, end)
        case _:
            return Entry(job.number, job.state, None, method_of(job), job.submitted_at, None)


def remaining(query: JobQuery, after: int | None) -> list[tuple[int, int]]:
    """Give the spans of numbers behind `after`, in the order in which they are gone through."""
    spans = [(max(low, 1), high) for low, high in query.numbers]
    if query.newest_first:
        spans = [(low, high if after is None else min(high, after - 1)) for low, high in reversed(spans)]
    elif after is not None:
        spans = [(max(low, after + 1), high) for low, high in spans]
    return [(low, high) for low, high in spans if low <= high]
