"""How the messages between a client and a daemon are written on their way through a bridge. Pure.

`Plain` before the first half of `auth_ssl`; then `Encoded`, which every bridge can read, or `Sealed`.
"""

import base64
from typing import Protocol

from dispatcher.bridge.sealing import Agreement, Unsealable, decode_base64


class Channel(Protocol):
    """One way to write and read. The order of calls is the order on the wire."""

    def write(self, message: bytes) -> str:
        """Give a message as it is relayed."""
        ...

    def read(self, payload: str) -> str | bytes:
        """Give the message in what was relayed. Raises Unsealable if nothing can follow it."""
        ...


class Plain:
    """The JSON text as it is."""

    def write(self, message: bytes) -> str:
        """Give the text."""
        return message.decode()

    def read(self, payload: str) -> str | bytes:
        """Give the text."""
        return payload


class Encoded:
    """Base64 of the JSON text, as the original does it: no encryption at all."""

    def write(self, message: bytes) -> str:
        """Encode a message."""
        return base64.b64encode(message).decode("ascii")

    def read(self, payload: str) -> str | bytes:
        """Decode a message; what is JSON, or no base64, is given as it is."""
        if payload.startswith("{"):
            return payload
        try:
            return decode_base64(payload)
        except ValueError:
            return payload


class Sealed:
    """Encrypted between the two ends."""

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement

    def write(self, message: bytes) -> str:
        """Seal a message."""
        return self._agreement.sealer.seal(message)

    def read(self, payload: str) -> str | bytes:
        """Open a message; a plain one is not from the other end, or it knows nothing of the session."""
        if payload.startswith("{"):
            raise Unsealable("a plain message came into an encrypted session, which has ended by that")
        return self._agreement.opener.open(payload)
