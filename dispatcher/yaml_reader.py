"""Read a YAML file into entries that know where they stand, so that a complaint can name the place.

PyYAML's `compose` gives nodes with line and column; nothing is made of them here. A value is
taken as it is written: `no` is not False and `010` is not 8 until a reader of the value says so.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from dispatcher.core.model import Value
from dispatcher.errors import SettingsError

# A settings file has some hundred lines; this only keeps a wrong file from filling the memory.
_MOST_BYTES = 1024 * 1024
_TAG = "tag:yaml.org,2002:"
# What PyYAML takes plain words for; all of them are read as they are written.
_SINGLE = {"str", "int", "float", "bool", "timestamp", "merge", "value"}
_LOOK = (
    "look at this line and the one above: indent with blanks, write 'key: value' with a blank "
    "behind the colon, close every quote and bracket"
)

_BEYOND_UNICODE = re.compile(r"\\U(?!0010|000)")


class Source(Value, frozen=True):
    """A file by the name it was given, and the directory that its relative paths start from."""

    name: str
    directory: Path


class Entry:
    """One value of the file, its place, and its path of keys such as `/queues/pkg_queue/grace`."""

    def __init__(self, source: Source, path: str, node: yaml.Node) -> None:
        self.source = source
        self.path = path
        self._node = node

    @property
    def place(self) -> str:
        """Where the value begins: line and column, from 1."""
        mark = self._node.start_mark
        return f"{mark.line + 1}:{mark.column + 1}"

    @property
    def is_empty(self) -> bool:
        """Whether nothing, `~` or `null` is written."""
        return self._node.tag == f"{_TAG}null"

    @property
    def is_quoted(self) -> bool:
        """Whether it is text in quotes or a block of text."""
        return isinstance(self._node, yaml.ScalarNode) and self._node.style is not None

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping, in a place that may hold other things too."""
        return isinstance(self._node, yaml.MappingNode)

    def wrong(self, what: str, remedy: str) -> SettingsError:
        """Make the complaint about this value: what is wrong, and what would be right."""
        where = f"{self.path}: " if self.path else ""
        return SettingsError(f"{self.source.name}:{self.place}: {where}{what}; {remedy}")

    def text(self, wanted: str) -> str:
        """Give a single value as it is written; `wanted` says what should stand here."""
        if not isinstance(self._node, yaml.ScalarNode) or self.is_empty:
            raise self.wrong(f"{self._kind} stands here", f"write {wanted}")
        if self._node.tag.removeprefix(_TAG) not in _SINGLE:
            raise self.wrong(f"the tag {self._node.tag!r} is not known", f"write {wanted} without a tag")
        value: str = self._node.value
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self.wrong("half of a surrogate pair is no character", "write the character itself")
        return value

    def pairs(self, wanted: str) -> list[tuple[str, "Entry", "Entry"]]:
        """Give a mapping as (name, the key's entry, the value's entry), in order; no name twice."""
        if self.is_empty:
            return []
        if not isinstance(self._node, yaml.MappingNode):
            raise self.wrong(f"{self._kind} stands here", f"write {wanted}")
        seen: dict[str, Entry] = {}
        found = []
        for key_node, value_node in self._node.value:
            key = Entry(self.source, self.path, key_node)
            name = key.text("a name in front of the colon")
            key.path = f"{self.path}/{name if name.isprintable() else repr(name)}"
            if name in seen:
                raise key.wrong(
                    f"{name!r} is written twice, first at {seen[name].place}", "keep one of the two"
                )
            seen[name] = key
            found.append((name, key, Entry(self.source, key.path, value_node)))
        return found

    def elements(self, wanted: str) -> list["Entry"]:
        """Give the elements of a list; their paths count from 1."""
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.wrong(f"{self._kind} stands here", f"write {wanted}")
        return [Entry(self.source, f"{self.path}/{n}", node) for n, node in enumerate(self._node.value, 1)]

    def plain(self) -> object:
        """Give all of it as text, lists and mappings, as it is written."""
        match self._node:
            case yaml.MappingNode():
                return {name: value.plain() for name, _, value in self.pairs("a mapping")}
            case yaml.SequenceNode():
                return [element.plain() for element in self.elements("a list")]
            case _:
                return None if self.is_empty else self.text("a text")

    @property
    def _kind(self) -> str:
        match self._node:
            case yaml.MappingNode():
                return "a mapping"
            case yaml.SequenceNode():
                return "a list"
            case _:
                return "nothing" if self.is_empty else f"{self._node.value[:40]!r}"


def read_file(path: Path) -> Entry | None:
    """Read and parse a file; None if nothing but comments stands in it. Raises SettingsError only."""
    name = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise SettingsError(f"cannot read {name}: there is no such file; check the name") from None
    except IsADirectoryError:
        raise SettingsError(
            f"cannot read {name}: it is a directory; name the file in it, such as {path / 'queues.yaml'}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"cannot read {name}: {reason}; check the name and its permissions") from None
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"cannot read {name}: it is larger than 1 MiB; name a settings file")
    return parse(content, Source(name, path.absolute().parent))


def parse(content: bytes, source: Source) -> Entry | None:
    """Parse the bytes of a file. Raises SettingsError for everything that is not one YAML document."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_of(content[: error.start].decode("utf-8", "replace"))
        raise SettingsError(
            f"{source.name}:{place}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise SettingsError(_explain(error, text, source)) from None
    except yaml.reader.ReaderError as error:
        place = _place_of(text[: error.position])
        raise SettingsError(
            f"{source.name}:{place}: the character {chr(int(error.character))!r} may not stand in YAML; "
            "remove it"
        ) from None
    except RecursionError:
        raise SettingsError(
            f"{source.name}:1:1: brackets or indentation are nested too deeply; three levels are enough"
        ) from None
    except (ValueError, IndexError, OverflowError) as error:
        # PyYAML passes on what chr() says to "\UFFFFFFFF".
        escape = _BEYOND_UNICODE.search(text)
        place = _place_of(text[: escape.start()]) if escape else "1:1"
        raise SettingsError(f"{source.name}:{place}: not valid YAML ({error}); {_LOOK}") from None
    return None if node is None else Entry(source, "", node)


def suggest(name: str, known: Iterable[str], kind: str) -> str:
    """Say which known name was meant, or which there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"{kind}: {', '.join(names)}"


def _explain(error: yaml.MarkedYAMLError, text: str, source: Source) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
    if mark and text[mark.index : mark.index + 1] == "\t":
        return f"{source.name}:{place}: a tab stands here; YAML is indented with blanks only"
    if "single document" in str(error.context):
        return f"{source.name}:{place}: a second document begins here; remove the line '---'"
    problem = " ".join((error.problem or error.context or "it cannot be read").split())
    return f"{source.name}:{place}: not valid YAML ({problem}); {_LOOK}"


def _place_of(before: str) -> str:
    lines = before.split("\n")
    return f"{len(lines)}:{len(lines[-1]) + 1}"
