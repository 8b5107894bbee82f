"""The text that a client must sign to log in with its key: bound to its connection, used once."""

import secrets
import string

import trio

# The stock client has 2 * length bytes for a signature of 256: below 128 characters it writes beyond
# them, and above 245 its key cannot sign.
LENGTH = 200
SECONDS = 30.0
_ALPHABET = string.ascii_letters + string.digits


class Challenge:
    """One connection's outstanding text, if there is one."""

    def __init__(self) -> None:
        self._text = ""
        self._until = 0.0

    def issue(self) -> str:
        """Make a new text; one that was outstanding counts no more."""
        self._text = "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))
        self._until = trio.current_time() + SECONDS
        return self._text

    def take(self) -> str:
        """Give the text, once and within 30 s; else ""."""
        text, self._text = self._text, ""
        return text if trio.current_time() < self._until else ""
