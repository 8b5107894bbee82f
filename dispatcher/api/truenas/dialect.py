"""What differs between the two protocols that TrueNAS clients speak, as a session sees it."""

from typing import Protocol

from dispatcher.api.truenas.problems import Problem
from dispatcher.core.model import Value


class Call(Value, frozen=True):
    """One request. `id` is the JSON text of its id; None for a notification, which gets no reply.

    `subscription` is the number that the older protocol's client itself gives to a subscription.
    """

    method: str
    params: list[object]
    id: bytes | None
    subscription: str | None = None


class Broken(Exception):
    """What came cannot be answered: the connection is closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Answer(Exception):
    """What came is no call of a method; this is what to answer, if anything."""

    def __init__(self, text: bytes = b"") -> None:
        super().__init__()
        self.text = text


class Dialect(Protocol):
    """One connection's protocol. Pure: text in, text out."""

    is_legacy: bool

    def read(self, text: str) -> Call:
        """Read one message. Raises Problem (answered if it has a call_id), Answer, or Broken."""
        ...

    def result(self, call: Call, value: object) -> bytes:
        """Write the answer of a call that has an id."""
        ...

    def failure(self, call_id: bytes, problem: Problem, *, has_full_access: bool, unpickles: bool) -> bytes:
        """Write the error that a call gets."""
        ...

    def unsubscribed(self, collection: str, problem: Problem) -> bytes:
        """Write that the server has ended a subscription."""
        ...
