"""Watch a job to its end: with a bar on a terminal, silently elsewhere. Ctrl-C ends only the watching."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

from dispatcher.cli import output
from dispatcher.cli.connection import connect, stay_connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Protocol

    from dispatcher.cli.client import Client
    from dispatcher.cli.shapes import Event, Job, Piece

    class Show(Protocol):
        """What is told of each change of the job."""

        def __call__(self, job: Job) -> None:
            """Take the job as it is now."""
            ...


def wait_for(arguments: argparse.Namespace, client: Client | None, target: int | str) -> Job | None:
    """Wait for a job's end, connecting first if need be; None after Ctrl-C, which has been explained."""
    try:
        client = client or connect(arguments)
        if output.is_terminal() and not arguments.json:
            return _wait_with_bar(arguments, client, target)
        job: Job = stay_connected(arguments, client, lambda now: now.call("dispatcher.wait", job=target))
    except KeyboardInterrupt:
        explain_interrupt(target)
        return None
    return job


def follow_log(
    arguments: argparse.Namespace, client: Client | None, target: int | str, *, command: int | None = None
) -> Job | None:
    """Write a job's log as it grows; give the job at the end, None after Ctrl-C. Connects as `wait_for`."""
    offset = 0

    def watch(client: Client) -> Job:
        nonlocal offset
        is_over = False
        client.watch_output()
        client.call("dispatcher.log_follow", job=target, command=command, offset=offset)
        while not is_over:
            method, piece = client.next_notification()
            if method == "dispatcher.log_data":
                _write_piece(arguments, piece)
                offset, is_over = piece["next"], piece["end"]
        # One command's log may end long before its job does.
        job: Job = client.call("dispatcher.show" if command is not None else "dispatcher.wait", job=target)
        return job

    try:
        return stay_connected(arguments, client or connect(arguments), watch)
    except KeyboardInterrupt:
        explain_interrupt(target)
        return None


def explain_interrupt(target: int | str) -> None:
    """Say what Ctrl-C did not do."""
    output.say(f"\njob {target} goes on; stop it with: dispatcher kill {target}")


def _write_piece(arguments: argparse.Namespace, piece: Piece) -> None:
    if arguments.json:
        output.write_json({name: value for name, value in piece.items() if name != "follow"})
    else:
        print(piece["text"], end="", flush=True)


def _wait_with_bar(arguments: argparse.Namespace, client: Client, target: int | str) -> Job:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        Elapsed(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)

        def show(job: Job) -> None:
            done = sum(command["ended"] is not None for command in job["commands"])
            now = job["commands"][min(done, len(job["commands"]) - 1)]["text"]
            said = f"job {job['number']} {output.standing(job)}: {output.clean(now)}"
            progress.update(bar, description=escape(said), completed=done, total=len(job["commands"]))

        return stay_connected(arguments, client, lambda now: _watch(now, target, show))


def _watch(client: Client, target: int | str, show: Show) -> Job:
    client.call("dispatcher.events", job=target, since=0)
    while True:
        method, event = client.next_notification()
        if method != "dispatcher.event":
            continue
        told: Event = event
        show(told["job"])
        if told["job"]["state"] == "finished":
            return told["job"]
