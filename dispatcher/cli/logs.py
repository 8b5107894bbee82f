"""The verbs that read along: log and events."""

from __future__ import annotations

from argparse import ArgumentTypeError

from dispatcher.cli import exits, output
from dispatcher.cli.connection import connect, stay_connected
from dispatcher.cli.jobs import target
from dispatcher.cli.watch import follow_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.cli.client import Client
    from dispatcher.cli.parser import Verbs
    from dispatcher.cli.shapes import Event, Job, Piece


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    parser = verbs.add(
        "log",
        log,
        "write what a job's commands wrote",
        "dispatcher log 7\ndispatcher log -f build-1         go on until the job ends, and exit as it did\n"
        "dispatcher log 7 --command 2       only what the second command wrote",
    )
    parser.add_argument("job", metavar="JOB", type=target, help="its number or its key")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the end")
    parser.add_argument("--command", metavar="N", type=_position, help="only of this command; the first is 1")
    parser = verbs.add(
        "events",
        events,
        "tell of every change of every job, until Ctrl-C",
        "dispatcher events\ndispatcher events --since 1042 --json     what changed since, first",
    )
    parser.add_argument("--since", metavar="N", type=int, help="first what changed after event N")


def _position(text: str) -> int:
    """Read the number of a command, which people count from 1 and the daemon from 0."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no command: the first is 1")
    return int(text) - 1


def log(arguments: argparse.Namespace) -> int:
    """Write a log, at once or as it grows."""
    if arguments.follow:
        job = follow_log(arguments, None, arguments.job, command=arguments.command)
        if job is None:
            return exits.INTERRUPTED
        return exits.of_job(job) if job["outcome"] else exits.SUCCESS
    with connect(arguments) as client:
        _write_log(client, arguments)
    return exits.SUCCESS


def _write_log(client: Client, arguments: argparse.Namespace) -> None:
    texts: list[str] = []
    first: int | None = None
    offset = 0
    while True:
        piece: Piece = client.call(
            "dispatcher.log", job=arguments.job, command=arguments.command, offset=offset
        )
        first = piece["offset"] if first is None else first
        if arguments.json:
            texts.append(piece["text"])
        else:
            print(piece["text"], end="")
        if piece["end"] or piece["next"] <= offset:
            break
        offset = piece["next"]
    if arguments.json:
        whole: Piece = {**piece, "text": "".join(texts), "offset": first}
        output.write_json(whole)


def events(arguments: argparse.Namespace) -> int:
    """Tell of changes until Ctrl-C; over a restart of the daemon, too, without a gap."""
    since: int | None = arguments.since

    def watch(client: Client) -> int:
        nonlocal since
        client.watch_output()
        answer: dict[str, int | None] = client.call("dispatcher.events", since=since)
        if answer["truncated"]:
            output.say(f"dispatcher: older jobs are gone: the first event kept is {answer['truncated']}")
        # From here on a new connection can begin where this one broke off.
        since = answer["last"] if since is None else since
        while True:
            method, event = client.next_notification()
            if method == "dispatcher.event":
                _write_event(arguments, event)
                since = event["seq"]

    return stay_connected(arguments, connect(arguments), watch)


def _write_event(arguments: argparse.Namespace, event: Event) -> None:
    if arguments.json:
        output.write_json(event)
        return
    job = event["job"]
    parts = [str(event["seq"]), output.local_time(_moment(job)), output.name_of(job), job["queue"]]
    print("  ".join((*parts, output.standing(job), output.clean(_doing(job)))).rstrip(), flush=True)


def _moment(job: Job) -> str:
    """Give the time of the newest thing that happened to the job."""
    ran = [command["ended"] or command["started"] for command in job["commands"]]
    return max(filter(None, (job["finished"], job["started"], job["submitted"], *ran)))


def _doing(job: Job) -> str:
    number = sum(command["ended"] is not None for command in job["commands"])
    if job["state"] == "running" and number < len(job["commands"]):
        return f"{number + 1}/{len(job['commands'])} {job['commands'][number]['text']}"
    return "" if job["return_code"] is None else f"code {job['return_code']}"
