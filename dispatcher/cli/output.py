"""How things are shown: tables with rich on a terminal, aligned text in a pipe, JSON when asked for."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dispatcher.cli.shapes import Job

_STYLES = {
    "success": "green",
    "failed": "bold red",
    "killed": "red",
    "timed_out": "red",
    "lost": "bold red",
    "skipped": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "held": "yellow",
}


def is_terminal() -> bool:
    """Tell whether somebody looks at the output as it comes."""
    return sys.stdout.isatty()


def write_json(value: object) -> None:
    """Write one JSON document on one line; it leaves at once, because it may be one of a stream."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def say(sentence: str) -> None:
    """Tell the person something that is not the result, so it goes to stderr."""
    print(sentence, file=sys.stderr, flush=True)


def clean(text: str) -> str:
    """Make control characters visible: a command's text must not steer the terminal or break a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str], *, cut: bool = False
) -> None:
    """Write rows below their titles; the titles named in `right` are of numbers.

    On a terminal the last column takes what room is left: folded, or cut off where a row must
    stay one line. In a pipe nothing is cut.
    """
    rows = [[clean(cell) for cell in row] for row in rows]
    if is_terminal():
        _write_rich(titles, rows, right, cut=cut)
        return
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for cell, width, title in zip(row, widths, titles, strict=True)
        ]
        print("  ".join(cells).rstrip())


def write_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Write names and values, one pair a line; what is empty is left out."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        if value:
            print(f"{name.ljust(width)}  {clean(value)}")


def local_time(instant: str | None) -> str:
    """Write an instant in the local time: 2026-11-22 05:56:59."""
    if instant is None:
        return ""
    return f"{datetime.fromisoformat(instant).astimezone():%Y-%m-%d %H:%M:%S}"


def short_time(instant: str | None) -> str:
    """Write an instant for a narrow table: 05:56:59 if it is of today, else 11-21 22:00."""
    if instant is None or not is_terminal():
        return local_time(instant)
    moment, now = datetime.fromisoformat(instant).astimezone(), datetime.now().astimezone()
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%m-%d %H:%M}" if moment.year == now.year else f"{moment:%Y-%m-%d}"


def short_key(key: str) -> str:
    """Write a key for a narrow table: of one that was made up for its job the first letters are enough."""
    return f"{key[:8]}…" if is_terminal() and _is_made_up(key) else key


def duration(seconds: float | None) -> str:
    """Write a duration for people: 0.3 s, 12 s, 4:05, 2:03:09, 3 d 01:00."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02d}:{minute:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def running_seconds(job: Job) -> float | None:
    """Give how long a job ran or runs."""
    if job["started"] is None or job["finished"] is not None:
        return job["duration"]
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(job["started"])).total_seconds())


def standing(job: Job) -> str:
    """Say in one or two words where a job stands: its outcome, or its state."""
    if job["outcome"]:
        return job["outcome"]
    if job["unreachable"]:
        return "running, unreachable"
    return "running, stopping" if job["stop"] else job["state"]


def name_of(job: Job) -> str:
    """Name a job by its number, and by its key if somebody chose that."""
    return name_by(job["number"], job["key"])


def name_by(number: int, key: str) -> str:
    """Name a job of which no more is known."""
    return f"job {number}" if _is_made_up(key) else clean(f"job {number} ({key})")


def _is_made_up(key: str) -> bool:
    """Tell whether a key is a UUID, as jobs get whose client gave them none."""
    digits = key.replace("-", "")
    return len(key) == 36 and len(digits) == 32 and digits.isalnum() and digits.isascii()


def summary(job: Job) -> str:
    """Say in one sentence how a finished job ended."""
    parts = [f"{name_of(job)}: {job['outcome'] or job['state']}"]
    failed = next((one for one in job["commands"] if one["code"] not in (None, 0)), None)
    if failed is not None and job["outcome"] != "success":
        died = f", {failed['signal']}" if failed["signal"] else ""
        parts.append(f"{clean(failed['text'])} (code {failed['code']}{died})")
    if job["reason"] and (failed is None or job["outcome"] != "failed"):
        parts.append(clean(job["reason"]))
    if job["duration"] is not None:
        parts.append(f"after {duration(job['duration'])}")
    return ", ".join(parts)


def _write_rich(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str], *, cut: bool
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Said here because older versions of rich take an empty NO_COLOR for a wish, too.
    console = Console(no_color=bool(os.environ.get("NO_COLOR")))
    widest = max(12, console.width // 5)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold underline")
    for title in titles:
        # What can be made narrower first is the last column; rich leaves those of no_wrap for later.
        table.add_column(
            title,
            justify="right" if title in right else "left",
            no_wrap=title != titles[-1],
            overflow="ellipsis" if cut or title != titles[-1] else "fold",
            max_width=None if title == titles[-1] else widest,
        )
    for row in rows:
        # Text, because rich would read [brackets] in a command as markup.
        cells = [Text(cell, style=_STYLES.get(cell.split(",")[0], "")) for cell in row]
        if cut:
            cells[-1].no_wrap = True
        table.add_row(*cells)
    console.print(table)
