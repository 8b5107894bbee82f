"""A stand-in for pkg(8): it notes how it was called, and prints what the test put beside it."""

import json
import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

# POSIX sh. Each answer is a folder with the words it answers to; the longest name that fits wins.
SCRIPT = """#!/bin/sh
folder=$(dirname "$0")/answers
for word in "$@"; do printf '%s\\n' "$word"; done >> "$folder/calls"
echo >> "$folder/calls"
for answer in $(ls -r "$folder"); do
    [ -d "$folder/$answer" ] || continue
    read -r words < "$folder/$answer/words"
    case " $* " in *"$words"*) ;; *) continue ;; esac
    cat "$folder/$answer/out"
    cat "$folder/$answer/err" >&2
    read -r code < "$folder/$answer/code"
    exit "$code"
done
exit 1
"""


class StandIn:
    """The program, in a folder for PATH. Of the answers that fit, the one added last is given."""

    def __init__(self, bin_folder: Path, name: str = "pkg") -> None:
        self.path = bin_folder / name
        self.path.write_text(SCRIPT)
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)
        self._answers = bin_folder / "answers"
        self._answers.mkdir(exist_ok=True)

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """Variables by which commands find it."""
        sh = os.path.dirname(shutil.which("sh") or "/bin/sh")  # noqa: PTH120
        return (("PATH", f"{self.path.parent}:{sh}:/bin:/usr/bin"),)

    def answers(self, words: str, out: str, *, err: str = "", code: int = 0) -> None:
        """Print `out` when these words stand in the call one behind the other."""
        folder = self._answers / f"{len(list(self._answers.glob('a*'))):04d}".join(("a", ""))
        folder.mkdir()
        (folder / "words").write_text(words + "\n")
        (folder / "out").write_text(out)
        (folder / "err").write_text(err)
        (folder / "code").write_text(f"{code}\n")

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call."""
        noted = self._answers / "calls"
        blocks = noted.read_text().split("\n\n") if noted.exists() else []
        return [block.split("\n") for block in blocks if block]


def manifests(*packages: dict[str, object]) -> str:
    """Write packages as `pkg search --raw --raw-format json-compact` does."""
    return "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in packages)


def fields(*packages: Sequence[tuple[str, str]]) -> str:
    """Write packages as the template's `pkg query` does."""
    return "".join("\x1f".join(f"{key}={value}" for key, value in one) + "\x1e\n" for one in packages)


def lines(*values: tuple[str, ...]) -> str:
    """Write lines of origin and values."""
    return "".join("\x1f".join(one) + "\n" for one in values)
