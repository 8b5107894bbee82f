"""The things that the dispatcher knows: jobs, their commands, and how far each has come.

Everything is frozen: a change makes a new value. What is true only in one state
(a worker, an outcome) lives inside that state, so an impossible job cannot be written down.
Instants are seconds since the epoch, UTC, as float; durations are seconds as float.
"""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a job stands, in the words of both protocols."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How a finished job ended."""

    SUCCESS = "success"  # every command exited 0
    FAILED = "failed"  # a command exited otherwise, or could not start
    KILLED = "killed"  # somebody asked for it
    TIMED_OUT = "timed_out"  # it ran longer than it may
    LOST = "lost"  # its worker or the machine went down under it
    SKIPPED = "skipped"  # a job it waited for did not succeed


class Value(msgspec.Struct, frozen=True):
    """Base of everything frozen here; compared and hashed by content."""


MASK = "********"  # stands wherever a secret is shown
SUPERVISOR = 0  # the worker number of a job without commands, which the supervisor carries out itself


class Command(Value, frozen=True):
    """One external program: `argv` is what is executed, `text` is what people are shown.

    `hidden` are the places in `argv` that hold a secret; `text` has it masked already.
    """

    argv: tuple[str, ...]
    text: str
    hidden: tuple[int, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """The arguments as people may see them."""
        if not self.hidden:
            return self.argv
        return tuple(MASK if place in self.hidden else word for place, word in enumerate(self.argv))


class CommandEnd(Value, frozen=True):
    """How one command ended, as its worker saw it.

    `code` is the exit status, 128 + n after death by signal n, or -1 if it could not start
    or was lost. `log_end` is the offset behind its last byte in the job's log, `cut_bytes`
    what the cap took out. `leftovers` names processes that it left in the background.
    """

    at: float
    code: int
    seconds: float
    log_end: int
    signal: str | None = None
    error: str | None = None
    cut_bytes: int = 0
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    max_rss_bytes: int = 0
    leftovers: tuple[str, ...] = ()


class CommandRun(Value, frozen=True):
    """One command of a job that has begun; `pid` is None if it could not start."""

    at: float
    pid: int | None
    log_start: int
    end: CommandEnd | None = None


class Stop(Value, frozen=True):
    """The wish that a running job end, saved before it is answered. Nobody's is the dispatcher's own.

    With `error`, JSON text, the job counts as failed by that and not as killed.
    """

    at: float
    by: str
    reason: str = "killed"
    error: str | None = None

    @property
    def outcome(self) -> Outcome:
        """What a job comes to that ends by this wish."""
        return Outcome.KILLED if self.error is None else Outcome.FAILED

    @property
    def sentence(self) -> str:
        """Why the job ends, and who wished it."""
        return f"{self.reason} by {self.by}" if self.by else self.reason


class Pending(Value, frozen=True, tag="pending"):
    """Waiting. `worker` is set while the job lies ahead at a worker that has not taken it yet.

    `handover` is the number of that hand-over; it never returns.
    `stop` is set if the job is to end while nobody knows yet whether that worker has taken it.
    """

    worker: int | None = None
    boot_id: str = ""
    handover: int = 0
    stop: Stop | None = None


class Running(Value, frozen=True, tag="running"):
    """Given to a worker. `unreachable` since its worker holds its lock but does not report."""

    started_at: float
    worker: int
    boot_id: str
    handover: int = 0
    stop: Stop | None = None
    unreachable: bool = False


class Finished(Value, frozen=True, tag="finished"):
    """Over. `started_at` is None if it never ran; `ended_by` is the signal that a stop needed.

    `result` is what a task's commands wrote on stdout, as far as its declaration wants it; of a job
    without commands it is the JSON text of its result, and `error` that of its error.
    """

    outcome: Outcome
    finished_at: float
    started_at: float | None = None
    reason: str = ""
    ended_by: str | None = None
    result: str | None = None
    error: str | None = None


Phase = Pending | Running | Finished


class ResultKind(StrEnum):
    """What the result of a task's job is."""

    OUTCOME = "outcome"  # the outcome and every return code, when nothing else is declared
    RETURN_CODE = "return_code"  # of the last command
    STDOUT = "stdout"  # the text that its commands wrote on stdout, one after another
    JSON = "json"  # the same, read as JSON


class Task(Value, frozen=True, omit_defaults=True):
    """The method that a job was called as, and what its worker reads and connects for it.

    `arguments` is the JSON list as given, secrets masked. `pattern` finds the progress in the output;
    with `has_progress_fd` the commands write it to a descriptor. `input` and `output` are pipes that
    the supervisor made, for the stdin and stdout of all commands in turn. `credentials` is the JSON
    object of who called, or empty.
    """

    method: str
    arguments: str = "[]"
    result: ResultKind = ResultKind.OUTCOME
    description: str | None = None
    pattern: str = ""
    has_progress_fd: bool = False
    input: bool = False
    output: bool = False
    credentials: str = ""


class Progress(Value, frozen=True):
    """How far a job says it is: whole percent from 0 to 100; `extra` is JSON text or empty."""

    percent: int = 0
    description: str = ""
    extra: str = ""


class Submission(Value, frozen=True, omit_defaults=True):
    """What a client asks to be run: checked, routed to a queue, and not yet a job.

    Without commands it is carried out by the supervisor itself and waits for no queue.
    `stdin` is what the first command reads; without it, nothing.
    """

    queue: str
    commands: tuple[Command, ...]
    key: str
    owner: str
    cwd: str = "/"
    env: tuple[tuple[str, str], ...] = ()
    protocol: str = ""
    task: Task | None = None
    stdin: str | None = None

    @property
    def has_pipes(self) -> bool:
        """Whether a client feeds the job or reads from it; no other request asks for the same."""
        return self.task is not None and (self.task.input or self.task.output)


class Job(Value, frozen=True):
    """A submission with its number, and how far it has come.

    `number` never returns. `changed` is the number of the event that last told of it.
    `runs` holds one entry per command that has begun, in order.
    """

    number: int
    submission: Submission
    submitted_at: float
    phase: Phase
    runs: tuple[CommandRun, ...] = ()
    changed: int = 0
    progress: Progress | None = None

    @property
    def key(self) -> str:
        """The client's name for the job."""
        return self.submission.key

    @property
    def queue(self) -> str:
        """The queue the job belongs to."""
        return self.submission.queue

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands in the order in which they run."""
        return self.submission.commands

    @property
    def state(self) -> State:
        """The state, in the protocols' words."""
        match self.phase:
            case Pending():
                return State.PENDING
            case Running():
                return State.RUNNING
            case Finished():
                return State.FINISHED

    @property
    def worker(self) -> int | None:
        """The worker that has the job or may have it; None if no worker can know of it."""
        return None if isinstance(self.phase, Finished) else self.phase.worker


class OnDuplicate(StrEnum):
    """What a queue does with a key that is already pending or running."""

    REFUSE = "refuse"
    ATTACH = "attach"  # answer with the waiting job, if its commands are the same


class Leftovers(StrEnum):
    """What happens to background processes of a command that has ended."""

    KEEP = "keep"
    STOP = "stop"


class AfterLost(StrEnum):
    """What a queue does after one of its jobs was lost."""

    GO_ON = "go_on"
    PAUSE = "pause"  # until somebody resumes it


class Queue(Value, frozen=True):
    """The rules of one queue; `concurrency` jobs run at once, `grace` seconds lie between TERM and KILL."""

    name: str
    concurrency: int = 1
    grace: float = 10.0
    on_duplicate: OnDuplicate = OnDuplicate.REFUSE
    max_pending: int = 1_000_000
    leftovers: Leftovers = Leftovers.KEEP
    after_lost: AfterLost = AfterLost.GO_ON
