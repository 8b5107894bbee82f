"""A class as its YAML file describes it. Pure."""

from enum import StrEnum
from pathlib import Path

from dispatcher.core.model import Value
from dispatcher.templates.words import Template, Word

UUID = "uuid"  # in a job's id: a new one, in braces
FOUND = "found"  # in a command of an answer: what the answer took from an earlier command's output
# The answers that there is code for; each reads the output of its commands.
ANSWERS = (
    "iocage_cap",
    "iocage_defaults",
    "iocage_df",
    "iocage_exec",
    "iocage_jails",
    "iocage_plugins",
    "iocage_pool",
    "iocage_releases",
    "iocage_settings",
    "iocage_templates",
    "list_categories",
    "list_repos",
    "pkg_info",
    "pkg_install_verify",
    "pkg_search",
)


class Kind(StrEnum):
    """What a parameter is."""

    STRING = "string"
    LIST = "list"  # of different strings; a single string is a list of one
    WORDS = "words"  # of strings, in order; a single string is split like a command
    FLAG = "boolean"  # true, false, or either as a string
    ENUM = "enum"


class Parameter(Value, frozen=True):
    """One parameter. `absent` are values that mean the same as none at all.

    If the pattern has a group named `value`, what that matches is the value; else the whole is.
    """

    name: str
    kind: Kind
    pattern: str = ""
    choices: tuple[str, ...] = ()
    is_required: bool = False
    default: bool = False
    absent: tuple[str, ...] = ()


class JobAction(Value, frozen=True):
    """An action that queues a job; with `each`, the name of a list, one job for each of its values.

    `told_as` is the key under which clients look for the id of the job, or for all ids.
    """

    name: str
    queue: str
    id: Word
    commands: tuple[Template, ...]
    parameters: tuple[Parameter, ...] = ()
    each: str = ""
    told_as: str = ""


class AnswerAction(Value, frozen=True):
    """An action that is answered at once, by quick commands with names.

    They only read; if they change something, `is_full` says that it takes full access.
    """

    name: str
    answer: str
    commands: tuple[tuple[str, Template], ...]
    parameters: tuple[Parameter, ...] = ()
    is_full: bool = False


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


def _templates(action: JobAction | AnswerAction) -> tuple[Template, ...]:
    if isinstance(action, JobAction):
        return action.commands
    return tuple(template for _, template in action.commands)
