"""The values that a client gives for the parameters of an action, checked. Pure."""

import re
from collections.abc import Mapping, Sequence

from dispatcher.classes.declaration import Kind, Parameter
from dispatcher.core.splitting import split
from dispatcher.errors import InvalidRequest

MOST = 1000  # values in a list


def read_values(
    action: str, parameters: Sequence[Parameter], args: Mapping[str, object]
) -> dict[str, str | bool | tuple[str, ...]]:
    """Give what is there of each parameter; other keys are ignored. Raises InvalidRequest."""
    values: dict[str, str | bool | tuple[str, ...]] = {}
    for parameter in parameters:
        given = args.get(parameter.name)
        value = _read(action, parameter, None if given == "" else given)
        if value is not None:
            values[parameter.name] = value
        elif parameter.is_required:
            raise _wrong(action, parameter, f"it is missing; give {_wanted(parameter)}")
    return values


def _read(action: str, parameter: Parameter, given: object) -> str | bool | tuple[str, ...] | None:
    match parameter.kind:
        case Kind.FLAG:
            return _read_flag(action, parameter, given)
        case Kind.LIST:
            found = _read_list(action, parameter, [given] if isinstance(given, str) else given)
            return tuple(dict.fromkeys(found)) or None
        case Kind.WORDS:
            return (
                _read_list(action, parameter, list(split(given)) if isinstance(given, str) else given) or None
            )
        case Kind.STRING | Kind.ENUM:
            if given is None or given in parameter.absent:
                return None
            return _read_text(action, parameter, given)


def _read_flag(action: str, parameter: Parameter, given: object) -> bool:
    match given:
        case None:
            return parameter.default
        case bool():
            return given
        case "true" | "false":
            return given == "true"
        case _:
            raise _wrong(action, parameter, f"{given!r:.60} is neither true nor false; give one of them")


def _read_list(action: str, parameter: Parameter, given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise _wrong(action, parameter, f"{given!r:.60} stands there; give {_wanted(parameter)}")
    if len(given) > MOST:
        raise _wrong(action, parameter, f"{len(given)} values are too many; give at most {MOST} at once")
    return tuple(_read_text(action, parameter, one) for one in given if one != "")


def _read_text(action: str, parameter: Parameter, given: object) -> str:
    if not isinstance(given, str):
        raise _wrong(action, parameter, f"{given!r:.60} is no string; give {_wanted(parameter)}")
    if parameter.choices:
        if given not in parameter.choices:
            raise _wrong(action, parameter, f"{given[:60]!r} is not known; give {_wanted(parameter)}")
    elif not given.isprintable():
        raise _wrong(action, parameter, f"{given[:60]!r} holds a control character; leave it out")
    elif parameter.pattern:
        match = re.fullmatch(parameter.pattern, given)
        if match is None:
            raise _wrong(action, parameter, f"{given[:60]!r} cannot stand here; give {_wanted(parameter)}")
        return match.groupdict().get("value") or given
    return given


def _wanted(parameter: Parameter) -> str:
    if parameter.choices:
        return f"one of {', '.join(parameter.choices)}"
    is_one = parameter.kind is Kind.STRING
    kind = "a string" if is_one else "a string or an array of strings"
    return f"{kind} like {parameter.pattern}" if parameter.pattern else kind


def _wrong(action: str, parameter: Parameter, what: str) -> InvalidRequest:
    return InvalidRequest(f"cannot carry out {action}: `{parameter.name}`: {what}")
