"""The times of rpc/logs: which span a call asks for, in any of the formats, and the keys of entries. Pure.

`relative_*` counts back from now for the end and from the end for the start, whatever the sign. A
format that has no name here is one of Qt's: `yyyy-MM-dd hh:mm:ss`. Without a format the times are not
looked at, as ever, and the last twelve hours are meant.
"""

import calendar
import re
import time
from collections.abc import Mapping
from datetime import datetime

from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest

DEFAULT_SECONDS = 12 * 3600.0
_RELATIVE = {"relative_second": 1.0, "relative_day": 86_400.0}
_FAR = 253_402_300_799  # the last second of the year 9999
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_LONG_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_LONG_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_TOKEN = re.compile(r"'((?:[^']|'')*)'|d{1,4}|M{1,4}|yyyy|yy|[hH]{1,2}|m{1,2}|s{1,2}|zzz|z|AP|ap|A|a")


class Window(Value, frozen=True):
    """A span of instants: `since` is included, `until` is not."""

    since: float
    until: float


def read_window(args: Mapping[str, object], now: float) -> Window:
    """Read `time_format`, `start_time` and `end_time`; InvalidRequest if they cannot be understood."""
    given = args.get("time_format")
    if given is None or given == "":
        return Window(now - DEFAULT_SECONDS, now)
    if not isinstance(given, str) or len(given) > 200:
        raise InvalidRequest("cannot read the times: `time_format` must be the name of a format")
    start, end = _text(args, "start_time"), _text(args, "end_time")
    until, until_step = (now, 0.0) if end is None else _instant(given, end, now, "end_time")
    if start is None:
        since = until - DEFAULT_SECONDS
    else:
        since, _ = _instant(given, start, until, "start_time")
    # The end is included, as far as its format is exact: to the second, or to the millisecond.
    until = min(until + until_step, now)
    if since > until:
        raise InvalidRequest("cannot read these logs: start_time is behind end_time, or in the future")
    return Window(since, until)


def entry_key(second: int, place: int) -> str:
    """Name an entry: its local second, and its place in that second if it is not the first one.

    Four digits, so that names sort as the entries came: `2026-11-22T07:33:00 (0002)`.
    """
    name = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second))
    return name if place == 1 else f"{name} ({place:04d})"


def _text(args: Mapping[str, object], name: str) -> str | None:
    value = args.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidRequest(f"cannot read the times: `{name}` must be a string")
    return str(value).strip()


def _instant(given: str, text: str, base: float, name: str) -> tuple[float, float]:
    """Give an instant, and how long the time that was named lasts."""
    match given:
        case "time_t_seconds":
            return float(_number(text, name)), 1.0
        case "epoch_mseconds":
            # 64 bits: the original's 32 end in January 1970.
            return _number(text, name, 1000 * _FAR) / 1000, 0.001
        case "relative_second" | "relative_day":
            return max(0.0, base - abs(_number(text, name)) * _RELATIVE[given]), 0.0
        case "relative_month":
            return _months_before(base, abs(_number(text, name))), 0.0
        case _:
            return _by_format(given, text, name), 1.0


def _number(text: str, name: str, most: int = _FAR) -> int:
    if not _NUMBER.fullmatch(text) or abs(int(text)) > most:
        raise InvalidRequest(f"cannot read `{name}` {text[:60]!r}: it must be a whole number, in range")
    return int(text)


def _months_before(base: float, months: int) -> float:
    then = datetime.fromtimestamp(base)  # noqa: DTZ006 - months are those of the local calendar
    number = then.year * 12 + then.month - 1 - months
    if number < 1970 * 12:
        return 0.0
    year, month = divmod(number, 12)
    day = min(then.day, calendar.monthrange(year, month + 1)[1])
    return then.replace(year=year, month=month + 1, day=day).timestamp()


def _by_format(given: str, text: str, name: str) -> float:
    found = re.fullmatch(_pattern(given), text, re.IGNORECASE)
    if found is None:
        raise InvalidRequest(
            f"cannot read `{name}` {text[:60]!r} as {given[:60]!r}; time_format is time_t_seconds,"
            " epoch_mseconds, relative_day, relative_month, relative_second, or as yyyy-MM-dd hh:mm:ss"
        )
    parts = {part: value for part, value in found.groupdict().items() if value is not None}
    hour = int(parts.get("h", 0))
    if "ap" in parts:
        if not 1 <= hour <= 12:
            raise InvalidRequest(f"cannot read `{name}` {text[:60]!r}: with AM or PM hours go from 1 to 12")
        hour = hour % 12 + (12 if parts["ap"].lower() == "pm" else 0)
    try:
        # What the format leaves out is as in Qt: the first of January 1900, midnight.
        return datetime(  # noqa: DTZ001 - local time, as everywhere on this wire
            _year(parts),
            _month(parts),
            int(parts.get("d", 1)),
            hour,
            int(parts.get("m", 0)),
            int(parts.get("s", 0)),
            int(parts.get("z", "0").ljust(3, "0")) * 1000,
        ).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"cannot read `{name}` {text[:60]!r}: there is no such time ({error})") from None


def _year(parts: Mapping[str, str]) -> int:
    return int(parts["y"]) if "y" in parts else 1900 + int(parts.get("y2", 0))


def _month(parts: Mapping[str, str]) -> int:
    if "mon" in parts:
        return [month.lower() for month in _MONTHS].index(parts["mon"].lower()[:3]) + 1
    return int(parts.get("mo", 1))


def _pattern(given: str) -> str:
    """Make a regular expression of one of Qt's formats. A part that comes twice must be the same twice."""
    pieces: list[str] = []
    seen: set[str] = set()
    at = 0
    while at < len(given):
        token = _TOKEN.match(given, at)
        if token is None:
            pieces.append(re.escape(given[at]))
            at += 1
            continue
        at = token.end()
        if token[1] is not None:
            pieces.append(re.escape(token[1].replace("''", "'") or "'"))
            continue
        name, pattern = _part(token[0])
        pieces.append(f"(?P={name})" if name in seen else f"(?P<{name}>{pattern})" if name else pattern)
        seen |= {name} - {""}
    return "".join(pieces)


def _part(letters: str) -> tuple[str, str]:
    """Give the name and the pattern of one part; the names of days say nothing, so they have no name."""
    match letters:
        case "dddd" | "ddd":
            return "", f"(?:{'|'.join(_LONG_DAYS if letters == 'dddd' else _DAYS)})"
        case "MMMM" | "MMM":
            return "mon", "|".join(_LONG_MONTHS if letters == "MMMM" else _MONTHS)
        case "yyyy":
            return "y", "[0-9]{4}"
        case "yy":
            return "y2", "[0-9]{2}"
        case "zzz":
            return "z", "[0-9]{3}"
        case "z":
            return "z", "[0-9]{1,3}"
        case "AP" | "ap" | "A" | "a":
            return "ap", "am|pm"
    name = {"d": "d", "M": "mo", "h": "h", "H": "h", "m": "m", "s": "s"}[letters[0]]
    return name, "[0-9]{2}" if len(letters) == 2 else "[0-9]{1,2}"
