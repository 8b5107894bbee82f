"""Settle the jobs of a worker that is dead, from what its journal says.

A job that may have begun is never run again. One that its worker never took goes back to its
place in the queue, unless the machine went down since: journals are not synced, so after a power
cut "not in the journal" proves nothing.
"""

from collections.abc import Sequence

from dispatcher.core.messages import Fact, JobEnded, JobLost, JobReturned, Taken
from dispatcher.core.model import Job, Pending, Running


def verdict(job: Job, journaled: Sequence[Fact], *, boot_id: str, at: float, log_end: int) -> list[Fact]:
    """Give the facts that settle a job: those of its journal, and the end they leave open.

    `journaled` are the facts of this job in the dead worker's journal, in order.
    """
    facts = list(journaled)
    if not isinstance(job.phase, Pending | Running) or job.phase.worker is None:
        raise ValueError(f"job {job.number} is with no worker")
    worker = job.phase.worker
    if any(isinstance(fact, JobEnded) or _gives_back(fact, job.phase.handover) for fact in facts):
        return facts
    if any(isinstance(fact, Taken) for fact in facts):
        reason = "its worker ended before it did"
        if job.phase.boot_id != boot_id:
            reason = "the machine went down under it"
        return [*facts, JobLost(job.number, worker, reason, at, log_end)]
    if job.phase.boot_id != boot_id:
        reason = "the machine went down while it was handed over"
        return [*facts, JobLost(job.number, worker, reason, at, log_end)]
    return [*facts, JobReturned(job.number, worker, job.phase.handover, at)]


def _gives_back(fact: Fact, handover: int) -> bool:
    """Tell whether this hand-over failed: the job may have come back from an earlier one, and gone again."""
    return isinstance(fact, JobReturned) and fact.handover == handover
