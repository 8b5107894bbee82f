"""The parameters of each method: their names, in the order in which they may be given, and their types.

A call gives them by position, or all by name in one object. Everything that is wrong is reported at
once, parameter by parameter.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Annotated, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from dispatcher.api.truenas.problems import Mistake, invalid_params
from dispatcher.core.model import Outcome, State, Value

Target = Annotated[int, Meta(ge=1, le=2**53)] | Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Instant = Annotated[datetime, Meta(tz=True)]

# A reply stays below 1 MiB, and a control character takes six bytes in JSON.
PIECE_BYTES = 65536
MAX_PIECE_BYTES = 131072


class Nothing(Value, frozen=True):
    """No parameters."""


class Submit(Value, frozen=True):
    """A job to run: each command is a line of text or a list of arguments."""

    commands: Annotated[list[str | list[str]], Meta(min_length=1)]
    id: str | None = None
    queue: str | None = None
    cwd: str | None = None
    env: dict[str, str] | None = None


class List(Value, frozen=True):
    """Which jobs to list; without any of the first six, the pending and running ones."""

    state: State | None = None
    queue: str | None = None
    outcome: Outcome | None = None
    since: Instant | None = None
    until: Instant | None = None
    all: bool = False
    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class One(Value, frozen=True):
    """A job, by number or by key."""

    job: Target


class Log(Value, frozen=True):
    """A part of a job's log, or of one command's (from 0); offsets count from the start of that."""

    job: Target
    command: Count | None = None
    offset: Count = 0
    limit: Annotated[int, Meta(ge=4, le=MAX_PIECE_BYTES)] = PIECE_BYTES


class Follow(Value, frozen=True):
    """A log to follow from an offset to its end."""

    job: Target
    command: Count | None = None
    offset: Count = 0


class Events(Value, frozen=True):
    """Events after number `since` and all to come; of one job only if it is named."""

    since: Count | None = None
    job: Target | None = None


class OneQueue(Value, frozen=True):
    """A queue, by name."""

    queue: str


class StopJobs(Value, frozen=True):
    """Why all jobs are stopped, and how many seconds that may take."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    wait: Annotated[float, Meta(ge=0, le=86_400)] | None = None


P = TypeVar("P", bound=Value)


def read_params(kind: type[P], params: Sequence[object]) -> P:
    """Read the parameters of a call. Raises Problem with one triple for each mistake."""
    fields = _fields(kind)
    takes_object = bool(fields) and _is_object(fields[0].type)
    if len(params) == 1 and isinstance(params[0], dict) and not takes_object:
        given = {str(name): value for name, value in params[0].items()}
    elif len(params) > len(fields):
        sentence = f"Too many arguments (expected {len(fields)}, found {len(params)})"
        raise invalid_params((Mistake("", sentence),))
    else:
        given = dict(zip((field.name for field in fields), params, strict=False))

    mistakes = [
        Mistake(name, f"unknown parameter; known are: {', '.join(field.name for field in fields) or 'none'}")
        for name in given.keys() - {field.name for field in fields}
    ]
    for field in fields:
        if field.name in given:
            try:
                msgspec.convert(given[field.name], field.type)
            except msgspec.ValidationError as error:
                mistakes.append(Mistake(*_place(field.name, str(error))))
        elif field.required:
            mistakes.append(Mistake(field.name, "required, and not given"))
    if mistakes:
        raise invalid_params(tuple(mistakes))
    return msgspec.convert(given, kind)


@cache
def _fields(kind: type[Value]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def _is_object(kind: object) -> bool:
    """Tell whether a parameter is itself an object, so that one alone does not hold all parameters."""
    if get_origin(kind) is UnionType:
        return all(map(_is_object, get_args(kind)))
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def _place(name: str, complaint: str) -> tuple[str, str]:
    """Split "Expected `str`, got `int` - at `$[0]`" into the dotted path and the sentence."""
    sentence, _, path = complaint.partition(" - at `$")
    steps = re.findall(r"[^\[\].`]+", path)
    return ".".join((name, *steps)), sentence.replace("`", "'")
