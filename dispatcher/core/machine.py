"""The door of the core: `Machine.handle` is the only way a job changes state.

A message gives effects, never a wait: what must be saved, told, started, stopped, answered.
"""

# state      what happens         becomes
# -          submit               pending
# pending    its turn             running (its worker is named before it hears of the job)
# pending    its turn, ahead      pending, lying at a busy worker
#   ahead    taken                running
#   ahead    returned             pending, at its old place
# pending    kill                 finished
# running    kill                 running, with the wish to stop
# running    ended, lost          finished
# running    never taken          pending, at its old place

from collections.abc import Mapping

from dispatcher.core import facts, requests
from dispatcher.core import messages as m
from dispatcher.core.live import Live
from dispatcher.core.model import SUPERVISOR, Job


class Machine(Live):
    """All jobs that must be in memory, and what each message does to them."""

    def handle(self, message: m.Message, found: Mapping[int | str, Job] | None = None) -> list[m.Effect]:
        """Apply one message and say what must be done, in order.

        `found` holds the jobs that `needs` named, as far as they exist. Raises DispatcherError,
        and changes nothing, if a request is not possible.
        """
        self.effects = []
        if isinstance(message, m.Request):
            requests.apply(self, message, found or {})
        else:
            facts.apply(self, message)
        return self.effects

    def needs(self, message: m.Message) -> tuple[int | str, ...]:
        """Name the jobs outside memory that `handle` must be given to decide on this message."""
        match message:
            case m.Submit(submission=submission):
                is_known = submission.key in self.keys or not self.has_backlog
                return () if is_known else (submission.key,)
            case m.Kill(target=target):
                is_known = target in self.keys if isinstance(target, str) else target in self.jobs
                return () if is_known else (target,)
            case _:
                return ()

    def start_all(self, at: float) -> list[m.Effect]:
        """Start what may start now; used once after a restart."""
        self.effects = []
        for line in self.lines.values():
            self.advance(line, at)
        return self.effects

    def unsettled(self) -> list[Job]:
        """Give the jobs that a worker has or may have."""
        return [job for job in self.jobs.values() if job.worker not in (None, SUPERVISOR)]

    def lose_own(self, at: float) -> list[m.Effect]:
        """Settle the jobs that the supervisor itself carried out before it was restarted."""
        self.effects = []
        for job in [job for job in self.jobs.values() if job.worker == SUPERVISOR]:
            facts.apply(self, m.JobLost(job.number, SUPERVISOR, "the dispatcher was restarted under it", at))
        return self.effects
