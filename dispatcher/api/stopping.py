"""Stop every running job, as before the machine goes down, and wait for their ends."""

from collections.abc import Sequence

import trio

from dispatcher.access.roles import Caller
from dispatcher.api.service import Service
from dispatcher.core.model import Finished, Job, Value

# Of a bounded wait, what is kept for KILL and for saving the ends: seconds, or this part of a short wait.
_FOR_KILL = 5.0
_PART_FOR_KILL = 0.2


class StoppedJobs(Value, frozen=True):
    """The jobs that were stopped, and those that were still running when the time was over."""

    ended: tuple[Job, ...]
    running: tuple[Job, ...]


async def stop_all(
    service: Service, caller: Caller, *, reason: str | None = None, seconds: float | None = None
) -> StoppedJobs:
    """Stop all running jobs, each with its queue's grace; return when they have ended.

    With `seconds` it returns by then, and no grace is longer than what leaves time for KILL. Pending
    jobs stay and none starts until `Service.start_again`, or the next start of the daemon.
    """
    grace = None if seconds is None else seconds - min(_FOR_KILL, seconds * _PART_FOR_KILL)
    stopped = await service.stop_all(caller, reason=reason, grace=grace)
    ends: dict[int, Job] = {job.number: job for job in stopped if isinstance(job.phase, Finished)}

    async def wait(number: int) -> None:
        ends[number] = await service.wait(caller, number)

    with trio.move_on_after(float("inf") if seconds is None else seconds):
        async with trio.open_nursery() as nursery:
            for job in stopped:
                if job.number not in ends:
                    nursery.start_soon(wait, job.number)
    return StoppedJobs(_in_order(stopped, ends), tuple(job for job in stopped if job.number not in ends))


def _in_order(stopped: Sequence[Job], ends: dict[int, Job]) -> tuple[Job, ...]:
    return tuple(ends[job.number] for job in stopped if job.number in ends)
