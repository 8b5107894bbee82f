"""Values that TrueNAS clients unwrap from JSON: `{"$date": 1571300596053}` and its kin. Pure.

A client takes any object with one of these keys for a wrapped value, wherever it stands, and loses
the whole message if it cannot be unwrapped. So what comes in is checked, and what commands wrote is
made harmless before it goes out.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date, time

import msgspec

# Clients split these at the ":" and "-" and read plain numbers, nothing else of ISO 8601.
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_YEAR_3000 = 32_503_680_000_000  # milliseconds; what a client's calendar can hold for sure


def instant(seconds: float) -> dict[str, int]:
    """Wrap an instant, in milliseconds since the epoch."""
    return {"$date": round(seconds * 1000)}


def is_harmful(value: object) -> bool:
    """Tell whether a client would stumble over something in a JSON value."""
    match value:
        case dict():
            return not _can_unwrap(value) or any(map(is_harmful, value.values()))
        case list():
            return any(map(is_harmful, value))
        case _:
            return False


def harmless(value: object) -> object:
    """Give the same value, with what a client cannot unwrap as JSON text in its place."""
    match value:
        case dict():
            if not _can_unwrap(value):
                return msgspec.json.encode(value).decode()
            return {name: harmless(one) for name, one in value.items()}
        case list():
            return [harmless(one) for one in value]
        case _:
            return value


def _can_unwrap(value: Mapping[object, object]) -> bool:
    if len(value) == 2 and "$type" in value and "$value" in value:
        return value["$type"] == "date" and _is_date(value["$value"])
    if len(value) != 1:
        return True
    ((name, inner),) = value.items()
    reader = _READERS.get(name) if isinstance(name, str) else None
    return reader is None or reader(inner)


def _parses(read: Callable[[str], object], inner: object) -> bool:
    if not isinstance(inner, str):
        return False
    try:
        read(inner)
    except ValueError:
        return False
    return True


def _is_date(inner: object) -> bool:
    return isinstance(inner, str) and bool(_DATE.match(inner)) and _parses(date.fromisoformat, inner)


def _is_time(inner: object) -> bool:
    return isinstance(inner, str) and bool(_TIME.match(inner)) and _parses(time.fromisoformat, inner)


def _is_instant(inner: object) -> bool:
    return isinstance(inner, int) and not isinstance(inner, bool) and abs(inner) <= _YEAR_3000


def _is_set(inner: object) -> bool:
    return isinstance(inner, list) and not any(isinstance(one, dict | list) for one in inner)


_READERS: dict[str, Callable[[object], bool]] = {
    "$date": _is_instant,
    "$time": _is_time,
    "$set": _is_set,
    "$ipv4_interface": lambda inner: _parses(ipaddress.IPv4Interface, inner),
    "$ipv6_interface": lambda inner: _parses(ipaddress.IPv6Interface, inner),
}
