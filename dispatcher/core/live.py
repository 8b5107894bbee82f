"""The live jobs in memory, and the moves that every rule is made of.

A move changes the memory and notes the effects that make it true outside. The rules themselves,
which message does what, stand in `requests.py` and `facts.py`.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.hold import Hold
from dispatcher.core.model import SUPERVISOR, AfterLost, Finished, Job, Outcome, Pending, Queue, Running, Stop
from dispatcher.core.schedule import Line
from dispatcher.errors import NotFound

NUMBERS_PER_START = 1_000_000_000  # numbers of workers and hand-overs of one start of the daemon


class Live:
    """Jobs that a worker has or may have, the heads of each queue, and the idle workers."""

    def __init__(
        self,
        queues: Iterable[Queue],
        *,
        boot_id: str = "",
        next_serial: int = NUMBERS_PER_START,
        next_number: int = 1,
        changed: int = 0,
        active: Iterable[Job] = (),
        heads: Mapping[str, Iterable[Job]] | None = None,
        waiting: Mapping[str, int] | None = None,
        paused: Iterable[str] = (),
    ) -> None:
        self.next_number = next_number
        self.changed = changed
        self.lines = {queue.name: Line(queue) for queue in queues}
        self.boot_id = boot_id
        self.next_serial = next_serial
        self.idle: list[int] = []
        self.hold: Hold | None = None  # while there is one, nothing starts
        self.unknown: set[int] = set()  # jobs from before of which it is not known yet what became
        self.gone: set[int] = set()  # dead workers that jobs are still settled for
        self.jobs: dict[int, Job] = {}
        self.keys: dict[str, int] = {}
        self.effects: list[m.Effect] = []
        for job in active:
            self.adopt(job)
        for name, jobs in (heads or {}).items():
            line = self.line(name)
            line.beyond = (waiting or {}).get(name, 0)
            line.extend(tuple(jobs))
            for job in jobs:
                self.keep(job)
        for name in paused:
            self.line(name).is_paused = True

    @property
    def has_backlog(self) -> bool:
        """Whether there are live jobs that are on disk only."""
        return any(line.beyond for line in self.lines.values())

    # --- moves ------------------------------------------------------------------------------

    def advance(self, line: Line, at: float) -> None:
        """Start what may start, hand further jobs ahead where they are short, load more if needed."""
        if self.hold is not None:
            return
        while (job := line.next()) is not None:
            worker = self.idle.pop() if self.idle else self.new_serial()
            line.running[worker] = job.number
            self.do(
                m.Start(self.put(replace(job, phase=Running(at, worker, self.boot_id, self.new_serial()))))
            )
        while (handed := line.next_ahead()) is not None:
            worker, job = handed
            line.hand_ahead(worker, job.number)
            phase = Pending(worker, self.boot_id, self.new_serial())
            self.do(m.Start(self.put(replace(job, phase=phase), tell=False)))
        load = line.wanted()
        if load is not None:
            self.do(load)

    def leave(self, line: Line, job: Job, worker: int, at: float) -> None:
        """Let a worker go on with what lies ahead of it, or rest, now that it is done with a job."""
        if worker == SUPERVISOR:
            return
        self.settled(line, job.number)
        if line.running.get(worker) == job.number:
            del line.running[worker]
        line.not_ahead(worker, job.number)
        if worker not in line.running and worker not in line.ahead:
            line.slow.discard(worker)
            self.rest(worker)
        self.advance(line, at)

    def rest(self, worker: int) -> None:
        """Note that a worker has no job; a dead one is forgotten."""
        if worker in self.gone:
            self.gone.discard(worker)
        elif worker not in self.idle:
            self.idle.append(worker)

    def bury(self, worker: int) -> None:
        """Note that a worker is dead, before its jobs are settled one by one."""
        if worker in self.idle:
            self.idle.remove(worker)
        for job in self.jobs.values():
            if job.worker == worker:
                self.gone.add(worker)
                self.line(job.queue).slow.add(worker)  # or the first that is settled is handed to it again

    def stop(self, job: Job, worker: int) -> None:
        """Have a worker stop its running job, with its queue's grace, or a hold's if that is shorter."""
        grace = self.line(job.queue).queue.grace
        if self.hold is not None and self.hold.grace is not None:
            grace = min(grace, self.hold.grace)
        self.do(m.StopJob(job.number, worker, grace))

    def pause(self, line: Line) -> None:
        """Start no further job of a queue, over restarts too."""
        if not line.is_paused:
            line.is_paused = True
            self.do(m.SavePaused(line.queue.name, paused=True))
            self.withdraw_ahead(line)

    def withdraw_ahead(self, line: Line) -> None:
        """Take back what lies ahead at workers."""
        for worker, numbers in line.ahead.items():
            for number in reversed(numbers):  # the last first, so that none overtakes another
                self.do(m.Withdraw(number, worker))

    def finish(self, job: Job, outcome: Outcome, at: float, reason: str, ended_by: str | None = None) -> Job:
        """Make a job finished; its place at a worker is given up by `leave`."""
        return self.end(job, Finished(outcome, at, None, reason, ended_by))

    def end_stopped(
        self, job: Job, stop: Stop, at: float, more: str = "", ended_by: str | None = None
    ) -> Job:
        """Make a job finished by the wish that it end; `more` stands behind its sentence."""
        return self.end(
            job, Finished(stop.outcome, at, None, stop.sentence + more, ended_by, error=stop.error)
        )

    def end(self, job: Job, phase: Finished) -> Job:
        """Make a job finished, as `finish` does; when it started is taken from the job."""
        started_at = job.phase.started_at if isinstance(job.phase, Running) else None
        return self.put(replace(job, phase=replace(phase, started_at=started_at)))

    # --- memory -----------------------------------------------------------------------------

    def do(self, effect: m.Effect) -> None:
        """Note one effect."""
        self.effects.append(effect)

    def put(self, job: Job, *, tell: bool = True) -> Job:
        """Save a new value of a job, and tell it as the next event unless it shows nothing new."""
        if tell:
            self.changed += 1
            job = replace(job, changed=self.changed)
        if isinstance(job.phase, Finished):
            self.drop(job)
        else:
            self.keep(job)
        self.do(m.Save(job))
        if tell:
            self.do(m.Tell(job))
        return job

    def keep(self, job: Job) -> None:
        """Hold a live job in memory."""
        self.jobs[job.number] = job
        self.keys[job.key] = job.number

    def drop(self, job: Job) -> None:
        """Let go of a job: it is finished, or it waits behind the horizon."""
        self.jobs.pop(job.number, None)
        self.keys.pop(job.key, None)

    def adopt(self, job: Job) -> None:
        """Take a job that a worker had, or may have had, when the daemon went down."""
        line = self.line(job.queue)
        self.keep(job)
        if job.worker != SUPERVISOR:
            self.unknown.add(job.number)
            if line.queue.after_lost is AfterLost.PAUSE:
                line.unknown.add(job.number)
        match job.phase:
            case Running(worker=worker) if worker == SUPERVISOR:
                pass  # in no queue's count; `Machine.lose_own` settles it
            case Running(worker=worker):
                line.running[worker] = job.number
            case Pending(worker=int(worker)):
                line.hand_ahead(worker, job.number)
            case _:
                raise ValueError(f"job {job.number} is with no worker")

    def settled(self, line: Line, number: int) -> bool:
        """Note that it is known what became of a job from before; tell whether its queue waited for that."""
        self.unknown.discard(number)
        waited = number in line.unknown
        line.unknown.discard(number)
        return waited

    def named(self, target: int | str, found: Mapping[int | str, Job]) -> Job | None:
        """Find the live job of a number or key, in memory or among those looked up."""
        number = self.keys.get(target) if isinstance(target, str) else target
        return self.jobs.get(number, found.get(target)) if number is not None else found.get(target)

    def assigned(self, number: int, worker: int) -> Job | None:
        """Find the job that a worker speaks of; None if it is not, or no longer, with that worker."""
        job = self.jobs.get(number)
        return job if job is not None and job.worker == worker else None

    def line(self, name: str) -> Line:
        """Give the line of a queue that has jobs; one that left the settings is kept and drained."""
        return self.lines.setdefault(name, Line(Queue(name), is_closed=True))

    def open_line(self, name: str) -> Line:
        """Give the line of a queue that a client named; NotFound with the names that exist."""
        if name not in self.lines:
            raise NotFound(f"there is no queue {name!r}; there are: {self.queue_names()}")
        return self.lines[name]

    def queue_names(self) -> str:
        """List the queues that take jobs."""
        return ", ".join(name for name, line in self.lines.items() if not line.is_closed)

    def new_serial(self) -> int:
        """Choose the number of a worker that is not forked yet, or of a hand-over. None returns."""
        self.next_serial += 1
        return self.next_serial
