"""Where a value stands in a JSON object: `progress.percent`, `arguments.0.id`, `disks.*.name`. Pure.

A backslash before a dot makes it part of a key. In a list a number is a place and `*` any element.
"""

import re
from collections.abc import Iterator, Mapping

Path = tuple[str, ...]

_DOT = re.compile(r"(?<!\\)\.")
_MOST_DIGITS = 9


def read_path(text: str) -> Path | None:
    """Split the name of a field into its steps; None if one of them is empty."""
    steps = tuple(step.replace(r"\.", ".") for step in _DOT.split(text))
    return steps if all(steps) else None


def values_at(value: object, path: Path) -> Iterator[object]:
    """Give the value at a path: none if a key is missing, several if the path has a `*`.

    What lies within null is null, and so is a place behind the end of a list.
    """
    for number, step in enumerate(path, 1):
        match value:
            case dict():
                if step not in value:
                    return
                value = value[step]
            case list() if step == "*":
                for one in value:
                    yield from values_at(one, path[number:])
                return
            case list() if step.isascii() and step.isdigit():
                place = int(step) if len(step) <= _MOST_DIGITS else len(value)
                value = value[place] if place < len(value) else None
            case None:
                break
            case _:
                return
    yield value


def value_at(value: object, path: Path) -> object:
    """Give the first value at a path, None if there is none."""
    return next(values_at(value, path), None)


def copy_field(source: Mapping[str, object], path: Path, target: dict[str, object], name: str | None) -> None:
    """Copy a field into another object: at the same place, or as `name` of its own; not if it is missing.

    What lies within null is copied as that null. Lists are not gone into.
    """
    value: object = source
    steps: list[str] = []
    for step in path:
        if value is None:
            break
        if not isinstance(value, dict) or step not in value:
            return
        value = value[step]
        steps.append(step)
    if name is not None:
        target[name] = value
        return
    for step in steps[:-1]:
        inner = target.get(step)
        # A copy: what stands there already may be part of the source.
        target[step] = target = dict(inner) if isinstance(inner, dict) else {}
    target[steps[-1]] = value
