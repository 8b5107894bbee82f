"""What may come into the machine, and what it says must be done.

Requests are imperative and come from clients; facts are past tense and come from workers
and from the store. Both enter by `Machine.handle`. Effects are what the engine carries out,
in the order of its promises: save, then tell and start, then answer.
"""

from dispatcher.core.hold import AllStopped, StartAgain, StopAll
from dispatcher.core.model import CommandEnd, Job, Outcome, Progress, Queue, Submission, Value

# --- requests -------------------------------------------------------------------------------


class Submit(Value, frozen=True):
    """Add a job. Answered with `Submitted`; Refused if the key is in use or the queue is full."""

    submission: Submission
    at: float


class Kill(Value, frozen=True):
    """Stop a job, named by number or by the key of a live one. Answered with `Killed`.

    With `error`, JSON text, it counts as failed by that and not as killed.
    """

    target: int | str
    by: str
    at: float
    reason: str = "killed"
    error: str | None = None


class Pause(Value, frozen=True):
    """Start no further job of a queue; what runs goes on. Answered with None."""

    queue: str


class Resume(Value, frozen=True):
    """Start jobs of a paused queue again. Answered with None."""

    queue: str
    at: float


class Reconfigure(Value, frozen=True):
    """Take new queue rules. Refused if a queue with pending jobs would go away."""

    queues: tuple[Queue, ...]
    at: float


class Prepare(Value, frozen=True):
    """Fork workers until `count` are idle or on their way, so that the next start is quick."""

    count: int


Request = Submit | Kill | Pause | Resume | Reconfigure | Prepare | StopAll | StartAgain

# --- facts ----------------------------------------------------------------------------------


class Taken(Value, frozen=True):
    """A worker has the job and will run it."""

    job: int
    worker: int
    at: float


class CommandStarted(Value, frozen=True):
    """Command number `command` (from 0) of a job has begun; `pid` is None if it could not."""

    job: int
    worker: int
    command: int
    pid: int | None
    log_start: int
    at: float


class CommandEnded(Value, frozen=True):
    """Command number `command` of a job has ended."""

    job: int
    worker: int
    command: int
    end: CommandEnd


class Progressed(Value, frozen=True):
    """A job says how far it is. `worker` None: said by somebody else than its worker."""

    job: int
    worker: int | None
    progress: Progress


class JobEnded(Value, frozen=True):
    """A worker is done with a job; `ended_by` is TERM or KILL if a stop needed it.

    `progress` is the last one, if it was not told yet; `result` and `error` as in `Finished`.
    """

    job: int
    worker: int
    outcome: Outcome
    at: float
    ended_by: str | None = None
    result: str | None = None
    error: str | None = None
    progress: Progress | None = None


class JobReturned(Value, frozen=True):
    """A worker never took the job, or gave it back: it is pending again, at its old place.

    `handover` is the number of the hand-over that failed; a later one of the same job stands.
    """

    job: int
    worker: int
    handover: int
    at: float


class JobLost(Value, frozen=True):
    """The job may have begun and nobody can tell its end. It is never run again.

    `log_end` is the length of its log as found.
    """

    job: int
    worker: int
    reason: str
    at: float
    log_end: int = 0


class WorkerReported(Value, frozen=True):
    """A worker is connected, and this is what it has.

    `known` are all jobs that it has received or still has facts about, `missing` the hand-overs
    (job, hand-over number) that never reached it.
    """

    worker: int
    known: tuple[int, ...]
    missing: tuple[tuple[int, int], ...]
    at: float


class WorkerRested(Value, frozen=True):
    """A worker has had nothing to do for long; it goes home if that is still so."""

    worker: int


class WorkerGone(Value, frozen=True):
    """A worker has ended; the facts that settle its jobs follow."""

    worker: int


class WorkerSilent(Value, frozen=True):
    """The worker of a job lives but has not reported for 30 s; `silent` False when it does again."""

    job: int
    worker: int
    silent: bool


class Loaded(Value, frozen=True):
    """The pending jobs that a `Load` asked for, in starting order."""

    queue: str
    jobs: tuple[Job, ...]
    at: float


Fact = (
    Taken
    | CommandStarted
    | CommandEnded
    | Progressed
    | JobEnded
    | JobReturned
    | JobLost
    | WorkerReported
    | WorkerRested
    | WorkerGone
    | WorkerSilent
    | Loaded
)
Message = Request | Fact

# --- answers --------------------------------------------------------------------------------


class Submitted(Value, frozen=True):
    """The job that was added, or with `attached` the equal one that already waits."""

    job: Job
    attached: bool = False


class Killed(Value, frozen=True):
    """The job that is being stopped or has left its queue; None if no live job was named."""

    job: Job | None


class Reconfigured(Value, frozen=True):
    """The queues as they are now."""

    queues: tuple[Queue, ...]


Reply = Submitted | Killed | Reconfigured | AllStopped | None

# --- effects --------------------------------------------------------------------------------


class Save(Value, frozen=True):
    """Write the job's row. Only the last one of a job in a batch counts."""

    job: Job


class SavePaused(Value, frozen=True):
    """Remember over a restart that a queue is paused, or no longer."""

    queue: str
    paused: bool


class Tell(Value, frozen=True):
    """Publish the job as event number `job.changed`, after everything in the batch is saved."""

    job: Job


class Start(Value, frozen=True):
    """Hand the job to its worker (`job.worker`), forking it first if it is new."""

    job: Job


class Withdraw(Value, frozen=True):
    """Take back a job that lies ahead at a worker; the worker says JobReturned or has taken it."""

    job: int
    worker: int


class StopJob(Value, frozen=True):
    """Have a worker stop a job: TERM, `grace` seconds, KILL."""

    job: int
    worker: int
    grace: float


class Fork(Value, frozen=True):
    """Fork a worker that has nothing to do yet."""

    worker: int


class EndWorker(Value, frozen=True):
    """Send an idle worker home."""

    worker: int


class Load(Value, frozen=True):
    """Read up to `count` pending jobs of a queue behind job number `after`; answer with Loaded."""

    queue: str
    after: int
    count: int


class Answer(Value, frozen=True):
    """What the client that sent the request gets, after everything in the batch is saved."""

    reply: Reply


Effect = Save | SavePaused | Tell | Start | Withdraw | StopJob | Fork | EndWorker | Load | Answer
