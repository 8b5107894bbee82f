"""From what a client wants to run to a submission: checked, split into arguments, routed to a queue."""

import random
import uuid

from dispatcher.access.roles import Caller
from dispatcher.core import routing, splitting
from dispatcher.core.model import Command, Submission, Task, Value
from dispatcher.errors import InvalidRequest
from dispatcher.settings import Settings

MAX_KEY = 255
MAX_TEXT = 1024 * 1024  # characters of all arguments of a job (more cannot start anyway), and of its input
MARK = "DISPATCHER_JOB"
OWN_QUEUE = "no_queue"  # where jobs without commands are listed


class JobRequest(Value, frozen=True):
    """What a client wants to run: command texts (split without a shell), argument lists, or commands.

    A `task` without commands is carried out by the supervisor itself; `stdin` is for the first command.
    """

    commands: tuple[str | tuple[str, ...] | Command, ...]
    key: str | None = None
    queue: str | None = None
    cwd: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    task: Task | None = None
    stdin: str | None = None


def submission_of(request: JobRequest, caller: Caller, settings: Settings) -> Submission:
    """Check a request and choose its queue. Raises InvalidRequest or Refused with the reason."""
    if request.stdin is not None and len(request.stdin) > MAX_TEXT:
        raise InvalidRequest(f"the input of a job has at most {MAX_TEXT} characters; upload what is longer")
    commands: tuple[Command, ...] = ()
    queue = OWN_QUEUE
    if request.commands or request.task is None:
        commands = _commands(request, settings.limits.commands_per_job)
        names = [queue.name for queue in settings.queues]
        queue = routing.route(commands, settings.routes, request.queue, names)
    return Submission(
        queue=queue,
        commands=commands,
        key=_key(request.key),
        owner=caller.name,
        cwd=_cwd(request.cwd),
        env=_env(request.env),
        protocol=caller.protocol,
        task=request.task,
        stdin=request.stdin,
    )


def _commands(request: JobRequest, limit: int) -> tuple[Command, ...]:
    if len(request.commands) > limit:
        raise InvalidRequest(
            f"a job has at most {limit} commands, not {len(request.commands)}; "
            "make several jobs of them or raise limits: commands_per_job"
        )
    read = [
        given if isinstance(given, Command) else splitting.read_command(given) for given in request.commands
    ]
    commands = tuple(command for command in read if command is not None)
    if not commands:
        raise InvalidRequest("there is no command to run: give at least one")
    if sum(len(argument) for command in commands for argument in command.argv) > MAX_TEXT:
        raise InvalidRequest(
            f"the arguments of a job have at most {MAX_TEXT} characters in all; put long texts into files"
        )
    return commands


def _key(key: str | None) -> str:
    if key is None:
        # From the process's own generator: it names a job and guards nothing, and asking the system
        # for random bytes took a tenth of the time of a short job.
        return str(uuid.UUID(int=random.getrandbits(128), version=4))
    if not 1 <= len(key) <= MAX_KEY:
        raise InvalidRequest(f"a job's id has 1 to {MAX_KEY} characters, not {len(key)}")
    if not key.isprintable():
        raise InvalidRequest("a job's id has no control characters and no line ends; leave them out")
    return key


def _cwd(cwd: str | None) -> str:
    if cwd is None:
        return "/"
    if not cwd.startswith("/") or "\0" in cwd:
        raise InvalidRequest(f"the working directory {cwd!r} is not an absolute path; begin it with /")
    return cwd


def _env(env: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    for name, value in env:
        if not name or "=" in name or "\0" in name + value:
            raise InvalidRequest(
                f"the environment variable {name!r} cannot be set: a name is not empty and has no = in it"
            )
        if name == MARK:
            raise InvalidRequest(f"the environment variable {MARK} is the dispatcher's own; use another name")
    return env
