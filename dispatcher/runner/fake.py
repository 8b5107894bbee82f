"""A runner for tests: it runs nothing, remembers what it was asked, and brings facts on demand."""

import time
from collections.abc import Callable, Sequence

from dispatcher.core import messages as m
from dispatcher.core.model import CommandEnd, Job, Outcome, Pending, Running


class FakeRunner:
    """Holds what was started; `finish` brings the facts of a job that ran."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.started: dict[int, Job] = {}
        self.order: list[int] = []
        self.stopped: list[int] = []
        self.withdrawn: list[int] = []
        self.adopted: list[list[int]] = []
        self.ended: list[int] = []
        self._clock = clock
        self._post: Callable[[m.Fact, Callable[[], None] | None], None] | None = None

    def report_to(self, post: Callable[[m.Fact, Callable[[], None] | None], None]) -> None:
        """Name the engine's door for facts."""
        self._post = post

    def start(self, job: Job) -> None:
        """Remember a hand-over."""
        self.started[job.number] = job
        self.order.append(job.number)

    def withdraw(self, number: int, worker: int) -> None:
        """Give the job back at once: nobody takes anything here before `finish`."""
        del worker
        self.withdrawn.append(number)
        job = self.started.pop(number)
        if isinstance(job.phase, Pending | Running) and job.worker is not None:
            self.post(m.JobReturned(number, job.worker, job.phase.handover, self._clock()))

    def stop(self, number: int, worker: int, grace: float) -> None:
        """Remember a stop."""
        del worker, grace
        self.stopped.append(number)

    def fork(self, worker: int) -> None:
        """Connect a worker at once."""
        self.post(m.WorkerReported(worker, (), (), self._clock()))

    def end(self, worker: int) -> None:
        """Remember a worker that was sent home."""
        self.ended.append(worker)

    def flush(self) -> None:
        """Do nothing: everything is remembered at once."""

    def adopt(self, jobs: Sequence[Job]) -> None:
        """Remember what was to be settled."""
        self.adopted.append([job.number for job in jobs])

    def post(self, fact: m.Fact, saved: Callable[[], None] | None = None) -> None:
        """Bring a fact to the engine."""
        if self._post is None:
            raise RuntimeError("the fake runner has nobody to report to")
        self._post(fact, saved)

    def finish(self, number: int, code: int = 0, seconds: float = 1.0) -> None:
        """Bring all facts of a job whose first command that fails has `code`."""
        job = self.started.pop(number)
        worker = job.worker or 0
        at = self._clock()
        self.post(m.Taken(number, worker, at))
        for index in range(1 if code else len(job.commands)):
            self.post(m.CommandStarted(number, worker, index, 100 + index, 0, at))
            end = CommandEnd(at=at + seconds, code=code, seconds=seconds, log_end=0)
            self.post(m.CommandEnded(number, worker, index, end))
        outcome = Outcome.FAILED if code else Outcome.SUCCESS
        if number in self.stopped:
            outcome = Outcome.KILLED
        self.post(m.JobEnded(number, worker, outcome, at + seconds))
