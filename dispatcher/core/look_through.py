"""Find the program that a command is really about: behind `env A=1`, `sudo -u www`, `nice -n 10` ...

Only argument lists are read; a shell's `-c` text is not looked into. What stands here about
each program is from its manual page, GNU and BSD together.
"""

from collections import deque
from collections.abc import Collection, Sequence

from dispatcher.core.model import Value
from dispatcher.core.splitting import split

DEFAULT_PROGRAMS = ("env", "sudo", "nice", "doas")
_MOST_WRAPPERS = 16


class Target(Value, frozen=True):
    """The command behind all wrappers, and the variables that they set for it."""

    argv: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def program(self) -> str:
        """The base name of the program; empty if there is none."""
        return base_name(self.argv[0]) if self.argv else ""


class _Wrapper(Value, frozen=True):
    """How to get past a program's own words: options that take a value, then `operands` words."""

    letters: str = ""
    words: frozenset[str] = frozenset()
    operands: int = 0
    sets_variables: bool = False
    text_letter: str = ""
    text_word: str = ""


_SUDO_WORDS = frozenset(
    {
        *("--close-from", "--chdir", "--group", "--host", "--prompt", "--chroot", "--role", "--type"),
        *("--command-timeout", "--other-user", "--user", "--auth-type", "--login-class"),
    }
)
_WRAPPERS = {
    "env": _Wrapper(
        letters="uCaPLU",
        words=frozenset({"--unset", "--chdir", "--argv0"}),
        sets_variables=True,
        text_letter="S",
        text_word="--split-string",
    ),
    "sudo": _Wrapper(
        letters="CDghpRrtTUuac",
        words=frozenset(
            [
                "--close-from",
                "--chdir",
                "--group",
                "--host",
                "--prompt",
                "--chroot",
                "--role",
                "--type",
                "--command-timeout",
                "--other-user",
                "--user",
                "--auth-type",
                "--login-class",
            ]
        ),
        sets_variables=True,
    ),
    "nice": _Wrapper(letters="n", words=frozenset({"--adjustment"})),
    "doas": _Wrapper(letters="aCu"),
    "ionice": _Wrapper(letters="cn", words=frozenset({"--class", "--classdata"})),
    "stdbuf": _Wrapper(letters="ioe", words=frozenset({"--input", "--output", "--error"})),
    "time": _Wrapper(letters="of", words=frozenset({"--output", "--format"})),
    "timeout": _Wrapper(letters="ks", words=frozenset({"--kill-after", "--signal"}), operands=1),
    "lockf": _Wrapper(letters="t", operands=1),
    "chroot": _Wrapper(letters="Gug", operands=1),
    "idprio": _Wrapper(operands=1),
    "rtprio": _Wrapper(operands=1),
}
_PLAIN = _Wrapper()


def base_name(path: str) -> str:
    """Give the last part of a program's path: `/usr/sbin/pkg` is `pkg`."""
    return path.rstrip("/").rpartition("/")[2]


def look_through(
    argv: Sequence[str], programs: Collection[str] = DEFAULT_PROGRAMS, stop_at: Collection[str] = ()
) -> Target:
    """Get past every wrapper in `programs`, as far as one that is in `stop_at` too.

    A program that is not known here is taken to have options without values. A wrapper with
    nothing behind it is itself the target. After 16 wrappers the next one is the target.
    """
    target = Target(tuple(argv))
    for _ in range(_MOST_WRAPPERS):
        if target.program not in programs or target.program in stop_at:
            break
        inner = _unwrap(_WRAPPERS.get(target.program, _PLAIN), target)
        if not inner.argv:
            break
        target = inner
    return target


def _unwrap(wrapper: _Wrapper, outer: Target) -> Target:
    # A deque: a list of a million options must not cost a million copies of itself.
    words = deque(outer.argv[1:])
    _skip_options(wrapper, words)
    variables = list(outer.variables)
    while wrapper.sets_variables and words and "=" in words[0]:
        name, _, value = words.popleft().partition("=")
        variables.append((name, value))
    return Target(tuple(words)[wrapper.operands :], tuple(variables))


def _skip_options(wrapper: _Wrapper, words: deque[str]) -> None:
    while words and words[0].startswith("-"):
        option = words.popleft()
        if option == "--":
            return
        if not option.startswith("--"):
            _skip_letters(wrapper, option[1:], words)
            continue
        name, equals, value = option.partition("=")
        if name == wrapper.text_word:
            _put_back_text(value if equals else None, words)
        elif name in wrapper.words and not equals and words:
            words.popleft()


def _skip_letters(wrapper: _Wrapper, letters: str, words: deque[str]) -> None:
    """Get past `-iu NAME`: the first letter that takes a value has the rest, or the next word."""
    for place, letter in enumerate(letters, 1):
        if letter == wrapper.text_letter:
            _put_back_text(letters[place:] or None, words)
            return
        if letter in wrapper.letters:
            if not letters[place:] and words:
                words.popleft()
            return


def _put_back_text(text: str | None, words: deque[str]) -> None:
    """`env -S "pkg info"` splits the text itself; its words stand where the option stood."""
    if text is None and words:
        text = words.popleft()
    words.extendleft(reversed(split(text or "")))
