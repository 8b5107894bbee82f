"""Passwords that were right a short while ago, so that REST need not check at every request.

Kept is only a digest that is keyed by a secret of this process, and what it was right for: if that
is another by now (a new password, other groups), it is not remembered.
"""

import hmac
import secrets

import trio

SECONDS = 900.0
COUNT = 1024


class Remembered:
    """At most 1024 right passwords, each for 900 s from its check."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, tuple[object, float]] = {}

    def is_right(self, name: str, password: str, of: object) -> bool:
        """Tell whether this was right for `of`, and `of` is still the same."""
        known, until = self._right.get(self._mark(name, password), (None, 0.0))
        return known is not None and known == of and trio.current_time() < until

    def note(self, name: str, password: str, of: object) -> None:
        """Remember a right password; the oldest goes if there are too many."""
        mark = self._mark(name, password)
        self._right.pop(mark, None)
        while len(self._right) >= COUNT:
            del self._right[next(iter(self._right))]
        self._right[mark] = (of, trio.current_time() + SECONDS)

    def _mark(self, name: str, password: str) -> bytes:
        return hmac.digest(self._secret, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
