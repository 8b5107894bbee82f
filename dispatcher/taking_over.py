"""What became of the jobs that ran when the daemon was last ended: one line, when it is known of all."""

import logging
from collections.abc import Iterable

import trio

from dispatcher.core.model import SUPERVISOR, Finished, Job, Outcome, Pending
from dispatcher.job_lines import visible

NAMED = 20  # lost jobs that are named; of more, only how many

_log = logging.getLogger("dispatcher")


class TakingOver:
    """A feed of the hub that hears of those jobs until all are settled."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = {job.number: job for job in jobs if job.worker != SUPERVISOR}
        self._heard: dict[int, Job] = {}

    def tell(self, job: Job) -> None:
        """Take one change."""
        if job.number in self._jobs:
            self._heard[job.number] = job

    async def report(self, settled: trio.Event) -> None:
        """Write the line when `settled` is set; none if there were no such jobs."""
        await settled.wait()
        if self._jobs:
            sentence, is_bad = self.sentence()
            _log.log(logging.WARNING if is_bad else logging.INFO, "%s", sentence)

    def sentence(self) -> tuple[str, bool]:
        """Say how many were taken over, have ended, wait again or are lost; and whether any is lost."""
        lost, ended, waiting = [], 0, 0
        for job in self._heard.values():
            match job.phase:
                case Finished(outcome=Outcome.LOST):
                    lost.append(f"job {job.number} ({visible(job.key)}) in {job.queue}")
                case Finished():
                    ended += 1
                case Pending():
                    waiting += 1
        others = len(self._jobs) - len(lost) - ended - waiting
        parts = [f"{others} taken over"]
        parts += [f"{ended} ended meanwhile"] if ended else []
        parts += [f"{waiting} not begun and pending again"] if waiting else []
        parts.append(f"{len(lost) or 'none'} lost")
        named = ", ".join(lost[:NAMED]) + (f" and {len(lost) - NAMED} more" if len(lost) > NAMED else "")
        sentence = f"jobs that ran before: {', '.join(parts)}"
        return (f"{sentence}: {named}" if lost else sentence), bool(lost)
