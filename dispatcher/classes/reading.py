"""Read classes from YAML, each complaint with its place: the shipped classes.yaml, and an admin's own."""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from dispatcher.classes.templates import (
    ANSWERS,
    FOUND,
    UUID,
    AnswerAction,
    ClassFile,
    JobAction,
    JobClass,
    Kind,
    Parameter,
    Slot,
    Template,
    When,
    Word,
)
from dispatcher.yaml_reader import Entry, Source, parse, read_file, suggest

_CLASS = re.compile(r"[a-z0-9_-]{1,64}/[a-z0-9_-]{1,64}\Z")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_SLOT = re.compile(r"\{([a-z][a-z0-9_-]*)\}")
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
    parts = _parts(entry, {"advertise", "actions"})
    if "actions" not in parts:
        raise entry.wrong("there are no actions", "write 'actions:' and under it the name of one")
    actions = []
    for action, key, value in parts["actions"].pairs("a mapping of actions"):
        _check_name(key, action, "an action")
        actions.append(_read_action(action, value))
    return JobClass(name, tuple(actions), "advertise" in parts and _flag(parts["advertise"]))


def _read_action(name: str, entry: Entry) -> JobAction | AnswerAction:
    parts = _parts(entry, {"queue", "id", "answer", "parameters", "commands"})
    parameters = _read_parameters(parts["parameters"]) if "parameters" in parts else ()
    if "commands" not in parts:
        raise entry.wrong("there are no commands", "write 'commands:'")
    if "answer" in parts:
        other = parts.get("queue") or parts.get("id")
        if other is not None:
            raise other.wrong("an action with an answer queues no job", "remove this, or 'answer:'")
        return AnswerAction(
            name,
            _choice(parts["answer"], ANSWERS),
            tuple(
                (command, _read_template(value, parameters, {FOUND}))
                for command, _, value in parts["commands"].pairs("a mapping of named commands")
            ),
            parameters,
        )
    for needed in ("queue", "id"):
        if needed not in parts:
            raise entry.wrong(
                f"there is no {needed}", f"write '{needed}:', or 'answer:' for a quick question"
            )
    commands = tuple(
        _read_template(element, parameters, set())
        for element in parts["commands"].elements("a list of commands, each a list of words")
    )
    if not commands:
        raise parts["commands"].wrong("there is no command", "write at least one")
    given = [one for one in parameters if one.is_required and one.kind is not Kind.LIST]
    queue = parts["queue"].text("the name of a queue")
    return JobAction(name, queue, _read_word(parts["id"], given, {UUID}), commands, parameters)


def _read_parameters(entry: Entry) -> tuple[Parameter, ...]:
    found = []
    for name, key, value in entry.pairs("a mapping of parameters"):
        _check_name(key, name, "a parameter")
        if name in _RESERVED:
            raise key.wrong(f"{name!r} has a meaning of its own", "choose another name")
        found.append(_read_parameter(name, value))
    return tuple(found)


def _read_parameter(name: str, entry: Entry) -> Parameter:
    parts = _parts(entry, {"type", "pattern", "choices", "required", "default", "absent"})
    if "type" not in parts:
        raise entry.wrong("there is no type", f"write 'type:', one of {', '.join(Kind)}")
    kind = Kind(_choice(parts["type"], [str(kind) for kind in Kind]))
    allowed = {
        Kind.STRING: {"pattern", "absent"},
        Kind.LIST: {"pattern"},
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
        _pattern(parts["pattern"]) if "pattern" in parts else "",
        _texts(parts["choices"]) if "choices" in parts else (),
        "required" in parts and _flag(parts["required"]),
        "default" in parts and _flag(parts["default"]),
        _texts(parts["absent"]) if "absent" in parts else (),
    )


def _read_template(entry: Entry, parameters: Collection[Parameter], extra: set[str]) -> Template:
    template: list[Word | When] = []
    for element in entry.elements("a list of words, such as [pkg, upgrade, -y]"):
        if not element.is_mapping:
            template.append(_read_word(element, parameters, extra))
            continue
        parts = _parts(element, {"when", "unless", "then"})
        condition = parts.get("when") or parts.get("unless")
        if condition is None or "then" not in parts or ("when" in parts and "unless" in parts):
            raise element.wrong(
                "this condition is not whole", "write such as {when: repo, then: [--repository, '{repo}']}"
            )
        name = _choice(condition, [parameter.name for parameter in parameters])
        words = tuple(_read_word(one, parameters, extra) for one in parts["then"].elements("a list of words"))
        template.append(When(name, words, is_not="unless" in parts))
    if not template or not isinstance(template[0], Word) or isinstance(template[0].parts[0], Slot):
        raise entry.wrong("there is no program", "let the list begin with its name")
    return tuple(template)


def _read_word(entry: Entry, parameters: Collection[Parameter], extra: set[str]) -> Word:
    text = entry.text("a word")
    known = {parameter.name: parameter for parameter in parameters}
    parts: list[str | Slot] = []
    for place, piece in enumerate(_SLOT.split(text)):
        if place % 2 == 0:
            parts.extend([piece] if piece else [])
            continue
        parameter = known.get(piece)
        if parameter is None and piece not in extra:
            raise entry.wrong(
                f"there is no parameter {piece!r}", suggest(piece, {*known, *extra}, "there are")
            )
        if parameter is not None and parameter.kind is Kind.FLAG:
            raise entry.wrong(
                f"{piece!r} is true or false, which is no word", "write {when: ..., then: [...]}"
            )
        if parameter is not None and parameter.kind is Kind.LIST and text != f"{{{piece}}}":
            raise entry.wrong(f"{piece!r} is a list", "let it stand alone: each value becomes an argument")
        parts.append(Slot(piece))
    return Word(tuple(parts) or ("",))


def _parts(entry: Entry, known: set[str]) -> dict[str, Entry]:
    parts = {}
    for name, key, value in entry.pairs(f"a mapping with keys such as '{min(known)}:'"):
        if name not in known:
            raise key.wrong("there is no such key", suggest(name, known, "the keys here are"))
        parts[name] = value
    return parts


def _check_name(key: Entry, name: str, what: str) -> None:
    if not _NAME.match(name):
        raise key.wrong(f"{name[:80]!r} cannot name {what}", "use lower-case letters, digits, '_' and '-'")


def _choice(entry: Entry, choices: Collection[str]) -> str:
    text = entry.text("a word")
    if text not in choices:
        raise entry.wrong(f"{text[:40]!r} is not known", suggest(text, choices, "there are"))
    return text


def _texts(entry: Entry) -> tuple[str, ...]:
    return tuple(element.text("a word") for element in entry.elements("a list of words"))


def _flag(entry: Entry) -> bool:
    return _choice(entry, ("true", "false")) == "true"


def _pattern(entry: Entry) -> str:
    text = entry.text("a regular expression")
    try:
        re.compile(text)
    except re.error as error:
        raise entry.wrong(f"this is no regular expression ({error})", "write one of Python's") from None
    return text
