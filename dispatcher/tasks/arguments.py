"""The arguments of a call, checked against what a task declares. Pure.

They are given by position, in the order of the parameters, or by name in one object; an object is
taken that way unless the first parameter is itself an object. Everything that is wrong is found.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from dispatcher.core.model import MASK, Value
from dispatcher.tasks.declaration import LONGEST, LONGEST_MATCHED, MOST, Kind, Parameter

_BOUND = 2**63


class Wrong(Value, frozen=True):
    """What is wrong with one parameter, by its dotted path; "" for the whole call."""

    path: str
    sentence: str


def read_arguments(
    parameters: Sequence[Parameter], given: Sequence[object], wrong: list[Wrong]
) -> dict[str, object]:
    """Give the value of each parameter that has one; what is wrong is added to `wrong`."""
    by_name = _by_name(parameters, given, wrong)
    values: dict[str, object] = {}
    for parameter in parameters:
        value = by_name.get(parameter.name)
        if value is None and not (parameter.kind is Kind.ANY and parameter.name in by_name):
            if parameter.default:
                values[parameter.name] = msgspec.json.decode(parameter.default)
            elif parameter.is_required:
                wrong.append(Wrong(parameter.name, "required, and not given"))
            continue
        check(value, parameter, parameter.name, wrong)
        values[parameter.name] = value
    return values


def masked(parameters: Sequence[Parameter], given: Sequence[object]) -> str:
    """Give the arguments as JSON text as people may see them."""
    if not any(parameter.has_secret for parameter in parameters):
        return msgspec.json.encode(list(given)).decode()
    by_name = _by_name(parameters, given, [])
    if not _is_by_name(parameters, given):
        shown: list[object] = [
            _shown(value, parameters[place] if place < len(parameters) else None)
            for place, value in enumerate(given)
        ]
    else:
        known = {parameter.name: parameter for parameter in parameters}
        shown = [{name: _shown(value, known.get(name)) for name, value in by_name.items()}]
    return msgspec.json.encode(shown).decode()


def check(value: object, parameter: Parameter, path: str, wrong: list[Wrong]) -> None:
    """Check one value; what is wrong is added to `wrong`."""
    match parameter.kind:
        case Kind.STRING:
            _check_string(value, parameter, path, wrong)
        case Kind.INTEGER:
            _check_integer(value, parameter, path, wrong)
        case Kind.BOOLEAN:
            if not isinstance(value, bool):
                wrong.append(Wrong(path, f"{_kind(value)} is neither true nor false"))
        case Kind.ENUM:
            if value not in parameter.choices:
                wrong.append(Wrong(path, f"not one of {', '.join(parameter.choices)}"))
        case Kind.LIST:
            _check_list(value, parameter, path, wrong)
        case Kind.OBJECT:
            _check_object(value, parameter, path, wrong)
        case Kind.ANY:
            pass


def _by_name(
    parameters: Sequence[Parameter], given: Sequence[object], wrong: list[Wrong]
) -> dict[str, object]:
    names = [parameter.name for parameter in parameters]
    if _is_by_name(parameters, given) and isinstance(given[0], Mapping):
        known = ", ".join(names) or "none"
        wrong += [
            Wrong(str(name), f"unknown parameter; known are: {known}")
            for name in given[0]
            if name not in names
        ]
        return {str(name): value for name, value in given[0].items()}
    if len(given) > len(names):
        wrong.append(Wrong("", f"Too many arguments (expected {len(names)}, found {len(given)})"))
    return dict(zip(names, given, strict=False))


def _is_by_name(parameters: Sequence[Parameter], given: Sequence[object]) -> bool:
    takes_object = bool(parameters) and parameters[0].kind in (Kind.OBJECT, Kind.ANY)
    return len(given) == 1 and isinstance(given[0], Mapping) and not takes_object


def _check_string(value: object, parameter: Parameter, path: str, wrong: list[Wrong]) -> None:
    if not isinstance(value, str):
        wrong.append(Wrong(path, f"{_kind(value)} is no string"))
        return
    # A pattern could take long over a long text.
    longest = LONGEST_MATCHED if parameter.pattern else LONGEST
    low, high = parameter.low or 0, longest if parameter.high is None else parameter.high
    if not low <= len(value) <= high:
        wrong.append(Wrong(path, f"a string of {low} to {high} characters is wanted, not of {len(value)}"))
    elif "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        wrong.append(Wrong(path, "no command can be given such a character"))
    elif parameter.pattern and not re.fullmatch(parameter.pattern, value):
        wrong.append(Wrong(path, f"does not match {parameter.pattern}"))
    elif not parameter.pattern and not value.isprintable():
        wrong.append(Wrong(path, "holds a control character"))


def _check_integer(value: object, parameter: Parameter, path: str, wrong: list[Wrong]) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        wrong.append(Wrong(path, f"{_kind(value)} is no whole number"))
        return
    low = -_BOUND if parameter.low is None else parameter.low
    high = _BOUND if parameter.high is None else parameter.high
    if not low <= value <= high:
        wrong.append(Wrong(path, f"a whole number from {low} to {high} is wanted"))


def _check_list(value: object, parameter: Parameter, path: str, wrong: list[Wrong]) -> None:
    if not isinstance(value, list):
        wrong.append(Wrong(path, f"{_kind(value)} is no list"))
        return
    low, high = parameter.low or 0, MOST if parameter.high is None else parameter.high
    if not low <= len(value) <= high:
        wrong.append(Wrong(path, f"a list of {low} to {high} values is wanted, not of {len(value)}"))
    elif parameter.of is not None:
        for place, one in enumerate(value):
            check(one, parameter.of, f"{path}.{place}", wrong)


def _check_object(value: object, parameter: Parameter, path: str, wrong: list[Wrong]) -> None:
    if not isinstance(value, dict):
        wrong.append(Wrong(path, f"{_kind(value)} is no object"))
        return
    known = {key.name: key for key in parameter.keys}
    for name, one in value.items():
        if name not in known:
            keys = ", ".join(known) or "none"
            wrong.append(Wrong(f"{path}.{name}", f"unknown key; known are: {keys}"))
        else:
            check(one, known[name], f"{path}.{name}", wrong)
    wrong += [
        Wrong(f"{path}.{key.name}", "required, and not given")
        for key in parameter.keys
        if key.is_required and key.name not in value
    ]


def _shown(value: object, parameter: Parameter | None) -> object:
    return MASK if parameter is None or parameter.has_secret else value


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
