"""What stopping everything, and starting again, do to the live jobs."""

from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.hold import AllStopped, Hold, StartAgain, StopAll
from dispatcher.core.live import Live
from dispatcher.core.model import SUPERVISOR, Job, Running, Stop


def stop_all(live: Live, message: StopAll) -> None:
    """Hold all queues, then stop what runs: in this order, or the next jobs would begin."""
    stop = Stop(message.at, message.by, message.reason)
    live.hold = Hold(stop, message.grace)
    for line in live.lines.values():
        live.withdraw_ahead(line)
    running = [job for job in live.jobs.values() if isinstance(job.phase, Running)]
    live.do(m.Answer(AllStopped(tuple(_stopped(live, job, stop) for job in running))))


def start_again(live: Live, message: StartAgain) -> None:
    """Hold nothing any longer."""
    live.hold = None
    live.do(m.Answer(None))
    for line in list(live.lines.values()):
        live.advance(line, message.at)


def _stopped(live: Live, job: Job, stop: Stop) -> Job:
    if not isinstance(job.phase, Running):
        return job
    if job.phase.worker == SUPERVISOR:
        return live.end_stopped(job, stop, stop.at)
    if job.phase.stop is None:
        job = live.put(replace(job, phase=replace(job.phase, stop=stop)))
    # Told again if it is being stopped already: of two graces the shorter one counts.
    live.stop(job, job.worker or 0)
    return job
