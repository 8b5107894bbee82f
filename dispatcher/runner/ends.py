"""The descriptors that connect the commands of one job to pipes of the supervisor.

The supervisor has them until the worker has begun; they come to the worker with the order.
Standard library only, because workers import it.
"""

import os
from collections.abc import Iterable
from typing import Self


class Ends:
    """The ends of one job, each closed once; None stands for what is not there, or not any more.

    `stdin` is what the commands read. `keeper` is a write end of the same pipe, held so that a dying
    supervisor is no end of the input. `stdout` is what the commands write to.
    """

    def __init__(
        self, *, stdin: int | None = None, keeper: int | None = None, stdout: int | None = None
    ) -> None:
        self.stdin = stdin
        self.keeper = keeper
        self.stdout = stdout

    @classmethod
    def of(cls, names: Iterable[str], descriptors: Iterable[int]) -> Self:
        """Make the ends that an order names from the descriptors that came with it; both in order."""
        return cls(**dict(zip(names, descriptors, strict=False)))

    @property
    def named(self) -> dict[str, int]:
        """Name the ends that are there, in the order in which they are sent."""
        ends = {"stdin": self.stdin, "keeper": self.keeper, "stdout": self.stdout}
        return {name: end for name, end in ends.items() if end is not None}

    def end_input(self) -> None:
        """Close the keeper: once its writer has closed its own end, the commands see the end of the input."""
        keeper, self.keeper = self.keeper, None
        _close(keeper)

    def leave_input(self) -> None:
        """Close what a command reads: it has it by now, and no other one will read it."""
        stdin, self.stdin = self.stdin, None
        _close(stdin)

    def leave_to_command(self) -> None:
        """Close what the last command has by now, so that the other side sees it end."""
        self.leave_input()
        stdout, self.stdout = self.stdout, None
        _close(stdout)

    def close(self) -> None:
        """Close everything."""
        self.leave_to_command()
        self.end_input()


def _close(end: int | None) -> None:
    if end is not None:
        os.close(end)
