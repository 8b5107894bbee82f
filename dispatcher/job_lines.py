"""One line in the daemon's log for each job that ends, and for a queue that pauses because of that."""

import logging
from collections.abc import Callable

from dispatcher.core.model import AfterLost, Finished, Job, Outcome
from dispatcher.own_log import MANY
from dispatcher.settings import Settings

_log = logging.getLogger(MANY)
_queues = logging.getLogger("dispatcher")


class JobLines:
    """A feed of the hub: takes every change, writes of ends only."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def tell(self, job: Job) -> None:
        """Take one change."""
        if not isinstance(job.phase, Finished):
            return
        outcome = job.phase.outcome
        level = logging.WARNING if outcome is Outcome.LOST else logging.INFO
        _log.log(level, "%s", line_of(job, job.phase))
        if outcome is Outcome.LOST and self._pauses(job):
            _queues.warning(
                "queue %s is paused, because job %d was lost; go on with: dispatcher resume %s",
                job.queue,
                job.number,
                job.queue,
            )

    def _pauses(self, job: Job) -> bool:
        return bool(job.commands) and any(
            queue.name == job.queue and queue.after_lost is AfterLost.PAUSE
            for queue in self._settings().queues
        )


def line_of(job: Job, end: Finished) -> str:
    """Say how a job ended: `job 7 (build-1) in pkg_queue: failed, command 1 exited with 3, after 12.3 s`."""
    parts = [f"job {job.number} ({visible(job.key)}) in {job.queue}: {end.outcome}"]
    if end.reason:
        parts.append(visible(end.reason))
    if end.started_at is not None:
        parts.append(f"after {max(0.0, end.finished_at - end.started_at):.1f} s")
    return ", ".join(parts)


def visible(text: str) -> str:
    """Keep a text on its line: what clients choose must not look like a line of ours."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
