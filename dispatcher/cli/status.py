"""The verb `status`: whether the daemon answers, where, and what it has to do."""

from __future__ import annotations

import time

from dispatcher.cli import exits, output
from dispatcher.cli.client import Client
from dispatcher.cli.connection import socket_path
from dispatcher.cli.times import read_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.cli.parser import Verbs
    from dispatcher.cli.shapes import JobList, Queue

_PAUSE_SECONDS = 0.1
_SHOWN = 100  # running jobs


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    parser = verbs.add(
        "status",
        status,
        "say whether the daemon answers, on which socket, and what runs and waits",
        "dispatcher status\ndispatcher status --wait 10    after a start, until it answers",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=read_seconds,
        default=0.0,
        help="if it does not answer yet, wait for it",
    )


def status(arguments: argparse.Namespace) -> int:
    """Say how the daemon is; NO_DAEMON if it does not answer in time."""
    path = socket_path(arguments)
    with _connect(path, time.monotonic() + arguments.wait) as client:
        queues: list[Queue] = client.call("dispatcher.queues")
        found: JobList = client.call("dispatcher.list", state="running", offset=0, limit=_SHOWN)
    jobs = found["jobs"]
    pending = sum(queue["pending"] for queue in queues)
    paused = [queue["name"] for queue in queues if queue["paused"]]
    is_held = any(queue["held"] for queue in queues)
    if arguments.json:
        output.write_json(
            {
                "socket": path,
                "running": found["total"],
                "pending": pending,
                "paused": paused,
                "held": is_held,
                "jobs": jobs,
            }
        )
        return exits.SUCCESS
    fields = [("socket", path), ("running", str(found["total"])), ("pending", str(pending))]
    fields.append(("paused", ", ".join(paused)))
    if is_held:
        fields.append(("held", "no job starts after stopjobs; go on with: dispatcher startjobs"))
    output.write_fields(fields)
    for job in jobs:
        text = output.clean(job["commands"][0]["text"])
        print(f"{output.name_of(job)} in {job['queue']}: {text}")
    return exits.SUCCESS


def _connect(path: str, deadline: float) -> Client:
    while True:
        try:
            return Client(path)
        except exits.NoDaemon:
            if time.monotonic() >= deadline:
                raise
        # Nothing tells when a daemon starts; asking for its socket is all that can be done.
        time.sleep(_PAUSE_SECONDS)
