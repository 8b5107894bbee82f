"""Know the commands that ask before they act. Their stdin is empty here, so nobody will answer."""

from collections.abc import Mapping, Sequence

from dispatcher.core.look_through import DEFAULT_PROGRAMS, Target, look_through
from dispatcher.core.model import Command, Value

_YES = {"yes", "true", "on", "1"}


class _Asker(Value, frozen=True):
    """A program's subcommands that ask, each with the option letters that make it not ask."""

    subcommands: tuple[tuple[str, str], ...]
    words: frozenset[str]
    remedy: str
    variable: str = ""
    valued: str = ""  # letters of options before the subcommand that have their value in the next word


# add, update, info and audit ask nothing; fetch, lock and set do.
_PKG_ACTIONS = ("autoremove", "bootstrap", "clean", "delete", "fetch", "install", "remove", "upgrade")
_PKG = _Asker(
    subcommands=(
        *(
            (name, "yn")
            for name in [
                "autoremove",
                "bootstrap",
                "clean",
                "delete",
                "fetch",
                "install",
                "remove",
                "upgrade",
            ]
        ),
        ("lock", "yl"),
        ("set", "y"),
        ("unlock", "yl"),
    ),
    words=frozenset({"--yes", "--dry-run", "--show-locked"}),
    remedy="-y",
    variable="ASSUME_ALWAYS_YES",
    valued="jcrCRo",
)
_ASKERS = {
    "pkg": _PKG,
    "pkg-static": _PKG,
    "iocage": _Asker(
        subcommands=(("clean", "f"), ("destroy", "f")), words=frozenset({"--force"}), remedy="-f"
    ),
}


def warn_of_question(
    commands: Sequence[Command],
    env: Mapping[str, str] | None = None,
    look_through_programs: Sequence[str] = DEFAULT_PROGRAMS,
) -> str | None:
    """Give one sentence about the first command that will ask and get no answer; None if there is none.

    `env` is what the job itself sets, over the settings' environment.
    """
    for command in commands:
        target = look_through(command.argv, look_through_programs, stop_at=_ASKERS)
        asker = _ASKERS.get(target.program)
        if asker is None:
            continue
        subcommand = _question(asker, target, {**(env or {}), **dict(target.variables)})
        if subcommand:
            return (
                f"{target.program} {subcommand} asks before it acts, and nobody can answer: "
                f"a command's stdin is empty; add {asker.remedy}"
            )
    return None


def _question(asker: _Asker, target: Target, variables: Mapping[str, str]) -> str | None:
    """Give the subcommand if it will ask."""
    if asker.variable and variables.get(asker.variable, "").lower() in _YES:
        return None
    answers = ""
    subcommand = None
    words = iter(target.argv[1:])
    for word in words:
        if subcommand is None and word.startswith("-"):
            value = next(words, "") if len(word) == 2 and word[1] in asker.valued else word[2:]
            name, _, setting = value.partition("=")
            if asker.variable and name == asker.variable and setting.lower() in _YES:
                return None
        elif subcommand is None:
            known = dict(asker.subcommands)
            if word not in known:
                return None
            subcommand, answers = word, known[word]
        elif word in asker.words or (word[:1] == "-" != word[1:2] and set(word) & set(answers)):
            return None
    return subcommand
