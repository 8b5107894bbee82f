"""A command template, and how it becomes the arguments of a command. Pure.

There is no shell anywhere: every value stays one argument. A value that begins with "-" is refused
where a program would take it for an option, unless the template puts "--" before it.
"""

from collections.abc import Collection, Iterator, Mapping

from dispatcher.core.model import Value
from dispatcher.errors import InvalidRequest

NO_OPTION = "it would be taken for an option; a value here does not begin with '-'"


class Slot(Value, frozen=True):
    """The place of a parameter's value in a word."""

    name: str


class Word(Value, frozen=True):
    """One argument, or with a list as its only part as many as the list has."""

    parts: tuple[str | Slot, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters whose values stand in it."""
        return tuple(part.name for part in self.parts if isinstance(part, Slot))


class When(Value, frozen=True):
    """Words that stand there only if a parameter is given (or true); `is_not`: only if it is not."""

    name: str
    words: tuple[Word, ...]
    is_not: bool = False


class TakenForOption(InvalidRequest):
    """A value that its program would take for an option; `name` is the parameter's."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(f"cannot use {value[:60]!r} as `{name}`: {NO_OPTION}")
        self.name = name


Template = tuple[Word | When, ...]
Values = Mapping[str, str | bool | tuple[str, ...]]


def fill(template: Template, values: Values) -> tuple[str, ...]:
    """Make the arguments of a command. Raises InvalidRequest for a value that would be an option."""
    return tuple(argument for argument, _ in filled(template, values))


def filled(
    template: Template, values: Values, dashed: Collection[str] = ()
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give each argument with the names of the parameters in it. Raises InvalidRequest, as `fill`.

    The values of the parameters `dashed` may begin with "-".
    """
    takes_options = True
    for item in template:
        if isinstance(item, Word):
            words: tuple[Word, ...] = (item,)
        else:
            words = item.words if bool(values.get(item.name)) is not item.is_not else ()
        for word in words:
            for argument in _arguments(word, values):
                first = word.parts[0]
                is_checked = takes_options and isinstance(first, Slot) and first.name not in dashed
                if is_checked and argument.startswith("-"):
                    raise TakenForOption(word.names[0], argument)
                takes_options = takes_options and argument != "--"
                yield argument, word.names


def fill_text(word: Word, values: Values) -> str:
    """Make one text of a word whose values are all there."""
    return "".join(part if isinstance(part, str) else _text(values[part.name]) for part in word.parts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _arguments(word: Word, values: Values) -> tuple[str, ...]:
    if any(name not in values for name in word.names):
        return ()  # nothing was given for it
    first = word.parts[0]
    value = values[first.name] if isinstance(first, Slot) and len(word.parts) == 1 else None
    return value if isinstance(value, tuple) else (fill_text(word, values),)
