"""Read tasks from queues.yaml, each complaint with its place."""

import re
from collections.abc import Collection, Sequence

import msgspec

from dispatcher.core.model import ResultKind
from dispatcher.tasks.arguments import Wrong, check
from dispatcher.tasks.declaration import Kind, Parameter, TaskDeclaration
from dispatcher.templates.reading import (
    Place,
    Places,
    check_name,
    read_choice,
    read_flag,
    read_parts,
    read_pattern,
    read_template,
    read_texts,
    read_word,
)
from dispatcher.templates.words import Word
from dispatcher.yaml_reader import Entry, suggest

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
_LONGEST_NAME = 100
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
_RESERVED = ("auth", "core", "dispatcher", "system")
_KEYS = {"commands", "parameters", "queue", "level", "description", "input", "output", "progress", "result"}
_KEYS |= {"stdin", "cwd", "env"}
_RESULTS = [kind.value for kind in ResultKind if kind is not ResultKind.OUTCOME]
_ALLOWED = {
    Kind.STRING: {"pattern", "min", "max"},
    Kind.INTEGER: {"min", "max"},
    Kind.BOOLEAN: set[str](),
    Kind.ENUM: {"choices"},
    Kind.LIST: {"of", "min", "max"},
    Kind.OBJECT: {"keys"},
    Kind.ANY: set[str](),
}


def read_tasks(entry: Entry | None, queues: Collection[str]) -> tuple[TaskDeclaration, ...]:
    """Read all tasks. Raises SettingsError."""
    found = []
    for name, key, value in entry.pairs("a mapping such as 'backup.run:'") if entry else ():
        if not _NAME.match(name) or len(name) > _LONGEST_NAME:
            raise key.wrong(f"{name[:80]!r} cannot name a task", "write such as backup.run, in lower case")
        if name.split(".")[0] in _RESERVED:
            raise key.wrong(
                f"methods that begin with {name.split('.')[0]}. are the dispatcher's own",
                "choose another name",
            )
        found.append(_read_task(name, value, queues))
    return tuple(found)


def _read_task(name: str, entry: Entry, queues: Collection[str]) -> TaskDeclaration:
    parts = read_parts(entry, _KEYS)
    parameters = _read_parameters(parts["parameters"]) if "parameters" in parts else ()
    places = {parameter.name: _place_of(parameter) for parameter in parameters}
    if "commands" not in parts:
        raise entry.wrong("there are no commands", "write 'commands:' and under it a list of them")
    commands = tuple(
        read_template(element, places)
        for element in parts["commands"].elements("a list of commands, each a list of words")
    )
    if not commands:
        raise parts["commands"].wrong("there is no command", "write at least one")
    pattern, has_fd = _read_progress(parts["progress"]) if "progress" in parts else ("", False)
    task = TaskDeclaration(
        name,
        commands,
        parameters,
        queue=_read_queue(parts["queue"], queues) if "queue" in parts else None,
        needs_full="level" not in parts or read_choice(parts["level"], ("full", "read")) == "full",
        description=parts["description"].text("a sentence") if "description" in parts else "",
        input="input" in parts and read_flag(parts["input"]),
        output="output" in parts and read_flag(parts["output"]),
        pattern=pattern,
        has_progress_fd=has_fd,
        result=ResultKind(read_choice(parts["result"], _RESULTS))
        if "result" in parts
        else ResultKind.OUTCOME,
        stdin=_read_stdin(parts["stdin"], parameters) if "stdin" in parts else None,
        cwd=_read_cwd(parts["cwd"]) if "cwd" in parts else None,
        env=_read_env(parts["env"], places) if "env" in parts else (),
        written=msgspec.json.encode(entry.plain()).decode(),
    )
    if task.input and task.stdin is not None:
        raise parts["stdin"].wrong("the input is a pipe already", "remove this, or 'input:'")
    if task.output and task.result in (ResultKind.STDOUT, ResultKind.JSON):
        raise parts["result"].wrong("the output goes into a pipe", "remove this, or 'output:'")
    return task


def _read_parameters(entry: Entry) -> tuple[Parameter, ...]:
    found = []
    for name, key, value in entry.pairs("a mapping of parameters, in the order of the arguments"):
        check_name(key, name, "a parameter")
        found.append(_read_parameter(name, value))
    return tuple(found)


def _read_parameter(name: str, entry: Entry, kinds: Sequence[Kind] = tuple(Kind)) -> Parameter:
    general = {"type", "required", "default", "secret", "description"}
    parts = read_parts(entry, general | {"pattern", "min", "max", "choices", "of", "keys"})
    if "type" not in parts:
        raise entry.wrong("there is no type", f"write 'type:', one of {', '.join(kinds)}")
    kind = Kind(read_choice(parts["type"], [str(one) for one in kinds]))
    for part, value in parts.items():
        if part not in general | _ALLOWED[kind]:
            raise value.wrong(f"a parameter of type {kind} has no {part}", "remove it")
    for needed, example in (
        ("choices", "choices: [a, b]"),
        ("of", "of: {type: string}"),
        ("keys", "keys: {}"),
    ):
        if needed in _ALLOWED[kind] and needed not in parts:
            raise entry.wrong(f"there is no {needed}", f"write such as '{example}'")
    simple = (Kind.STRING, Kind.INTEGER, Kind.BOOLEAN, Kind.ENUM)
    parameter = Parameter(
        name,
        kind,
        pattern=read_pattern(parts["pattern"]) if "pattern" in parts else "",
        low=_read_number(parts["min"]) if "min" in parts else None,
        high=_read_number(parts["max"]) if "max" in parts else None,
        choices=read_texts(parts["choices"]) if "choices" in parts else (),
        of=_read_parameter(name, parts["of"], simple) if "of" in parts else None,
        keys=_read_parameters(parts["keys"]) if "keys" in parts else (),
        is_required="required" in parts and read_flag(parts["required"]),
        is_secret="secret" in parts and read_flag(parts["secret"]),
        description=parts["description"].text("a sentence") if "description" in parts else "",
    )
    if "default" not in parts:
        return parameter
    if parameter.is_required:
        raise parts["default"].wrong("what is required has no default", "remove one of the two")
    default = msgspec.json.encode(_read_default(parts["default"], parameter)).decode()
    return msgspec.structs.replace(parameter, default=default)


def _read_default(entry: Entry, parameter: Parameter) -> object:
    value = _read_value(entry, parameter)
    wrong: list[Wrong] = []
    check(value, parameter, parameter.name, wrong)
    if wrong:
        raise entry.wrong(f"it does not fit: {wrong[0].sentence}", "write one that does, or none")
    return value


def _read_value(entry: Entry, parameter: Parameter) -> object:
    match parameter.kind:
        case Kind.INTEGER:
            return _read_number(entry)
        case Kind.BOOLEAN:
            return read_flag(entry)
        case Kind.LIST if parameter.of is not None:
            return [_read_value(one, parameter.of) for one in entry.elements("a list")]
        case Kind.OBJECT:
            known = {key.name: key for key in parameter.keys}
            parts = read_parts(entry, set(known)) if known else {}
            return {name: _read_value(part, known[name]) for name, part in parts.items()}
        case Kind.ANY:
            text = entry.text("JSON in quotes, such as '[1, 2]'")
            try:
                return msgspec.json.decode(text)
            except msgspec.DecodeError as error:
                raise entry.wrong(
                    f"this is no JSON: {error}", "write it in quotes, such as '[1, 2]'"
                ) from None
        case _:
            return entry.text("a text")


def _read_progress(entry: Entry) -> tuple[str, bool]:
    parts = read_parts(entry, {"pattern", "fd"})
    if len(parts) != 1:
        raise entry.wrong("one way to tell the progress is wanted", "write 'pattern:' or 'fd: true'")
    if "fd" in parts:
        return "", read_flag(parts["fd"])
    pattern = read_pattern(parts["pattern"])
    if not {"percent", "description"} & re.compile(pattern).groupindex.keys():
        raise parts["pattern"].wrong(
            "it finds no progress", r"name a group, as in '(?P<percent>[0-9]+) %' or '(?P<description>.*)'"
        )
    return pattern, False


def _read_queue(entry: Entry, queues: Collection[str]) -> str:
    queue = entry.text("the name of a queue")
    if queue not in queues:
        raise entry.wrong(f"there is no queue {queue[:80]!r}", suggest(queue, queues, "they are"))
    return queue


def _read_stdin(entry: Entry, parameters: Sequence[Parameter]) -> Word:
    # The input may hold any text, a list as lines of its own included.
    return read_word(entry, {parameter.name: Place.ANYWHERE for parameter in parameters})


def _read_cwd(entry: Entry) -> str:
    text = entry.text("an absolute path")
    if not text.startswith("/"):
        raise entry.wrong(f"{text[:80]!r} is no absolute path", "begin it with /")
    return text


def _read_env(entry: Entry, places: Places) -> tuple[tuple[str, Word], ...]:
    found = []
    for name, key, value in entry.pairs("a mapping such as 'LANG: C.UTF-8'"):
        if not name or "=" in name or "\0" in name or name == "DISPATCHER_JOB":
            raise key.wrong(f"{name[:80]!r} cannot be set", "use a name without '=', not DISPATCHER_JOB")
        found.append((name, read_word(value, places)))
    return tuple(found)


def _read_number(entry: Entry) -> int:
    text = entry.text("a whole number")
    if not _WHOLE.match(text):
        raise entry.wrong(f"{text[:40]!r} is no whole number", "write such as 10")
    return int(text)


def _place_of(parameter: Parameter) -> Place:
    return Place.ALONE if parameter.kind is Kind.LIST else Place.ANYWHERE
