"""The opening handshake of RFC 6455 as a server checks it, and the head that says yes.

Pure: request in, key or refusal out. The WebSocket library waits for ever on a handshake that it
refuses, so nothing reaches it that has not been found right here.
"""

import base64
import binascii
from typing import Protocol

VERSION = "13"


class Refusal(Exception):
    """A request that is answered with an HTTP status and one sentence, and then closed."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


class Head(Protocol):
    """What is looked at of a request."""

    @property
    def method(self) -> str:
        """The method, as it was sent."""
        ...

    def header(self, name: str) -> str:
        """Give a header's value, "" without it."""
        ...


def wants_websocket(head: Head) -> bool:
    """Tell whether the client means a WebSocket, rightly asked for or not."""
    return "websocket" in _tokens(head.header("upgrade"))


def require_handshake(head: Head, http_version: str, body: bytes) -> str:
    """Give the client's key, or raise Refusal with what is wrong."""
    if head.method != "GET":
        raise Refusal(400, f"cannot open a WebSocket by {head.method}: use GET")
    if http_version != "1.1":
        raise Refusal(400, f"cannot open a WebSocket over HTTP/{http_version}: use HTTP/1.1")
    if body:
        raise Refusal(400, "cannot open a WebSocket: the handshake has a body; send frames after the answer")
    if "upgrade" not in _tokens(head.header("connection")):
        raise Refusal(400, "cannot open a WebSocket: the header 'Connection: Upgrade' is missing")
    if head.header("sec-websocket-version") != VERSION:
        # RFC 6455, 4.4: name the version that we do speak.
        raise Refusal(
            426,
            f"cannot open a WebSocket: Sec-WebSocket-Version must be {VERSION}",
            (("sec-websocket-version", VERSION),),
        )
    key = head.header("sec-websocket-key")
    if not _is_key(key):
        raise Refusal(400, "cannot open a WebSocket: Sec-WebSocket-Key must be 16 bytes in base64")
    return key


def replayed_head(key: str) -> bytes:
    """Write the head that the library is shown: the client's key and nothing it could stumble over."""
    lines = (
        "GET / HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Version: {VERSION}",
        f"Sec-WebSocket-Key: {key}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _tokens(value: str) -> set[str]:
    return {token.strip().lower() for token in value.split(",")}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
