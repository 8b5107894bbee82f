"""A small JSON-RPC client on a blocking socket: calls in any number at once, notifications in between."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections import deque

from dispatcher.cli.exits import CallFailed, ConnectionLost, NoDaemon, Usage
from dispatcher.cli.websocket import WebSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_HANDSHAKE_SECONDS = 10.0


class Client:
    """One connection to the daemon; a context manager. Raises NoDaemon if it is not there."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._answers: dict[int, dict[str, Any]] = {}
        self._notifications: deque[tuple[str, Any]] = deque()
        self._last = 0
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(_HANDSHAKE_SECONDS)
            stream.connect(path)
            self._socket = WebSocket(stream)
            self._socket.open("/api/current", "localhost")
            stream.settimeout(None)
        except BaseException as error:
            stream.close()
            if isinstance(error, OSError | ConnectionLost):
                raise _unreachable(path, error) from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def watch_output(self) -> None:
        """Raise BrokenPipeError while waiting, once nobody reads our output (`| head`)."""
        with contextlib.suppress(OSError, ValueError):  # output that is no file
            self._socket.watch_output(sys.stdout.fileno())

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def call(self, method: str, **params: object) -> Any:
        """Call a method and wait for its result; a parameter that is None is not sent."""
        return self.answer(self.send(method, **params))

    def send(self, method: str, **params: object) -> int:
        """Call a method; give the number under which `answer` gets its result."""
        self._last += 1
        given = [{name: value for name, value in params.items() if value is not None}]
        message = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": given}
        try:
            text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError as error:
            word = error.object[max(0, error.start - 20) : error.end + 20]
            raise Usage(f"cannot send an argument that is not UTF-8: near {word!r}") from None
        self._socket.send(text)
        return self._last

    def answer(self, number: int) -> Any:
        """Wait for the result of a call. Raises CallFailed if it is an error."""
        while number not in self._answers:
            self._read()
        message = self._answers.pop(number)
        if "error" in message:
            raise _failure(message["error"])
        return message["result"]

    def next_notification(self) -> tuple[str, Any]:
        """Wait for the next notification; give its method and its params."""
        while not self._notifications:
            self._read()
        return self._notifications.popleft()

    def _read(self) -> None:
        message = json.loads(self._socket.receive())
        if "method" in message:
            self._notifications.append((message["method"], message.get("params")))
        elif isinstance(message.get("id"), int):
            self._answers[message["id"]] = message
        else:
            raise _failure(message.get("error") or {})


def _unreachable(path: str, error: OSError | ConnectionLost) -> CallFailed | NoDaemon:
    if isinstance(error, PermissionError):
        return CallFailed(f"cannot open {path}: permission denied; ask as root or as the daemon's user")
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        reason = "no daemon is running there"
    else:
        reason = str(error)
    return NoDaemon(
        f"cannot reach the daemon at {path}: {reason}; start it with: service dispatcher start "
        "(or, in this terminal: dispatcher serve), or name its socket with --socket PATH"
    )


def _failure(error: dict[str, Any]) -> CallFailed:
    data = error.get("data") or {}
    name = str(data.get("errname", ""))
    sentence = str(data.get("reason") or error.get("message") or "the daemon answered with an unknown error")
    if data.get("extra"):
        sentence = "; ".join(f"{where}: {what}" if where else what for where, what, _ in data["extra"])
    sentence = sentence.removeprefix(f"[{name}] ")
    if name == "ENOTAUTHENTICATED" and not data.get("extra"):
        sentence = "you may not use this daemon's socket: call as root or as the daemon's user"
    return CallFailed(sentence, name)
