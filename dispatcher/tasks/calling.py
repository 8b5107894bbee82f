"""From a call of a task to the commands of a job. Pure."""

from collections.abc import Sequence

import msgspec

from dispatcher.core.model import MASK, Command, Value
from dispatcher.core.splitting import join
from dispatcher.tasks.arguments import Wrong, read_arguments
from dispatcher.tasks.declaration import Kind, Parameter, TaskDeclaration
from dispatcher.templates.words import NO_OPTION, TakenForOption, Template, Values, fill_text, filled


class Prepared(Value, frozen=True):
    """What a call comes to: commands with their secrets marked, their input and variables."""

    commands: tuple[Command, ...]
    stdin: str | None
    env: tuple[tuple[str, str], ...]


def prepare(task: TaskDeclaration, given: Sequence[object]) -> Prepared | tuple[Wrong, ...]:
    """Make the commands of a call, or say all that is wrong with its arguments."""
    wrong: list[Wrong] = []
    arguments = read_arguments(task.parameters, given, wrong)
    if wrong:
        return tuple(wrong)
    kinds = {parameter.name: parameter for parameter in task.parameters}
    values = {name: _as_words(value, kinds[name]) for name, value in arguments.items()}
    secrets = frozenset(parameter.name for parameter in task.parameters if parameter.has_secret)
    try:
        dashed = frozenset(one.name for one in task.parameters if one.low is not None and one.low < 0)
        commands = tuple(_command(template, values, secrets, dashed) for template in task.commands)
    except TakenForOption as error:
        return (Wrong(error.name, NO_OPTION),)  # without the value, which may be a secret
    texts = {name: _as_text(value) for name, value in values.items()}
    stdin = None
    if task.stdin is not None and all(name in texts for name in task.stdin.names):
        stdin = fill_text(task.stdin, texts)
    env = tuple(
        (name, fill_text(word, texts)) for name, word in task.env if all(one in texts for one in word.names)
    )
    return Prepared(commands, stdin, env)


def _command(template: Template, values: Values, secrets: frozenset[str], dashed: frozenset[str]) -> Command:
    pairs = list(filled(template, values, dashed))
    argv = tuple(argument for argument, _ in pairs)
    hidden = tuple(place for place, (_, names) in enumerate(pairs) if secrets.intersection(names))
    shown = [MASK if place in hidden else argument for place, argument in enumerate(argv)]
    return Command(argv, join(shown), hidden)


def _as_words(value: object, parameter: Parameter) -> str | bool | tuple[str, ...]:
    match parameter.kind:
        case Kind.LIST:
            elements = value if isinstance(value, list) else []
            return tuple(_as_text(one) for one in elements)
        case Kind.BOOLEAN:
            return value is True
        case Kind.OBJECT | Kind.ANY:
            return msgspec.json.encode(value).decode()
        case _:
            return _as_text(value)


def _as_text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return "".join(f"{one}\n" for one in value)
        case _:
            return str(value)
