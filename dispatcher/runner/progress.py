"""How far a job says it is: found in its output or written to a descriptor, and told once a second.

The first news is told at once, what follows within a second is told at its end, with the newest
values only. Standard library only, because workers import it.
"""

import json
import math
import re
from collections.abc import Callable

from dispatcher.runner.wire import encode

TELL_SECONDS = 1.0  # between two lines about one job
OUTPUT_LINE = 4096  # bytes of a line that are searched
PROGRESS_LINE = 64 * 1024  # bytes that a command may write in one line about its progress


class Progress:
    """The newest values of one job: percent from 0 to 100, a description, and `extra` as JSON text."""

    def __init__(self, job: int) -> None:
        self._job = job
        self._percent = 0
        self._description = ""
        self._extra = ""
        self._is_told = True
        self._tell_at = 0.0

    def note(self, percent: float | None, description: str = "", extra: str = "") -> None:
        """Take new values; None and what is empty leave the old ones."""
        old = self._percent, self._description, self._extra
        if percent is not None:
            self._percent = int(max(0.0, min(100.0, percent)))
        self._description = description or self._description
        self._extra = extra or self._extra
        if (self._percent, self._description, self._extra) != old:
            self._is_told = False

    def line(self, now: float) -> bytes:
        """Give the line that tells the newest values, if they are news and it is time."""
        if now < self._tell_at:
            return b""
        line = self.news()
        if line:
            self._tell_at = now + TELL_SECONDS
        return line

    def news(self) -> bytes:
        """Give that line now, if there is news: nothing comes after it."""
        if self._is_told:
            return b""
        self._is_told = True
        return encode({"progress": self._job, **self.fields()})

    def next_at(self) -> float | None:
        """When `line` has something to tell, in monotonic time; None if there is nothing new."""
        return None if self._is_told else self._tell_at

    def forget_told(self) -> None:
        """Tell it again, and at once: a new supervisor listens."""
        self._is_told = not self.fields()
        self._tell_at = 0.0

    def fields(self) -> dict[str, object]:
        """Give the newest values for a line; empty if nothing was ever said."""
        if not (self._percent or self._description or self._extra):
            return {}
        return {"percent": self._percent, "description": self._description, "extra": self._extra}


class LineCutter:
    """Cuts what a command writes into lines; a carriage return ends one as well.

    `take` gets each with `limit` bytes of it at most, and never an empty one.
    """

    def __init__(self, limit: int, take: Callable[[bytes], None]) -> None:
        self._limit = limit
        self._take = take
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Take output; pass on the lines that are complete now, unless they are empty."""
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        if lines:
            lines[0] = self._held + lines[0]
            self._held = b""
        for line in lines:
            if line:
                self._take(line[: self._limit])
        self._held += rest[: self._limit - len(self._held)]

    def finish(self) -> None:
        """Pass on what came after the last line: the command has ended."""
        if self._held:
            self._take(self._held)
        self._held = b""


class OutputProgress:
    """Finds the progress in lines of output, by a regular expression with named groups."""

    def __init__(self, pattern: str, progress: Progress) -> None:
        self._search = re.compile(pattern).search
        self._progress = progress

    def take(self, line: bytes) -> None:
        """Search one line; one that does not fit says nothing."""
        match = self._search(line.decode("utf-8", "replace"))
        if match is None:
            return
        groups = match.groupdict()
        description = (groups.get("description") or "").strip()
        self._progress.note(_percent(groups.get("percent") or ""), description)


class WrittenProgress:
    """Reads lines that commands write about their progress: `PERCENT [DESCRIPTION]`, or a JSON object.

    `complain` is called with a sentence for the first line that cannot be read; the others are passed over.
    """

    def __init__(self, progress: Progress, complain: Callable[[str], None]) -> None:
        self._progress = progress
        self._complain = complain
        self._has_complained = False

    def take(self, line: bytes) -> None:
        """Read one line."""
        text = line.decode("utf-8", "replace").strip()
        try:
            values = _from_json(text) if text.startswith("{") else _from_words(text)
        except (ValueError, TypeError, RecursionError):
            if not self._has_complained:
                self._has_complained = True
                self._complain(
                    f"cannot read the progress {text[:80]!r}: write PERCENT [DESCRIPTION], "
                    'or {"percent": NUMBER, "description": TEXT, "extra": ANYTHING}'
                )
            return
        self._progress.note(*values)


def _from_words(text: str) -> tuple[float, str, str]:
    percent, _, description = text.partition(" ")
    value = _percent(percent)
    if value is None:
        raise ValueError("no percent")
    return value, description.strip(), ""


def _from_json(text: str) -> tuple[float | None, str, str]:
    value = json.loads(text, parse_constant=_refuse)
    percent, description, extra = (value.get(name) for name in ("percent", "description", "extra"))
    if isinstance(percent, bool) or not isinstance(percent, int | float | None):
        raise TypeError("percent is no number")
    if not isinstance(description, str | None):
        raise TypeError("description is no text")
    shown = "" if extra in (None, "", [], {}) else json.dumps(extra, ensure_ascii=False)
    # A lone surrogate, which JSON can write, is nothing that the store could keep.
    return percent, _plain(description or ""), _plain(shown)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _percent(text: str) -> float | None:
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
