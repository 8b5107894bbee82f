"""The verb that reads the audit: who changed what. It needs no running daemon, only the right to its file."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

import contextlib
import json
import sys

from dispatcher.cli import exits, output
from dispatcher.cli.times import read_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from dispatcher.cli.parser import Verbs
    from dispatcher.logs.history import History

_LOOK_AGAIN = 0.25  # seconds


def add(verbs: Verbs) -> None:
    """Add the parser."""
    parser = verbs.add(
        "audit",
        audit,
        "show who changed what, and who logged in",
        "dispatcher audit\ndispatcher audit --since yesterday\n"
        "dispatcher audit --since 7d --json         one object a line, as it is kept\n"
        "dispatcher audit --follow                  what is noted from now on, until Ctrl-C",
    )
    parser.add_argument("--since", metavar="TIME", type=read_time, help="nothing before: 12h, ...")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until Ctrl-C; without --since begin now"
    )


def audit(arguments: argparse.Namespace) -> int:
    """Write the audit, the oldest entry first; with --follow also what comes, until Ctrl-C."""
    from pathlib import Path

    from dispatcher.config import load
    from dispatcher.logs.history import History

    settings = load(Path(arguments.config).absolute() if arguments.config else None)
    history = History(settings.log_dir / "audit.log", settings.audit.file_bytes, settings.audit.files)
    since = arguments.since.encode() if arguments.since else None
    found = _follow(history, since) if arguments.follow else history.forwards(since or b"")
    for line in _lines(history.path, found):
        if arguments.json:
            sys.stdout.write(line + "\n")
        else:
            _write(line)
    return exits.SUCCESS


def _follow(history: History, since: bytes | None) -> Iterator[bytes]:
    """Give lines without an end. Raises FileNotFoundError if there is not even a folder for them."""
    import select

    from dispatcher.logs.history_tail import HistoryTail

    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):  # output that is no file
        poll.register(sys.stdout.fileno(), 0)  # the end of a pipe's reader is told without asking
    history.path.parent.stat()
    with contextlib.closing(HistoryTail(history, since)) as tail:
        while True:
            yield from tail.read()
            sys.stdout.flush()
            # By stat: no way of hearing of a change is there on every system and file system.
            if poll.poll(_LOOK_AGAIN * 1000):
                raise BrokenPipeError


def _lines(path: Path, found: Iterator[bytes]) -> Iterator[str]:
    try:
        for one in found:
            yield one.decode("utf-8", "replace")
    except BrokenPipeError:
        raise
    except FileNotFoundError:
        raise exits.Usage(
            f"cannot read the audit: there is no {path} yet; is this the daemon's log_dir (--config)?"
        ) from None
    except OSError as error:
        raise exits.Usage(
            f"cannot read the audit {path}: {error.strerror}; be root or the daemon's user"
        ) from None


def _write(line: str) -> None:
    try:
        entry = json.loads(line)
    except ValueError:
        return  # torn by a crash of the machine
    parts = [
        output.local_time(entry.get("at")),
        entry.get("who") or "-",
        entry.get("protocol") or "-",
        entry.get("from") or "-",
        entry.get("what") or "-",
        *_details(entry),
    ]
    answer = entry.get("answer")
    if answer and answer != "done":
        parts.append(f"-> {answer}")
    print("  ".join(output.clean(str(part)) for part in parts))


def _details(entry: dict[str, object]) -> Iterator[str]:
    for name in ("by", "queue", "lines", "user", "nickname", "email", "address", "reason"):
        if entry.get(name):
            yield str(entry[name])
    if entry.get("tries"):
        yield f"{entry['tries']} tries"
    jobs = entry.get("jobs")
    shown = [_job(job) for job in jobs if isinstance(job, dict)] if isinstance(jobs, list) else []
    if shown:
        yield "; ".join(shown)
    commands = entry.get("commands")
    if isinstance(commands, list) and commands:
        yield "; ".join(map(str, commands))
    changes = entry.get("changes")
    if isinstance(changes, list) and changes:
        yield "; ".join(map(str, changes))


def _job(job: dict[str, object]) -> str:
    """Say what was asked of one job: its number or what it was called, its commands, and a refusal."""
    name = (
        f"job {job['number']}" if job.get("number") else str(job.get("key") or job.get("target") or "a job")
    )
    commands = job.get("commands")
    texts = f": {', '.join(map(str, commands))}" if isinstance(commands, list) else ""
    answer = job.get("answer")
    plain = answer in (None, "added", "stopping")
    return f"{name}{texts}" if plain else f"{name}{texts} ({answer})"
