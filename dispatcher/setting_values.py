"""Read one value of the settings by its row of the table, or say what would be right."""

import ipaddress
import re
from pathlib import Path

from dispatcher.setting_keys import GIB, KIB, MIB, Key, Kind
from dispatcher.yaml_reader import Entry, suggest

# 18 digits: more would only make int() or float() fail in ways of their own.
_COUNT = re.compile(r"(?:0|[1-9][0-9_]{0,17})\Z", re.ASCII)
_MEASURE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)[ ]*([A-Za-z]*)\Z", re.ASCII)
_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
# sun_path holds 104 bytes on FreeBSD and 108 on Linux, with the NUL behind the path.
_LONGEST_SOCKET = 103


def read_section(entry: Entry, keys: tuple[Key, ...]) -> tuple[dict[str, object], dict[str, Entry]]:
    """Read a mapping by its table: the values that are written, and the entry of each key."""
    known = {key.name: key for key in keys}
    values: dict[str, object] = {}
    entries: dict[str, Entry] = {}
    for name, key_entry, value in entry.pairs(f"a mapping with keys such as '{keys[0].name}:'"):
        if name not in known:
            raise key_entry.wrong("there is no such key", suggest(name, known, "the keys here are"))
        entries[name] = value
        if known[name].kind is not Kind.SECTION:
            values[name] = read_value(value, known[name])
    return values, entries


def read_value(entry: Entry, key: Key) -> object:
    """Read a single value."""
    match key.kind:
        case Kind.COUNT:
            return _read_count(entry, key)
        case Kind.DURATION:
            return _read_duration(entry, key)
        case Kind.SIZE:
            return _read_size(entry, key)
        case Kind.DAYS:
            return _read_days(entry, key)
        case Kind.FLAG:
            return _read_flag(entry)
        case Kind.CHOICE:
            return _read_choice(entry, key)
        case Kind.PATH:
            return read_path(entry)
        case Kind.ADDRESS:
            return _read_address(entry)
        case Kind.SECTION:
            raise AssertionError("a section has a reader of its own")


def read_path(entry: Entry) -> Path:
    """Read a path; a relative one starts at the directory of the settings file."""
    text = entry.text("a path")
    if not text.strip() or "\0" in text:
        raise entry.wrong(f"{text!r} is no path", "write one such as /var/lib/dispatcher")
    if text.startswith("~"):
        raise entry.wrong(f"'~' in {text!r} would not be replaced", "write the whole path")
    return entry.source.directory / text


def read_socket_path(entry: Entry) -> Path:
    """Read the path of a Unix socket, which the system keeps short."""
    path = read_path(entry)
    if is_too_long(path):
        raise entry.wrong(
            f"{path} is too long for a Unix socket",
            f"use at most {_LONGEST_SOCKET} bytes, directories included",
        )
    return path


def is_too_long(path: Path) -> bool:
    """Whether the system could not bind a Unix socket there."""
    return len(str(path).encode(errors="surrogateescape")) > _LONGEST_SOCKET


def _read_count(entry: Entry, key: Key) -> int:
    wanted = f"a whole number from {key.low} to {key.high}"
    text = entry.text(wanted)
    if entry.is_quoted and _COUNT.match(text):
        raise entry.wrong(f"{text!r} in quotes is text", f"write {text} without quotes")
    if not _COUNT.match(text):
        raise entry.wrong(f"{text[:40]!r} is not a whole number", f"write {wanted}")
    count = int(text.replace("_", ""))
    if not key.low <= count <= key.high:
        raise entry.wrong(f"{text} is out of range", f"write {wanted}")
    return count


def _read_duration(entry: Entry, key: Key) -> float:
    number, unit, text = _read_measure(entry, "seconds, or a number with a unit: 10 s, 2 min, 1 h")
    if unit not in _SECONDS:
        raise entry.wrong(f"{unit!r} is no unit of time", "use one of ms, s, min, h, d")
    seconds = float(number) * _SECONDS[unit]
    if not key.low <= seconds <= key.high:
        raise entry.wrong(f"{text} is out of range", f"write a time from {key.low:g} to {key.high:g} seconds")
    return seconds


def _read_size(entry: Entry, key: Key) -> int:
    number, unit, text = _read_measure(entry, "bytes, or a number with a unit: 64 MiB")
    if unit not in _BYTES:
        raise entry.wrong(f"{unit!r} is no unit of size", "use one of B, KiB, MiB, GiB")
    size = int(float(number) * _BYTES[unit]) if "." in number else int(number) * _BYTES[unit]
    if not key.low <= size <= key.high:
        raise entry.wrong(
            f"{text} is out of range", f"write a size from {write_size(key.low)} to {write_size(key.high)}"
        )
    return size


def _read_days(entry: Entry, key: Key) -> float:
    wanted = f"a number of days from {key.low:g} to {key.high:g}"
    number, unit, text = _read_measure(entry, wanted)
    if unit or not key.low <= float(number) <= key.high:
        raise entry.wrong(f"{text} cannot stand here", f"write {wanted}")
    return float(number)


def _read_measure(entry: Entry, wanted: str) -> tuple[str, str, str]:
    text = entry.text(wanted)
    match = _MEASURE.match(text)
    if not match:
        raise entry.wrong(f"{text[:40]!r} cannot be read", f"write {wanted}")
    return match[1], match[2], text


def _read_flag(entry: Entry) -> bool:
    text = entry.text("true or false")
    if entry.is_quoted or text.lower() not in _FLAGS:
        raise entry.wrong(f"{text[:40]!r} is neither true nor false", "write true or false, without quotes")
    return _FLAGS[text.lower()]


def _read_choice(entry: Entry, key: Key) -> str:
    text = entry.text(f"one of {', '.join(key.choices)}")
    if text not in key.choices:
        raise entry.wrong(f"{text[:40]!r} is not known", suggest(text, key.choices, "write one of"))
    # The plain word of an enumeration's member; the caller makes the member of it.
    return text


def _read_address(entry: Entry) -> str:
    text = entry.text('an IP address or "*"')
    if text == "*":
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise entry.wrong(
            f"{text[:60]!r} is no IP address", 'write one such as 127.0.0.1 or "::1", or "*" for all'
        ) from None


def write_size(size: float) -> str:
    """Write a size with the largest unit that divides it."""
    for unit, factor in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size and size % factor == 0:
            return f"{size // factor:g} {unit}"
    return str(int(size))
