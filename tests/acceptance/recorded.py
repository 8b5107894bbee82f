"""What the original server was recorded to answer, and how an answer of ours is compared with it.

`tests/data/recorded/README` tells the form of the files. Every difference is a path, like
`args > reason`, with our value there; at a path that only the original has, it is NOTHING.
"""

import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data" / "recorded"
UUID = re.compile(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
LOGS = ("pkg_log", "update_log")

Fields = dict[str, Any]
Found = dict[str, object]


class Absent(Enum):
    NOTHING = "nothing"


NOTHING = Absent.NOTHING


class Blanks:
    """What the blanks of a conversation stand for: `<time>` for any time, `<key>` for what is given here."""

    def __init__(self, **known: str) -> None:
        self._known = {f"<{name.replace('_', ' ')}>": value for name, value in known.items()}
        self._patterns = {name: re.escape(value) for name, value in self._known.items()} | {
            "<host>": re.escape(socket.gethostname()),
            "<length>": r"\d+",
            "<text>": ".+",
            "<time>": TIME,
            "<token>": "[A-Za-z0-9]{20}",
            "<what a program says>": "(?s:.*)",
        }

    def fill(self, value: Any) -> Any:
        """Give a request as it is sent."""
        match value:
            case str():
                for name, known in self._known.items():
                    value = value.replace(name, known)
                return value
            case list():
                return [self.fill(one) for one in value]
            case dict():
                return {key: self.fill(one) for key, one in value.items()}
            case _:
                return value

    def differences(self, wanted: Any, ours: Any, path: str = "") -> Iterator[tuple[str, object]]:
        """Give every path at which ours is another one, with our value there."""
        match wanted, ours:
            case {"<times>": kinds, **rest}, dict() if not rest:
                yield from _kinds(kinds, ours, path)
            case dict(), dict():
                # A key may have blanks, too: the log of keys has keys for names.
                there = {self._key(key, ours): one for key, one in wanted.items()}
                commands = there.get("cmd_list", ours.get("cmd_list"))
                for key in sorted(there.keys() | ours.keys()):
                    below = _join(path, _shown(key, commands))
                    if key in ours and key in there:
                        yield from self.differences(there[key], ours[key], below)
                    else:
                        yield below, ours.get(key, NOTHING)
            case list(), list() if len(wanted) == len(ours):
                for place, (one, other) in enumerate(zip(wanted, ours, strict=True)):
                    yield from self.differences(one, other, f"{path}[{place}]")
            case _ if not self._fits(wanted, ours):
                yield path, ours

    def _key(self, key: str, ours: Mapping[str, object]) -> str:
        return next((one for one in ours if self._fits(key, one)), key)

    def _fits(self, wanted: object, ours: object) -> bool:
        if isinstance(wanted, str) and isinstance(ours, str):
            parts = re.split(f"({'|'.join(map(re.escape, self._patterns))})", wanted)
            pattern = "".join(self._patterns.get(part, re.escape(part)) for part in parts)
            return re.fullmatch(pattern, ours) is not None
        return type(wanted) is type(ours) and wanted == ours


def conversation(name: str) -> Fields:
    """Read a recorded conversation."""
    found: Fields = json.loads((DATA / f"{name}.json").read_text())
    return found


def without_uuids(value: Fields) -> Fields:
    """Put `{<uuid>}` in the place of every id that was made by chance."""
    found: Fields = json.loads(UUID.sub("{<uuid>}", json.dumps(value)))
    return found


def told_otherwise(wanted: Iterable[Fields], ours: Iterable[Fields], blanks: Blanks) -> Found:
    """Compare how a job was told.

    Of each state the last event counts: how many there are of a running job is a matter of time, and so
    is the text that one holds. `(bare)` is whether a job of a class was told without its class too,
    `(text)` the logs of all events joined, which are to be what the commands wrote.
    """
    found: Found = {}
    there, here = list(wanted), list(ours)
    for state in ("pending", "running", "finished"):
        one, other = _told(there, state), _told(here, state)
        if state != "running" and len(one) != len(other):
            found[f"{state} (times)"] = len(other)
        if state == "running" and _is_bare(one) != _is_bare(other):
            found["running (bare)"] = _is_bare(other)
        if one and other:
            found |= dict(blanks.differences(_untimely(one[-1]), _untimely(other[-1]), state))
    for name in LOGS:
        texts = [event["args"][name] for event in here if name in event["args"]]
        if texts:
            found |= dict(blanks.differences(_written(there[-1]), "".join(texts), f"{name} (text)"))
    return found


def _told(events: list[Fields], state: str) -> list[Fields]:
    return [event for event in events if event["args"]["state"] == state]


def _is_bare(events: list[Fields]) -> bool:
    return {"event_system" in event["args"] for event in events} == {True, False}


def _written(event: Fields) -> str:
    record = event["args"]["process_details"]
    return "".join(record.get(command, "") for command in record["cmd_list"])


def _untimely(event: Fields) -> Fields:
    """Blank what may stand in this event or in the next."""
    args = event["args"]
    blanked = args | {name: "" for name in LOGS if name in args}
    if args["state"] == "running":
        record = args.get("process_details", args)
        commands = [key for key in record if re.sub(r" \(\d+\)$", "", key) in record.get("cmd_list", ())]
        texts = dict.fromkeys(commands, "")
        blanked |= {"process_details": record | texts} if record is not args else texts
    return event | {"args": blanked}


def _kinds(wanted: list[str], ours: Fields, path: str) -> Iterator[tuple[str, object]]:
    """Compare kinds of lines by the words that they begin with; every key is a time."""
    for key in ours:
        if re.fullmatch(TIME + r"( \(\d{4}\))?", key) is None:
            yield _join(path, key), ours[key]
    kinds = {re.split(r"[:\[]", text)[0]: text for text in ours.values()}
    for kind in sorted(kinds.keys() ^ set(wanted)):
        yield _join(path, kind), kinds.get(kind, NOTHING)


def _shown(key: str, commands: object) -> str:
    """Name a command by its place."""
    name = key.removeprefix("return_codes/")
    if isinstance(commands, list) and name in commands:
        prefix = "return_codes/" if name != key else ""
        return f"{prefix}<command {commands.index(name) + 1}>"
    return key


def _join(path: str, key: str) -> str:
    return f"{path} > {key}" if path else key
