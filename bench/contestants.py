"""What a runner of jobs must do to be measured, and what those have in common that are just programs.

Each is set up afresh for each measurement, so that an idle one never disturbs another.
"""

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

BUILD = Path(__file__).resolve().parent / "build"
TRUE = "/bin/true" if Path("/bin/true").exists() else "/usr/bin/true"


class Missing(Exception):
    """A contestant that cannot be had here; the sentence says what it would take."""


class Running(Protocol):
    """A contestant that is set up and idle."""

    def throughput(self, jobs: int) -> float:
        """Run so many jobs of /bin/true; the seconds from the first submit to the last end."""
        ...

    def latencies(self, jobs: int, pause: float) -> list[float]:
        """Run jobs one after the other; the seconds from submit to known end of each."""
        ...


class Contestant(Protocol):
    """One row of the tables. `share` is the part of the jobs that it gets: slow ones get fewer."""

    name: str
    keeps: str
    share: float

    def check(self) -> None:
        """Raise Missing if it cannot run here; build or install what it needs otherwise."""
        ...

    def open(self, folder: Path, width: int) -> AbstractContextManager[Running]:
        """Set it up in an empty folder, with at most `width` jobs at once."""
        ...


def need(program: str, package: str) -> str:
    """Find a program."""
    found = shutil.which(program)
    if found is None:
        raise Missing(f"{program} is not installed: apt-get install {package}")
    return found


def call(*arguments: str, env: dict[str, str] | None = None, text: str | None = None) -> str:
    """Run a program to its end; its output."""
    done = subprocess.run(
        arguments,
        env=env,
        input=text,
        stdin=None if text is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return done.stdout


def seconds(lines: str) -> list[float]:
    """Read one number a line."""
    return [float(line) for line in lines.split()]


def available(all_of_them: Sequence[Contestant]) -> tuple[list[Contestant], dict[str, str]]:
    """Sort out who is here, and say of the others why they are not."""
    here: list[Contestant] = []
    absent: dict[str, str] = {}
    for one in all_of_them:
        try:
            one.check()
        except Missing as missing:
            absent[one.name] = str(missing)
        else:
            here.append(one)
    return here, absent
