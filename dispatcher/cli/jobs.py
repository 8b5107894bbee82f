"""The verbs about jobs that are there: list, show, kill, wait."""

from __future__ import annotations

from argparse import ArgumentTypeError

from dispatcher.cli import exits, output
from dispatcher.cli.connection import connect
from dispatcher.cli.times import read_time
from dispatcher.cli.watch import wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from dispatcher.cli.client import Client
    from dispatcher.cli.parser import Verbs
    from dispatcher.cli.shapes import Command, Job, JobList

_TITLES = ("JOB", "KEY", "QUEUE", "STATE", "CODE", "SINCE", "TOOK", "COMMANDS")
_RIGHT = frozenset({"JOB", "CODE", "TOOK"})
_PAGE = 500
_STATES = ("pending", "running", "finished")
_OUTCOMES = ("success", "failed", "killed", "timed_out", "lost", "skipped")


def add(verbs: Verbs) -> None:
    """Add the parsers."""
    parser = verbs.add(
        "list",
        list_jobs,
        "list pending and running jobs; with a time, state or outcome finished ones too, newest first",
        "dispatcher list\n"
        "dispatcher list --since yesterday          what happened last night\n"
        "dispatcher list --since 12h --outcome failed --json",
    )
    parser.add_argument("--all", action="store_true", help="finished ones, too")
    parser.add_argument("--state", choices=_STATES, help="only those in this state")
    parser.add_argument("--outcome", choices=_OUTCOMES, help="only those that ended so")
    parser.add_argument("-q", "--queue", metavar="QUEUE", help="only those of this queue")
    parser.add_argument(
        "--since", metavar="TIME", type=read_time, help="finished since: 12h, yesterday, 2026-11-21"
    )
    parser.add_argument("--until", metavar="TIME", type=read_time, help="finished before")
    parser.add_argument(
        "--limit", metavar="N", type=_count, default=100, help="at most so many (default: 100)"
    )
    parser.add_argument("--offset", metavar="N", type=_count, default=0, help="leave out the first ones")
    for name, function, line in (
        ("show", show, "show everything about a job"),
        ("wait", wait, "wait for the end of a job and exit as it did"),
    ):
        parser = verbs.add(name, function, line, f"dispatcher {name} 7\ndispatcher {name} build-1")
        parser.add_argument("job", metavar="JOB", type=target, help="its number or its key")
    parser = verbs.add(
        "kill", kill, "stop pending or running jobs", "dispatcher kill 7\ndispatcher kill build-1 build-2"
    )
    parser.add_argument("jobs", metavar="JOB", type=target, nargs="+", help="numbers or keys")


def target(text: str) -> int | str:
    """Read the name of a job: digits are its number, all else is its key."""
    return int(text) if text.isascii() and text.isdigit() else text


def list_jobs(arguments: argparse.Namespace) -> int:
    """List jobs."""
    with connect(arguments) as client:
        found = _pages(client, arguments)
    if arguments.json:
        output.write_json(found)
        return exits.SUCCESS
    if found["jobs"] or not output.is_terminal():
        output.write_table(_TITLES, [_row(job) for job in found["jobs"]], _RIGHT, cut=True)
    if not found["total"]:
        output.say(_nothing(arguments))
    shown = arguments.offset + len(found["jobs"])
    if shown < found["total"]:
        output.say(f"{len(found['jobs'])} of {found['total']} jobs; the next ones: --offset {shown}")
    return exits.SUCCESS


def _pages(client: Client, arguments: argparse.Namespace) -> JobList:
    found: JobList = {"jobs": [], "total": 0}
    names = ("state", "outcome", "queue", "since", "until")
    which = {name: getattr(arguments, name) for name in names}
    while True:
        wanted = arguments.limit - len(found["jobs"])
        page: JobList = client.call(
            "dispatcher.list",
            **which,
            all=arguments.all or None,
            offset=arguments.offset + len(found["jobs"]),
            limit=max(1, min(wanted, _PAGE)),
        )
        found["jobs"] += page["jobs"][:wanted]
        found["total"] = page["total"]
        if len(found["jobs"]) >= arguments.limit or not page["jobs"]:
            return found


def _nothing(arguments: argparse.Namespace) -> str:
    is_narrowed = any((arguments.state, arguments.outcome, arguments.queue, arguments.until))
    if arguments.all or arguments.since or is_narrowed:
        return "no such jobs"
    return "no pending or running jobs; finished ones: dispatcher list --all, or --since yesterday"


def _row(job: Job) -> tuple[str, ...]:
    first, *others = job["commands"]
    return (
        str(job["number"]),
        output.short_key(job["key"]),
        job["queue"],
        output.standing(job),
        "" if job["return_code"] is None else str(job["return_code"]),
        output.short_time(job["finished"] or job["started"] or job["submitted"]),
        output.duration(output.running_seconds(job)),
        first["text"] + (f" (and {len(others)} more)" if others else ""),
    )


def show(arguments: argparse.Namespace) -> int:
    """Show one job."""
    with connect(arguments) as client:
        job: Job = client.call("dispatcher.show", job=arguments.job)
    if arguments.json:
        output.write_json(job)
    else:
        _write_job(job)
    return exits.SUCCESS


def _write_job(job: Job) -> None:
    stop = job["stop"]
    output.write_fields(
        [
            ("job", str(job["number"])),
            ("key", job["key"]),
            ("queue", job["queue"]),
            ("state", output.standing(job)),
            ("reason", job["reason"]),
            (
                "stopped by",
                f"{stop['by']}, {output.local_time(stop['at'])}: {stop['reason']}" if stop else "",
            ),
            ("ended by", job["ended_by"] or ""),
            ("owner", " by ".join(filter(None, (job["owner"], job["protocol"])))),
            ("submitted", output.local_time(job["submitted"])),
            ("started", output.local_time(job["started"])),
            ("finished", output.local_time(job["finished"])),
            ("took", output.duration(output.running_seconds(job))),
        ]
    )
    print()
    titles = ("", "CODE", "TOOK", "COMMAND")
    rows = [
        (str(number), _code(command), output.duration(command["seconds"]), _text(command))
        for number, command in enumerate(job["commands"], 1)
    ]
    output.write_table(titles, rows, frozenset({"", "CODE", "TOOK"}))


def _code(command: Command) -> str:
    if command["code"] is None:
        return "runs" if command["started"] else ""
    return str(command["code"])


def _text(command: Command) -> str:
    notes = [command["signal"], command["error"]]
    if command["cut_bytes"]:
        notes.append(f"{command['cut_bytes']} bytes of its log were cut out")
    if command["leftovers"]:
        notes.append(f"left in the background: {', '.join(command['leftovers'])}")
    said = "; ".join(note for note in notes if note)
    return f"{command['text']}  [{said}]" if said else command["text"]


def kill(arguments: argparse.Namespace) -> int:
    """Stop jobs; UNKNOWN if one of them is not there."""
    killed: list[Job] = []
    missing: list[int | str] = []
    with connect(arguments) as client:
        for name in arguments.jobs:
            answer: dict[str, Job | None] = client.call("dispatcher.kill", job=name)
            job = answer["killed"]
            if job is not None:
                killed.append(job)
            else:
                missing.append(name)
    if arguments.json:
        output.write_json({"killed": killed, "missing": missing})
    else:
        for job in killed:
            is_over = job["state"] == "finished"
            print(f"{output.name_of(job)} {'was pending and is killed' if is_over else 'is being stopped'}")
    for name in missing:
        kind = "number" if isinstance(name, int) else "key"
        output.say(f"dispatcher: cannot kill {name!r}: no pending or running job has this {kind}")
    return exits.UNKNOWN if missing else exits.SUCCESS


def wait(arguments: argparse.Namespace) -> int:
    """Wait for a job."""
    job = wait_for(arguments, None, arguments.job)
    if job is None:
        return exits.INTERRUPTED
    if arguments.json:
        output.write_json(job)
    else:
        print(output.summary(job))
    return exits.of_job(job)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no number of jobs: write 0 or more")
    return int(text)
