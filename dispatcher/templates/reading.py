"""Read command templates from YAML, each complaint with its place."""

import re
from collections.abc import Collection, Mapping
from enum import Enum, auto

from dispatcher.templates.words import Slot, Template, When, Word
from dispatcher.yaml_reader import Entry, suggest

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_SLOT = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


class Place(Enum):
    """Where the value of a parameter may stand in a template."""

    ANYWHERE = auto()  # one text, as a word or in one
    ALONE = auto()  # many texts: each becomes an argument
    CONDITION = auto()  # true or false, which is no word


Places = Mapping[str, Place]


def read_template(entry: Entry, places: Places) -> Template:
    """Read a command: a list of words and conditions, with a program first."""
    template: list[Word | When] = []
    for element in entry.elements("a list of words, such as [pkg, upgrade, -y]"):
        if not element.is_mapping:
            template.append(read_word(element, places))
            continue
        parts = read_parts(element, {"when", "unless", "then"})
        condition = parts.get("when") or parts.get("unless")
        if condition is None or "then" not in parts or ("when" in parts and "unless" in parts):
            raise element.wrong(
                "this condition is not whole", "write such as {when: repo, then: [--repository, '{repo}']}"
            )
        words = tuple(read_word(one, places) for one in parts["then"].elements("a list of words"))
        template.append(When(read_choice(condition, list(places)), words, is_not="unless" in parts))
    if not template or not isinstance(template[0], Word) or isinstance(template[0].parts[0], Slot):
        raise entry.wrong("there is no program", "let the list begin with its name")
    return tuple(template)


def read_word(entry: Entry, places: Places) -> Word:
    """Read one word, with the names of parameters in braces."""
    text = entry.text("a word")
    parts: list[str | Slot] = []
    for index, piece in enumerate(_SLOT.split(text)):
        if index % 2 == 0:
            parts.extend([piece] if piece else [])
            continue
        if piece not in places:
            remedy = suggest(piece, set(places), "there are") if places else "declare it under 'parameters:'"
            raise entry.wrong(f"there is no parameter {piece!r}", remedy)
        if places[piece] is Place.CONDITION:
            raise entry.wrong(
                f"{piece!r} is true or false, which is no word", "write {when: ..., then: [...]}"
            )
        if places[piece] is Place.ALONE and text != f"{{{piece}}}":
            raise entry.wrong(f"{piece!r} is a list", "let it stand alone: each value becomes an argument")
        parts.append(Slot(piece))
    return Word(tuple(parts) or ("",))


def read_parts(entry: Entry, known: set[str]) -> dict[str, Entry]:
    """Read a mapping of which only some keys are known."""
    parts = {}
    for name, key, value in entry.pairs(f"a mapping with keys such as '{min(known)}:'"):
        if name not in known:
            raise key.wrong("there is no such key", suggest(name, known, "the keys here are"))
        parts[name] = value
    return parts


def check_name(key: Entry, name: str, what: str) -> None:
    """Complain if a name is none."""
    if not _NAME.match(name):
        raise key.wrong(f"{name[:80]!r} cannot name {what}", "use lower-case letters, digits, '_' and '-'")


def read_choice(entry: Entry, choices: Collection[str]) -> str:
    """Read one of a few words."""
    text = entry.text("a word")
    if text not in choices:
        raise entry.wrong(f"{text[:40]!r} is not known", suggest(text, choices, "there are"))
    return text


def read_texts(entry: Entry) -> tuple[str, ...]:
    """Read a list of words."""
    return tuple(element.text("a word") for element in entry.elements("a list of words"))


def read_flag(entry: Entry) -> bool:
    """Read true or false."""
    return read_choice(entry, ("true", "false")) == "true"


def read_pattern(entry: Entry) -> str:
    """Read a regular expression."""
    text = entry.text("a regular expression")
    try:
        re.compile(text)
    except re.error as error:
        raise entry.wrong(f"this is no regular expression ({error})", "write one of Python's") from None
    return text
