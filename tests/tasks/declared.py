"""Tasks written as they would be in queues.yaml."""

from pathlib import Path
from textwrap import dedent

from dispatcher.tasks.declaration import TaskDeclaration
from dispatcher.tasks.reading import read_tasks
from dispatcher.yaml_reader import Source, parse


def tasks(text: str) -> tuple[TaskDeclaration, ...]:
    return read_tasks(parse(dedent(text).encode(), Source("q.yaml", Path("/"))), ["no_queue", "pkg_queue"])


def task(parameters: str = "{}", words: str = "echo", more: str = "") -> TaskDeclaration:
    """One task `do.it` whose parameters and command are written in one line each."""
    (found,) = tasks(f"do.it:\n  parameters: {parameters}\n  commands: [[{words}]]\n  {more}\n")
    return found
