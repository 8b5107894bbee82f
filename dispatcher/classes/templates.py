"""A class as its YAML file describes it, and how a template becomes the arguments of a command. Pure.

There is no shell anywhere: every value stays one argument. A value that begins with "-" is refused
where a program would take it for an option, unless the template puts "--" before it.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest

UUID = "uuid"  # in a job's id: a new one, in braces
FOUND = "found"  # in a command of an answer: what the answer took from an earlier command's output
# The answers that there is code for; each reads the output of its commands.
ANSWERS = ("list_categories", "list_repos", "pkg_info", "pkg_install_verify", "pkg_search")


class Kind(StrEnum):
    """What a parameter is."""

    STRING = "string"
    LIST = "list"  # of strings; a single string is a list of one
    FLAG = "boolean"  # true, false, or either as a string
    ENUM = "enum"


class Parameter(Value, frozen=True):
    """One parameter. `absent` are values that mean the same as none at all."""

    name: str
    kind: Kind
    pattern: str = ""
    choices: tuple[str, ...] = ()
    is_required: bool = False
    default: bool = False
    absent: tuple[str, ...] = ()


class Slot(Value, frozen=True):
    """The place of a parameter's value in a word."""

    name: str


class Word(Value, frozen=True):
    """One argument, or with a list as its only part as many as the list has."""

    parts: tuple[str | Slot, ...]


class When(Value, frozen=True):
    """Words that stand there only if a parameter is given (or true); `is_not`: only if it is not."""

    name: str
    words: tuple[Word, ...]
    is_not: bool = False


Template = tuple[Word | When, ...]
Values = Mapping[str, str | bool | tuple[str, ...]]


class JobAction(Value, frozen=True):
    """An action that queues a job."""

    name: str
    queue: str
    id: Word
    commands: tuple[Template, ...]
    parameters: tuple[Parameter, ...] = ()


class AnswerAction(Value, frozen=True):
    """An action that is answered at once: quick commands that only read, by name."""

    name: str
    answer: str
    commands: tuple[tuple[str, Template], ...]
    parameters: tuple[Parameter, ...] = ()


class JobClass(Value, frozen=True):
    """A class: `namespace/name` and its actions. Clients build their pages from those `advertised`."""

    name: str
    actions: tuple[JobAction | AnswerAction, ...] = ()
    is_advertised: bool = False

    @property
    def programs(self) -> frozenset[str]:
        """The programs that its commands start."""
        templates = [template for action in self.actions for template in _templates(action)]
        return frozenset(
            part
            for template in templates
            for word in template[:1]
            if isinstance(word, Word)
            for part in word.parts[:1]
            if isinstance(part, str)
        )


class ClassFile(Value, frozen=True):
    """A file with classes that are added to the built-in ones or, by the same name, replace them."""

    path: Path
    classes: tuple[JobClass, ...]


def fill(template: Template, values: Values) -> tuple[str, ...]:
    """Make the arguments of a command. Raises InvalidRequest for a value that would be an option."""
    argv: list[str] = []
    for item in template:
        if isinstance(item, Word):
            _fill_word(item, values, argv)
        elif bool(values.get(item.name)) is not item.is_not:
            for word in item.words:
                _fill_word(word, values, argv)
    return tuple(argv)


def fill_text(word: Word, values: Values) -> str:
    """Make one text of a word whose values are all there."""
    return "".join(part if isinstance(part, str) else str(values[part.name]) for part in word.parts)


def _fill_word(word: Word, values: Values, argv: list[str]) -> None:
    slots = [part for part in word.parts if isinstance(part, Slot)]
    if any(slot.name not in values for slot in slots):
        return  # nothing was given for it
    first = word.parts[0]
    found = values[first.name] if isinstance(first, Slot) and len(word.parts) == 1 else ""
    texts = found if isinstance(found, tuple) else (fill_text(word, values),)
    for text in texts:
        if isinstance(first, Slot) and text.startswith("-") and "--" not in argv:
            raise InvalidRequest(
                f"cannot use {text[:60]!r} as `{first.name}`: it would be taken for an option; "
                "a value here does not begin with '-'"
            )
        argv.append(text)


def _templates(action: JobAction | AnswerAction) -> tuple[Template, ...]:
    if isinstance(action, JobAction):
        return action.commands
    return tuple(template for _, template in action.commands)
