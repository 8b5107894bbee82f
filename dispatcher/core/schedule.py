"""Which pending jobs of a queue may start, and why another may not yet.

Start order is the job number. Only the first pending jobs of each queue, its heads, are in
memory; of those behind the horizon only the number is known. They are loaded when the heads
run low, so memory does not grow with the backlog.
"""

from collections import deque

from dispatcher.core.messages import Load
from dispatcher.core.model import Job, Queue, State

HEADS = 256  # pending jobs per queue in memory at most
LOW = 64  # fewer heads than this, and more are loaded
AHEAD = 8  # jobs that may lie at a busy worker
QUICK = 0.020  # seconds: mean length of recent jobs below which jobs are handed ahead
RECENT = 8  # how many jobs "recent" are


class Line:
    """One queue at work: its rules, what waits, what runs, and what lies ahead at workers."""

    def __init__(self, queue: Queue, *, is_closed: bool = False) -> None:
        self.queue = queue
        self.is_closed = is_closed  # no longer in the settings: drained, nothing is added
        self.is_paused = False
        self.is_loading = False
        self.unknown: set[int] = set()  # jobs from before, any of which may be lost: then we pause
        self.heads: dict[int, Job] = {}
        self.horizon = 0  # the largest job number that has been in memory
        self.beyond = 0  # pending jobs with a larger number, on disk only
        self.running: dict[int, int] = {}  # worker -> job
        self.ahead: dict[int, list[int]] = {}  # worker -> jobs that it has not taken yet
        self.slow: set[int] = set()  # workers that gave jobs back: they get none ahead until they rest
        self._recent: deque[float] = deque(maxlen=RECENT)

    @property
    def pending(self) -> int:
        """How many jobs wait, those ahead at workers included."""
        return len(self.heads) + self.beyond + sum(len(jobs) for jobs in self.ahead.values())

    @property
    def is_open(self) -> bool:
        """Whether jobs may start at all."""
        return not self.is_paused and not self.unknown

    @property
    def has_room(self) -> bool:
        """Whether one more job may run now. A worker with jobs ahead keeps its place."""
        return len(self.running.keys() | self.ahead.keys()) < self.queue.concurrency

    def add(self, job: Job) -> bool:
        """Take a pending job at its place; False if it is behind the horizon and only counted."""
        if self.beyond == 0 and job.number > self.horizon and len(self.heads) < HEADS:
            self.heads[job.number] = job
            self.horizon = job.number
            return True
        if job.number > self.horizon:
            self.beyond += 1
            return False
        self.heads[job.number] = job
        self.heads = dict(sorted(self.heads.items()))
        return True

    def extend(self, jobs: tuple[Job, ...]) -> None:
        """Take jobs from behind the horizon, in order, as a Load brought them."""
        self.is_loading = False
        self.heads.update((job.number, job) for job in jobs)
        if jobs:
            self.horizon = jobs[-1].number
        self.beyond = max(0, self.beyond - len(jobs)) if jobs else 0

    def remove(self, job: Job) -> None:
        """Take out a pending job that no worker knows of."""
        if self.heads.pop(job.number, None) is None:
            self.beyond -= 1

    def next(self) -> Job | None:
        """Take out the job that is to start next, if one may start."""
        if not self.is_open or not self.heads or not self.has_room:
            return None
        return self.heads.pop(next(iter(self.heads)))

    def next_ahead(self) -> tuple[int, Job] | None:
        """Take out a job to lie ahead at a busy worker, if the queue's jobs are short and it has no pipes."""
        if not self.is_open or not self.heads or not self.is_quick or self.has_room:
            return None
        room = {
            worker: len(self.ahead.get(worker, ()))
            for worker in (self.running.keys() | self.ahead.keys()) - self.slow
        }
        worker = min(room, key=room.__getitem__, default=None)
        first = next(iter(self.heads))
        if worker is None or room[worker] >= AHEAD or self.heads[first].submission.has_pipes:
            return None
        return worker, self.heads.pop(first)

    @property
    def is_quick(self) -> bool:
        """Whether a round trip per job would cost more than the jobs themselves."""
        return len(self._recent) == RECENT and sum(self._recent) < QUICK * RECENT

    def note_length(self, seconds: float) -> None:
        """Remember how long a job ran."""
        self._recent.append(max(0.0, seconds))

    def hand_ahead(self, worker: int, number: int) -> None:
        """Note that a job lies at a busy worker."""
        self.ahead.setdefault(worker, []).append(number)

    def not_ahead(self, worker: int, number: int) -> None:
        """Note that a job lies at a worker no longer: it was taken or came back."""
        jobs = self.ahead.get(worker, [])
        if number in jobs:
            jobs.remove(number)
        if not jobs:
            self.ahead.pop(worker, None)

    def wanted(self) -> Load | None:
        """Say what to load, if the heads run low and more wait behind the horizon."""
        if self.beyond == 0 or self.is_loading or len(self.heads) >= LOW:
            return None
        self.is_loading = True
        return Load(self.queue.name, self.horizon, HEADS - len(self.heads))


def why_waiting(job: Job, line: Line, position: int) -> str:
    """Say why a pending job does not run yet; `position` counts the pending jobs before it."""
    name = line.queue.name
    if job.state is not State.PENDING:
        return ""
    if line.is_paused:
        return f"queue {name!r} is paused: dispatcher resume {name}"
    if position:
        return f"{position} jobs before it in queue {name!r}"
    return f"queue {name!r} runs {line.queue.concurrency} at a time"
