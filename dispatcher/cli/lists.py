"""Read a job from a YAML file: a list of commands, or a mapping with `commands` and what goes with them.

A command is text or a list of arguments; words are taken as they are written, so `[sleep, 5]` is good.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dispatcher.errors import SettingsError
from dispatcher.yaml_reader import Entry, Source, parse, read_file, suggest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dispatcher.cli.shapes import Request

_KEYS = ("commands", "id", "queue", "cwd", "env")


def read_list(name: str) -> Request:
    """Read the file, or stdin for `-`. Raises SettingsError with file, line and column."""
    is_stdin = name == "-"
    entry = parse(sys.stdin.buffer.read(), Source("stdin", Path())) if is_stdin else read_file(Path(name))
    if entry is None:
        raise SettingsError(
            f"{'stdin' if is_stdin else name}:1:1: no commands stand here; write a list of them: - pkg update"
        )
    return {"commands": _commands(entry)} if _is_list(entry) else _mapping(entry)


def _mapping(entry: Entry) -> Request:
    request: Request = {}
    for name, key, value in entry.pairs("a list of commands, or a mapping with 'commands:'"):
        match name:
            case "commands":
                request["commands"] = _commands(value)
            case "id" | "queue" | "cwd":
                request[name] = value.text(f"the {name}")
            case "env":
                request["env"] = {n: v.text("a value") for n, _, v in value.pairs("NAME: value")}
            case _:
                raise key.wrong(f"unknown key {name!r}", suggest(name, _KEYS, "known are"))
    if "commands" not in request:
        raise entry.wrong("there are no commands", "write 'commands:' and a list")
    return request


def _commands(entry: Entry) -> list[str | list[str]]:
    commands = [_command(one) for one in entry.elements("a list of commands")]
    if not commands:
        raise entry.wrong("the list is empty", "write one command a line: - pkg update")
    return commands


def _command(entry: Entry) -> str | list[str]:
    if _is_list(entry):
        return [word.text("an argument") for word in entry.elements("a list")]
    return entry.text("a command, as text or as a list of arguments")


def _is_list(entry: Entry) -> bool:
    try:
        entry.elements("a list")
    except SettingsError:
        return False
    return True
