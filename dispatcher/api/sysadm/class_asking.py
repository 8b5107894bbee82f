"""What the code of a plain answer is given: the request, and the commands of its template by name."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from dispatcher.api.sysadm.quick_commands import Output

_Read = TypeVar("_Read")


class Ask(Protocol):
    """The request, and the commands of its template by name."""

    def text(self, name: str) -> str:
        """Give the value of a parameter; "" if it was not given."""
        ...

    def texts(self, name: str) -> tuple[str, ...]:
        """Give the values of a list parameter."""
        ...

    async def output(self, command: str, found: str = "") -> str:
        """Run a command, with `found` at its place; give what it printed, "" if the file has no such.

        Raises Refused if it failed without printing anything but a complaint.
        """
        ...

    async def result(self, command: str, found: str = "") -> Output | None:
        """Run a command; give all of how it ended, None if the file has no such."""
        ...


Answer = Callable[[Ask], Awaitable[object]]


async def in_thread(read: Callable[[], _Read]) -> _Read:
    """Read some megabytes without holding up everybody else."""
    return await trio.to_thread.run_sync(read)
