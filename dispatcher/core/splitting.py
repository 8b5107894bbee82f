"""Make commands of what clients send: a string is split as SysAdm splits it, a list is taken as it is.

No shell: blanks separate words, double quotes group and vanish, three double quotes in a row
are one literal quote; single quotes, `$`, backslashes and globs mean themselves. This is the
rule of Qt's QProcess::splitCommand. One thing cannot be said in it: an empty argument.
"""

import re
from collections.abc import Sequence

from dispatcher.core.model import Command
from dispatcher.errors import InvalidRequest

_QUOTES_OR_TEXT = re.compile(r'"+|[^"]+')
# What Qt calls a space. Python's own idea adds the separators U+001C to U+001F.
_BLANK = re.compile(r"[^\S\x1c-\x1f]")
_BLANKS_OR_WORD = re.compile(r"[^\S\x1c-\x1f]+|[\S\x1c-\x1f]+")


def split(text: str) -> tuple[str, ...]:
    """Split a command string into its program and arguments; quotes left open end with the text."""
    words: list[str] = []
    word = ""
    is_quoted = False
    for piece in _QUOTES_OR_TEXT.findall(text):
        if piece[0] == '"':
            literal, rest = divmod(len(piece), 3)
            word += '"' * literal
            # Two quotes open and close nothing, so `""` is no empty argument either.
            is_quoted ^= rest == 1
        elif is_quoted:
            word += piece
        else:
            for part in _BLANKS_OR_WORD.findall(piece):
                if not _BLANK.match(part):
                    word += part
                elif word:
                    words.append(word)
                    word = ""
    if word:
        words.append(word)
    return tuple(words)


def join(argv: Sequence[str]) -> str:
    """Write arguments as text that `split` takes apart into the same ones.

    An empty argument is shown as `""`, which `split` leaves out: it has no way to say it.
    """
    return " ".join(_quote(word) for word in argv)


def read_command(given: str | Sequence[str]) -> Command | None:
    """Make a command of a string or an argument list; None for a string with nothing in it.

    Raises InvalidRequest for what no system could execute.
    """
    if isinstance(given, str):
        _check_text(given)
        argv = split(given)
        return Command(argv, given) if argv else None
    if not given or not given[0]:
        raise InvalidRequest(
            "cannot run an argument list without a program: "
            'its first element is the program, as in ["pkg", "info"]'
        )
    for word in given:
        _check_text(word)
    return Command(tuple(given), join(given))


def _quote(word: str) -> str:
    tripled = word.replace('"', '"""')
    return f'"{tripled}"' if not word or _BLANK.search(word) else tripled


def _check_text(text: str) -> None:
    if "\0" in text:
        raise InvalidRequest(f"cannot run {text[:60]!r}: a command cannot hold a NUL character; leave it out")
    # JSON and YAML can write half of a surrogate pair; no bytes stand for it.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequest(f"cannot run {text[:60]!r}: it is not valid Unicode; send it as UTF-8")
