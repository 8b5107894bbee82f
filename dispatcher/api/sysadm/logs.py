"""rpc/logs: `read_logs`, for callers who may read. What it gives is bounded, with a way to go on.

The newest entries come first in choice, and sorted in the answer. If a log has more than fits, its
name stands in `truncated` (how many entries there are) and in `next`: a text that, given back as
`next`, reads the entries before those. The same names and times need not be said again with it.
"""

import math
import re
from collections.abc import Callable, Mapping

from dispatcher.access.roles import Caller
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.log_sources import Entry, Source
from dispatcher.api.sysadm.log_times import Window, entry_key, read_window
from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest

READ_BYTES = 1024 * 1024  # of one log in one answer
_NEXT = re.compile(r"([0-9]{1,15})-([0-9]{1,15})-([0-9]{1,15})")


class Part(Value, frozen=True):
    """Which part of a log is asked for: a span, and how many of its newest entries are known already."""

    log: str
    window: Window
    offset: int = 0

    @property
    def text(self) -> str:
        """Write it as `next` does."""
        since, until = (math.floor(at * 1000) for at in (self.window.since, self.window.until))
        return f"{since}-{until}-{self.offset}"


class Logs:
    """All logs by name."""

    def __init__(
        self, sources: Mapping[str, Source], clock: Callable[[], float], read_bytes: int = READ_BYTES
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._read_bytes = read_bytes

    async def answer(self, call: Call, caller: Caller) -> dict[str, object]:
        """Carry out a call of rpc/logs."""
        args = call.args
        action = args.get("action") if isinstance(args, dict) else None
        if not isinstance(args, dict) or not isinstance(action, str) or action.lower() != "read_logs":
            raise InvalidRequest("cannot tell what to do: give args with `action`: read_logs")
        found: dict[str, object] = {}
        truncated: dict[str, object] = {}
        following: dict[str, object] = {}
        for part in self._parts(args):
            source = self._sources[part.log]
            entries, more = await source.newest(caller, part.window, part.offset, self._read_bytes)
            shown = part.offset + len(entries)
            if entries:
                before = await self._before(part, entries, source, caller) if more else 0
                found[part.log] = _named(entries, before)
            if more:
                truncated[part.log] = await source.count(caller, part.window)
                following[part.log] = Part(part.log, part.window, shown).text
        found = {name: entries for name, entries in found.items() if entries}
        return found | ({"truncated": truncated, "next": following} if truncated else {})

    def _parts(self, args: Mapping[str, object]) -> list[Part]:
        following = args.get("next")
        if following is not None:
            return self._following(following)
        window = _whole_milliseconds(read_window(args, self._clock()))
        return [Part(name, window) for name in self._names(args.get("logs"))]

    def _names(self, given: object) -> list[str]:
        if given is None or given in ("", []):
            return list(self._sources)
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list):
            raise InvalidRequest("cannot tell which logs: `logs` must be a name or an array of names")
        # Unknown names are skipped, as ever; each log once.
        return [name for name in self._sources if name in names]

    def _following(self, given: object) -> list[Part]:
        if not isinstance(given, dict):
            raise InvalidRequest("cannot go on: give `next` as the answer before gave it")
        parts = []
        for name, text in given.items():
            found = _NEXT.fullmatch(text) if isinstance(text, str) else None
            if found is None or name not in self._sources:
                raise InvalidRequest(f"cannot go on with {name[:60]!r}: give `next` as the answer gave it")
            window = Window(int(found[1]) / 1000, int(found[2]) / 1000)
            parts.append(Part(name, window, int(found[3])))
        return parts

    async def _before(self, part: Part, entries: list[Entry], source: Source, caller: Caller) -> int:
        """Count the entries of the oldest second here that come only with the next page."""
        begin = max(float(math.floor(entries[-1].at)), part.window.since)
        total = await source.count(caller, Window(begin, part.window.until))
        return max(0, total - part.offset - len(entries))


def _named(entries: list[Entry], before: int) -> dict[str, object]:
    """Give each entry the name of its second; `before` older ones of the first second are not here."""
    named: dict[str, object] = {}
    places = {math.floor(entries[-1].at): before}
    oldest_first = entries[::-1]
    oldest_first.sort(key=lambda one: one.at)  # stable: those of one instant stay as they came
    for entry in oldest_first:
        second = math.floor(entry.at)
        places[second] = places.get(second, 0) + 1
        if entry.value is not None:
            named[entry_key(second, places[second])] = entry.value
    return named


def _whole_milliseconds(window: Window) -> Window:
    """Cut both ends to what `next` can say, so that all pages are of one span."""
    return Window(math.floor(window.since * 1000) / 1000, math.floor(window.until * 1000) / 1000)
