"""The methods that make jobs of commands: each task of queues.yaml, and `dispatcher.run` for any list."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from dispatcher.access.roles import Level
from dispatcher.api.service import JobRequest
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.jobs import JobRun
from dispatcher.api.truenas.method import Method, row
from dispatcher.api.truenas.parameters import Nothing
from dispatcher.api.truenas.problems import Errno, Mistake, call_error, invalid_params
from dispatcher.core.model import Task, Value
from dispatcher.tasks.arguments import masked
from dispatcher.tasks.calling import Prepared, prepare
from dispatcher.tasks.declaration import TaskDeclaration


class RunList(Value, frozen=True, forbid_unknown_fields=True):
    """A list of commands to run; `id` is the key of the job."""

    commands: Annotated[list[str | list[str]], Meta(min_length=1)]
    id: str | None = None
    queue: str | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None


class Run(Value, frozen=True):
    """The parameter of `dispatcher.run`."""

    job: RunList


def run_of(declaration: TaskDeclaration, given: Sequence[object]) -> JobRun:
    """Make what a call of a task runs. Raises Problem with all that is wrong with the arguments.

    The pipes that a task declares are the caller's business.
    """
    prepared = prepare(declaration, given)
    if not isinstance(prepared, Prepared):
        raise invalid_params(tuple(Mistake(one.path, one.sentence) for one in prepared))
    task = Task(
        declaration.name,
        masked(declaration.parameters, given),
        declaration.result,
        declaration.description or None,
        declaration.pattern,
        declaration.has_progress_fd,
        declaration.input,
        declaration.output,
    )
    request = JobRequest(
        prepared.commands,
        queue=declaration.queue,
        cwd=declaration.cwd,
        env=prepared.env,
        task=task,
        stdin=prepared.stdin,
    )
    return JobRun(request, level_of(declaration))


def level_of(declaration: TaskDeclaration) -> Level:
    """Give the access that it takes to call a task."""
    return Level.FULL if declaration.needs_full else Level.READ


def task_method(declaration: TaskDeclaration) -> Method:
    """Make the method that a task is."""

    async def call(_: Client, given: Sequence[object]) -> object:
        run = run_of(declaration, given)
        for is_wanted, name in ((declaration.input, "input"), (declaration.output, "output")):
            if is_wanted:
                raise call_error(Errno.EINVAL, f"Pipe '{name}' is not open", kind="ValueError")
        return run

    return Method(
        declaration.name,
        Nothing,
        level_of(declaration),
        call,
        declaration.description or "Run a task.",
        is_job=True,
        mask=lambda given: masked(declaration.parameters, given),
    )


def find_task(client: Client, name: str) -> TaskDeclaration | None:
    """Find a task in the settings that are in force."""
    return next((task for task in client.service.settings.tasks if task.name == name), None)


async def _run(client: Client, params: Run) -> JobRun:
    del client
    job = params.job
    commands = tuple(one if isinstance(one, str) else tuple(one) for one in job.commands)
    request = JobRequest(commands, job.id, job.queue, job.cwd, tuple((job.env or {}).items()))
    return JobRun(request)


TASK_ROWS = (row("dispatcher.run", Run, Level.FULL, _run, "Run a list of commands as one job.", is_job=True),)
