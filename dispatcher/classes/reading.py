"""Read classes from YAML, each complaint with its place: the shipped classes.yaml, and an admin's own."""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from dispatcher.classes.declaration import (
    ANSWERS,
    FOUND,
    UUID,
    AnswerAction,
    ClassFile,
    JobAction,
    JobClass,
    Kind,
    Parameter,
)
from dispatcher.templates.reading import (
    Place,
    check_name,
    read_choice,
    read_flag,
    read_parts,
    read_pattern,
    read_template,
    read_texts,
    read_word,
)
from dispatcher.yaml_reader import Entry, Source, parse, read_file

_CLASS = re.compile(r"[a-z0-9_-]{1,64}/[a-z0-9_-]{1,64}\Z")
_ACTION = {"queue", "id", "answer", "access", "each", "told_as", "parameters", "commands"}
# What has a meaning of its own in every request.
_RESERVED = frozenset({"action", UUID, FOUND})
# Class names that are no class's: they have code of their own.
_TAKEN = frozenset({"rpc", "events"})


def read_class_file(path: Path) -> ClassFile:
    """Read an admin's file. Raises SettingsError."""
    root = read_file(path)
    return ClassFile(path, read_classes(root) if root else ())


@cache
def built_in_classes() -> tuple[JobClass, ...]:
    """Give the classes that come with the program."""
    path = Path(__file__).parent.parent / "classes.yaml"
    root = parse(path.read_bytes(), Source("built-in classes.yaml", path.parent))
    return read_classes(root) if root else ()


def read_classes(root: Entry) -> tuple[JobClass, ...]:
    """Read all classes of a file. One without anything in it takes the built-in one away."""
    found = []
    for name, key, value in root.pairs("a mapping such as 'sysadm/pkg:'"):
        if not _CLASS.match(name) or name.split("/")[0] in _TAKEN:
            raise key.wrong(f"{name[:80]!r} cannot name a class", "write such as sysadm/pkg, in lower case")
        found.append(JobClass(name) if value.is_empty else _read_class(name, value))
    return tuple(found)


def _read_class(name: str, entry: Entry) -> JobClass:
    parts = read_parts(entry, {"advertise", "actions"})
    if "actions" not in parts:
        raise entry.wrong("there are no actions", "write 'actions:' and under it the name of one")
    actions = []
    for action, key, value in parts["actions"].pairs("a mapping of actions"):
        check_name(key, action, "an action")
        actions.append(_read_action(action, value))
    return JobClass(name, tuple(actions), "advertise" in parts and read_flag(parts["advertise"]))


def _read_action(name: str, entry: Entry) -> JobAction | AnswerAction:
    parts = read_parts(
        entry, {"queue", "id", "answer", "access", "each", "told_as", "parameters", "commands"}
    )
    parameters = _read_parameters(parts["parameters"]) if "parameters" in parts else ()
    if "commands" not in parts:
        raise entry.wrong("there are no commands", "write 'commands:'")
    if "answer" in parts:
        for part in ("queue", "id", "each", "told_as"):
            if part in parts:
                raise parts[part].wrong("an action with an answer queues no job", "remove this, or 'answer:'")
        return AnswerAction(
            name,
            read_choice(parts["answer"], ANSWERS),
            tuple(
                (command, read_template(value, _places(parameters, FOUND)))
                for command, _, value in parts["commands"].pairs("a mapping of named commands")
            ),
            parameters,
            "access" in parts and read_choice(parts["access"], ("read", "full")) == "full",
        )
    if "access" in parts:
        raise parts["access"].wrong("an action that queues a job always needs full access", "remove this")
    for needed in ("queue", "id"):
        if needed not in parts:
            raise entry.wrong(
                f"there is no {needed}", f"write '{needed}:', or 'answer:' for a quick question"
            )
    each = _read_each(parts["each"], parameters) if "each" in parts else ""
    single = [_one_of_each(one) if one.name == each else one for one in parameters]
    commands = tuple(
        read_template(element, _places(single))
        for element in parts["commands"].elements("a list of commands, each a list of words")
    )
    if not commands:
        raise parts["commands"].wrong("there is no command", "write at least one")
    given = [one for one in single if one.is_required and one.kind in (Kind.STRING, Kind.ENUM)]
    return JobAction(
        name,
        parts["queue"].text("the name of a queue"),
        read_word(parts["id"], _places(given, UUID)),
        commands,
        parameters,
        each,
        _read_key(parts["told_as"]) if "told_as" in parts else "",
    )


def _read_each(entry: Entry, parameters: Collection[Parameter]) -> str:
    lists = [one.name for one in parameters if one.kind is Kind.LIST and one.is_required]
    if not lists:
        raise entry.wrong(
            "there is no list of which it could be", "give a parameter 'type: list, required: true'"
        )
    return read_choice(entry, lists)


def _one_of_each(parameter: Parameter) -> Parameter:
    return Parameter(parameter.name, Kind.STRING, is_required=True)


def _read_key(entry: Entry) -> str:
    name = entry.text("a word")
    check_name(entry, name, "a key")
    return name


def _read_parameters(entry: Entry) -> tuple[Parameter, ...]:
    found = []
    for name, key, value in entry.pairs("a mapping of parameters"):
        check_name(key, name, "a parameter")
        if name in _RESERVED:
            raise key.wrong(f"{name!r} has a meaning of its own", "choose another name")
        found.append(_read_parameter(name, value))
    return tuple(found)


def _read_parameter(name: str, entry: Entry) -> Parameter:
    parts = read_parts(entry, {"type", "pattern", "choices", "required", "default", "absent"})
    if "type" not in parts:
        raise entry.wrong("there is no type", f"write 'type:', one of {', '.join(Kind)}")
    kind = Kind(read_choice(parts["type"], [str(kind) for kind in Kind]))
    allowed = {
        Kind.STRING: {"pattern", "absent"},
        Kind.LIST: {"pattern"},
        Kind.WORDS: {"pattern"},
        Kind.FLAG: {"default"},
        Kind.ENUM: {"choices", "absent"},
    }[kind]
    for part, value in parts.items():
        if part not in allowed | {"type", "required"}:
            raise value.wrong(f"a parameter of type {kind} has no {part}", "remove it")
    if kind is Kind.ENUM and "choices" not in parts:
        raise entry.wrong("there are no choices", "write such as 'choices: [simple, full]'")
    return Parameter(
        name,
        kind,
        read_pattern(parts["pattern"]) if "pattern" in parts else "",
        read_texts(parts["choices"]) if "choices" in parts else (),
        "required" in parts and read_flag(parts["required"]),
        "default" in parts and read_flag(parts["default"]),
        read_texts(parts["absent"]) if "absent" in parts else (),
    )


def _places(parameters: Collection[Parameter], *others: str) -> dict[str, Place]:
    """Say where each parameter may stand in a template, and the values that are none's."""
    places = {
        Kind.FLAG: Place.CONDITION,
        Kind.LIST: Place.ALONE,
        Kind.WORDS: Place.ALONE,
    }
    found = {one.name: places.get(one.kind, Place.ANYWHERE) for one in parameters}
    return found | dict.fromkeys(others, Place.ANYWHERE)
