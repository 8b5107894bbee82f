"""The verbs about queues: queues, pause, resume, reload."""

from __future__ import annotations

from dispatcher.cli import exits, output
from dispatcher.cli.connection import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.cli.parser import Verbs
    from dispatcher.cli.shapes import Queue

_TITLES = ("QUEUE", "STATE", "RUNNING", "AT ONCE", "PENDING", "GRACE", "ON DUPLICATE", "AFTER LOST")
_RIGHT = frozenset({"RUNNING", "AT ONCE", "PENDING", "GRACE"})


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    verbs.add("queues", queues, "list the queues and what is in them", "dispatcher queues")
    for name, function, line in (
        ("pause", pause, "start no further job of a queue; what runs goes on"),
        ("resume", resume, "start the jobs of a paused queue again"),
    ):
        parser = verbs.add(name, function, line, f"dispatcher {name} pkg_queue")
        parser.add_argument("queue", metavar="QUEUE")
    verbs.add("reload", reload, "have the daemon read its settings again", "dispatcher reload")


def queues(arguments: argparse.Namespace) -> int:
    """List the queues."""
    with connect(arguments) as client:
        found: list[Queue] = client.call("dispatcher.queues")
    if arguments.json:
        output.write_json(found)
        return exits.SUCCESS
    rows = [
        (
            queue["name"],
            "held" if queue["held"] else "paused" if queue["paused"] else "open",
            str(queue["running"]),
            str(queue["concurrency"]),
            str(queue["pending"]),
            output.duration(queue["grace"]),
            queue["on_duplicate"],
            "pause" if queue["after_lost"] == "pause" else "go on",
        )
        for queue in found
    ]
    output.write_table(_TITLES, rows, _RIGHT)
    return exits.SUCCESS


def pause(arguments: argparse.Namespace) -> int:
    """Pause a queue."""
    return _switch(arguments, "dispatcher.pause", "is paused; go on with: dispatcher resume")


def resume(arguments: argparse.Namespace) -> int:
    """Let a queue go on."""
    return _switch(arguments, "dispatcher.resume", "goes on")


def _switch(arguments: argparse.Namespace, method: str, sentence: str) -> int:
    with connect(arguments) as client:
        answer = client.call(method, queue=arguments.queue)
    if arguments.json:
        output.write_json(answer)
    elif method == "dispatcher.pause":
        print(f"{arguments.queue} {sentence} {arguments.queue}")
    else:
        print(f"{arguments.queue} {sentence}")
    return exits.SUCCESS


def reload(arguments: argparse.Namespace) -> int:
    """Have the settings read again."""
    try:
        with connect(arguments) as client:
            answer: dict[str, list[str]] = client.call("dispatcher.reload")
    except exits.CallFailed as error:
        if error.name == "EINVAL":  # what was called takes no arguments, so the settings are wrong
            raise exits.Usage(error.sentence) from None
        raise
    if arguments.json:
        output.write_json(answer)
    else:
        print("\n".join(answer["changed"]))
    return exits.SUCCESS
