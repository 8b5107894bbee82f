"""What a method is: a row of the table of `methods.py`, and how a function becomes one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from dispatcher.access.roles import Level
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.parameters import read_params
from dispatcher.core.model import Value

P = TypeVar("P", bound=Value)


class Method(Value, frozen=True):
    """One row of the table. `holds_slot` is False for a method that waits for a job.

    Calling a method that `is_job` makes a job, even with wrong arguments. `mask` writes arguments
    with their secrets masked, where there may be some. `returns` is the type of the answer.
    """

    name: str
    params: type[Value]
    level: Level
    call: Callable[[Client, Sequence[object]], Awaitable[object]]
    doc: str
    holds_slot: bool = True
    is_job: bool = False
    mask: Callable[[Sequence[object]], str] | None = None
    returns: object = None

    def masked(self, given: Sequence[object]) -> str:
        """Give the arguments of a call as JSON text, secrets masked."""
        return self.mask(given) if self.mask is not None else msgspec.json.encode(list(given)).decode()


def row(
    name: str,
    params: type[P],
    level: Level,
    function: Callable[[Client, P], Awaitable[object]],
    doc: str,
    *,
    holds_slot: bool = True,
    is_job: bool = False,
) -> Method:
    """Make a row: `function` gets the parameters already read, as a value of `params`."""

    async def call(client: Client, given: Sequence[object]) -> object:
        return await function(client, read_params(params, given))

    returns = function.__annotations__.get("return")
    return Method(name, params, level, call, doc, holds_slot, is_job, returns=returns)
