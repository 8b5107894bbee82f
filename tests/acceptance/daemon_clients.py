"""Clients for the acceptance tests, on a WebSocket library that is not ours. They block: use threads.

`Rpc` speaks JSON-RPC 2.0 on the Unix socket, `SysAdm` its own protocol over TLS.
"""

import json
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect, unix_connect

from tests.daemon import FULL, Account, Daemon

PATIENCE = 30.0  # seconds for one message on a loaded machine

# What the tests look into is JSON of a known shape; a wrong one is a failed test anyway.
Answer = dict[str, Any]


def until(is_so: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that nobody tells: a file that a command writes, or the end of its process."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.01)


class Rpc:
    """One connection; `call` gives the result, notifications that come before it are kept."""

    def __init__(self, daemon: Daemon) -> None:
        self._opening = unix_connect(str(daemon.socket), "ws://localhost/api/current", max_size=None)
        self._closing = ExitStack()
        self._notifications = deque[Answer]()
        self._last = 0

    def __enter__(self) -> Self:
        self._socket = self._closing.enter_context(self._opening)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def call(self, method: str, **params: object) -> Any:
        """Call `dispatcher.METHOD`; an error answer is an AssertionError."""
        answer = self.answer(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    def answer(self, method: str, **params: object) -> Answer:
        """Call `dispatcher.METHOD` and give the whole answer."""
        self._last += 1
        call = {"jsonrpc": "2.0", "id": self._last, "method": f"dispatcher.{method}", "params": [params]}
        self._socket.send(json.dumps(call))
        while "id" not in (message := self._receive()):
            self._notifications.append(message)
        assert message["id"] == self._last
        return message

    def notification(self, method: str) -> Answer:
        """Wait for the next notification `dispatcher.METHOD`; give its params."""
        while True:
            message = self._notifications.popleft() if self._notifications else self._receive()
            if message.get("method") == f"dispatcher.{method}":
                params: Answer = message["params"]
                return params

    def submit(self, *commands: str | list[str], **more: object) -> int:
        """Submit a job; give its number."""
        number: int = self.call("submit", commands=list(commands), **more)["number"]
        return number

    def run(self, *commands: str | list[str], **more: object) -> Answer:
        """Submit a job and wait for its end; give its record."""
        return self.wait(self.submit(*commands, **more))

    def wait(self, job: int | str) -> Answer:
        """Wait for the end of a job; give its record."""
        ended: Answer = self.call("wait", job=job)
        return ended

    def log(self, job: int | str) -> str:
        """Read a whole log, as far as it is there."""
        texts, offset = [], 0
        while True:
            piece = self.call("log", job=job, offset=offset)
            texts.append(piece["text"])
            if piece["end"] or piece["next"] == offset:
                return "".join(texts)
            offset = piece["next"]

    def queue(self, name: str) -> Answer:
        """Tell how a queue stands."""
        return next(one for one in self.call("queues") if one["name"] == name)

    def _receive(self) -> Answer:
        message: Answer = json.loads(self._socket.recv(timeout=PATIENCE))
        return message


class SysAdm:
    """One connection over TLS, logged in; `call` gives the `args` of the reply."""

    def __init__(self, daemon: Daemon, account: Account = FULL) -> None:
        trust = ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")
        self._account = account
        self._opening = connect(f"wss://localhost:{daemon.tls_port}/", ssl=trust, max_size=None)
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self._socket = self._closing.enter_context(self._opening)
        answer = self._send("auth", {"username": self._account.name, "password": self._account.password})
        assert answer["name"] == "response", answer
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def call(self, **args: object) -> Answer:
        """Ask `rpc/dispatcher`; an error answer is an AssertionError."""
        answer = self._send("dispatcher", args)
        assert answer["name"] == "response", answer
        given: Answer = answer["args"]
        return given

    def _send(self, name: str, args: object) -> Answer:
        self._socket.send(json.dumps({"namespace": "rpc", "name": name, "id": "1", "args": args}))
        answer: Answer = json.loads(self._socket.recv(timeout=PATIENCE))
        return answer
