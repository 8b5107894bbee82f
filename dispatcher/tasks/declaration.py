"""A task as queues.yaml declares it. Pure."""

from enum import StrEnum

from dispatcher.core.model import ResultKind, Value
from dispatcher.templates.words import Template, Word

MOST = 1000  # values in a list
LONGEST = 65536  # characters of a string that declares no other bound
LONGEST_MATCHED = 4096  # the same, of one with a pattern


class Kind(StrEnum):
    """What a parameter is."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ENUM = "enum"
    LIST = "list"  # of one of the above: each value becomes an argument
    OBJECT = "object"  # with declared keys; reaches the command as JSON text
    ANY = "any"  # any JSON; reaches the command as JSON text


class Parameter(Value, frozen=True):
    """One parameter. `default` is JSON text; empty for none.

    `low` and `high` bound an integer, or the length of a string or a list.
    """

    name: str
    kind: Kind
    pattern: str = ""
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()
    of: "Parameter | None" = None
    keys: tuple["Parameter", ...] = ()
    is_required: bool = False
    default: str = ""
    is_secret: bool = False
    description: str = ""

    @property
    def has_secret(self) -> bool:
        """Whether it, or a part of it, is never shown."""
        return self.is_secret or any(part.has_secret for part in (*self.keys, *filter(None, [self.of])))


class TaskDeclaration(Value, frozen=True):
    """A named list of commands with typed parameters; calling it makes a job.

    `needs_full` is False if an account that may only read may call it. `written` is the JSON of what
    stands in the file.
    """

    name: str
    commands: tuple[Template, ...]
    parameters: tuple[Parameter, ...] = ()
    queue: str | None = None
    needs_full: bool = True
    description: str = ""
    input: bool = False
    output: bool = False
    pattern: str = ""
    has_progress_fd: bool = False
    result: ResultKind = ResultKind.OUTCOME
    stdin: Word | None = None
    cwd: str | None = None
    env: tuple[tuple[str, Word], ...] = ()
    written: str = ""

    @property
    def has_secrets(self) -> bool:
        """Whether a value that it is given is never shown."""
        return any(parameter.has_secret for parameter in self.parameters)
