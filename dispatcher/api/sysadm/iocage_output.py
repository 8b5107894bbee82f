"""What iocage(8) prints, read into the shapes that SysAdm's clients know. Pure.

Tables are read by their titles, which differ between versions (UUID and TAG became NAME). Sources:
trueos/sysadm-docs api_reference/classes/iocage.rst, trueos/sysadm src/server/library/sysadm-iocage.cpp,
and iocage/iocage iocage_cli (all public).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from dispatcher.errors import Refused

Fields = dict[str, str]

_JAIL = ("jid", "boot", "state", "type", "release", "ip4", "ip6", "template")
_USE = ("crt", "res", "qta", "use", "ava")
_RELEASE = re.compile(r"(?:\[\d+\]\s*)?([0-9][A-Za-z0-9_.-]*(?: \(EOL\))?)")


def read_table(text: str) -> list[Fields]:
    """Read the rows of a table with a border, each by its titles in lower case; none if there is no table.

    Lines around the table are left out. Raises Refused for text without a table.
    """
    rows = list(_rows(text))
    if not rows and text.strip():
        raise Refused("cannot read what iocage printed: there is no table; is it older than 0.9.8?")
    if not rows:
        return []
    titles = [title.lower() for title in rows[0]]
    return [dict(zip(titles, row, strict=True)) for row in rows[1:] if len(row) == len(titles)]


def read_jails(text: str) -> dict[str, Fields]:
    """Read jails by name: `list --long`. What a version does not tell is "-"."""
    found: dict[str, Fields] = {}
    for row in read_table(text):
        name = _name(row)
        fields = {key: row.get(key, "-") for key in _JAIL}
        found[name] = {**row, **fields, "uuid": name, "tag": row.get("tag", name)}
    return found


def read_use(text: str) -> dict[str, Fields]:
    """Read how much room each jail takes: `df --long`."""
    found: dict[str, Fields] = {}
    for row in read_table(text):
        name = _name(row)
        found[name] = {key: row.get(key, "-") for key in _USE} | {"uuid": name, "tag": row.get("tag", name)}
    return found


def read_plugins(text: str) -> dict[str, Fields]:
    """Read the plugins that can be had, by the name to fetch one with: `list --plugins --remote --long`."""
    return {
        row["pkg"]: {"id": row["pkg"], "name": row["name"], "description": row["description"]}
        for row in read_table(text)
        if {"pkg", "name", "description"} <= row.keys()
    }


def read_releases(text: str) -> list[str]:
    """Read releases: those that are here stand in a table, those that can be had in plain lines."""
    cells = [value for row in _rows(text) for value in row] or text.splitlines()
    found = (_RELEASE.fullmatch(cell.strip()) for cell in cells)
    return [match[1] for match in found if match is not None]


def read_property(text: str, name: str) -> dict[str, Fields]:
    """Read one property of all jails: `get --recursive`."""
    return {
        _name(row): {"TAG": row.get("tag", _name(row)), name: list(row.values())[-1]}
        for row in read_table(text)
    }


def read_properties(text: str) -> Fields:
    """Read lines of `name:value`; a value may hold more colons."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def read_lines(text: str) -> Fields:
    """Read what a command wrote as the original does: what stands before the first colon names the rest."""
    pairs = (" ".join(line.split()).partition(":") for line in text.splitlines())
    return {name: value for name, _, value in pairs if name}


def _name(row: Fields) -> str:
    return row.get("uuid") or row.get("name") or next(iter(row.values()))


def _rows(text: str) -> Iterator[list[str]]:
    """Give the cells of each row, the titles first. A cell of several lines becomes one."""
    columns: list[tuple[int, int]] = []
    row: list[str] = []
    for line in text.splitlines():
        if line.startswith("+"):
            if row:
                yield row
            row = []
            corners = [place for place, character in enumerate(line) if character == "+"]
            columns = [(before + 1, after) for before, after in pairwise(corners)]
        elif columns and line.startswith("|"):
            cells = _cells(line, columns)
            row = [f"{one} {more}".strip() for one, more in zip(row, cells, strict=True)] if row else cells


def _cells(line: str, columns: Sequence[tuple[int, int]]) -> list[str]:
    # By the corners of the border, because an address may be written `em0|192.0.2.1`.
    if all(line[after : after + 1] == "|" for _, after in columns):
        return [line[before:after].strip() for before, after in columns]
    # Characters that are two columns wide are one here, and move the bars.
    cells = [cell.strip() for cell in line.strip("|").split(" | ")]
    return (cells + [""] * len(columns))[: len(columns)]
