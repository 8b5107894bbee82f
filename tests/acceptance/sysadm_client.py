"""A SysAdm client made of `websockets`, for tests that drive a real daemon over wss.

Answers and events come in one stream; they are kept apart here, each in the order of the wire.
An object in which a key stands twice is an error.
"""

import json
import re
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.daemon import FULL, Account, Daemon

PATIENCE = 20.0
KEY = "sysadm_pkg_install-{9c079421-ace9-4b6e-8870-d023b48f4c49}"  # the job of the documented calls
DATA = Path(__file__).resolve().parents[1] / "data" / "sysadm"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

Fields = dict[str, Any]


def golden(name: str) -> Any:
    """Read an expected message, or a list of them."""
    return json.loads((DATA / name).read_text())


def documented(name: str) -> str:
    """Read what the documentation of the protocol has a client send."""
    return (DATA / "documented" / name).read_text()


def answer_to(name: str) -> Any:
    """Give the documented answer."""
    return golden(f"documented/{name}.answer.json")


def tls_context(daemon: Daemon) -> ssl.SSLContext:
    """Trust the certificate that the daemon has made for itself, and no other."""
    return ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")


def call(name: str, args: object, call_id: str = "1", namespace: str = "rpc") -> Fields:
    """Make a call."""
    return {"namespace": namespace, "name": name, "id": call_id, "args": args}


def record(args: Fields) -> Fields:
    """Give the job's record of an event, which events of a class wrap."""
    found: Fields = args.get("process_details", args)
    return found


class Client:
    """One connection; logged in unless `account` is None. To be used in a `with`."""

    def __init__(
        self,
        daemon: Daemon,
        account: Account | None = FULL,
        opening: AbstractContextManager[ClientConnection] | None = None,
    ) -> None:
        self.token = ""
        self._account = account
        self._opening = opening or connect(
            f"wss://localhost:{daemon.tls_port}/", ssl=tls_context(daemon), compression=None
        )
        self._closing = ExitStack()
        self._answers: deque[Fields] = deque()
        self._events: deque[Fields] = deque()

    def __enter__(self) -> Self:
        self.socket: ClientConnection = self._closing.enter_context(self._opening)
        if self._account is not None:
            answer = self.log_in(self._account)
            assert answer["name"] == "response", answer
            self.token = answer["args"][0]
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def log_in(self, account: Account) -> Fields:
        """Answer of rpc/auth."""
        return self.ask(call("auth", {"username": account.name, "password": account.password}))

    def ask(self, message: Fields | str) -> Fields:
        """Send a call, verbatim if it is text, and give the next answer."""
        self.say(message)
        return self.answer()

    def say(self, message: Fields | str) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def run_jobs(self, **jobs: object) -> Fields:
        """Args of the answer to `run`."""
        args: Fields = self.ask(call("dispatcher", {"action": "run", **jobs}))["args"]
        return args

    def list_jobs(self, **args: object) -> Fields:
        """Args of the answer to `list`."""
        found: Fields = self.ask(call("dispatcher", {"action": "list", **args}))["args"]
        return found

    def subscribe(self, name: str = "dispatcher") -> Fields:
        """Args of the answer to `subscribe`."""
        args: Fields = self.ask(call("subscribe", [name], namespace="events"))["args"]
        return args

    def answer(self) -> Fields:
        """Give the next message that is no event."""
        return self._next(self._answers)

    def event(self) -> Fields:
        """Give the next event."""
        return self._next(self._events)

    def events_until(self, is_last: Callable[[Fields], bool]) -> list[Fields]:
        """Give events up to the first for whose `args` the function holds."""
        events = [self.event()]
        while not is_last(events[-1]["args"]):
            events.append(self.event())
        return events

    def finished(self, key: str) -> Fields:
        """Wait for the end of a job; give the record of its `finished` event."""
        events = self.events_until(
            lambda args: record(args)["process_id"] == key and args["state"] == "finished"
        )
        return record(events[-1]["args"])

    def begun(self, key: str) -> None:
        """Wait until a job runs."""
        self.events_until(lambda args: record(args)["process_id"] == key and args["state"] == "running")

    def silence(self, seconds: float) -> list[Fields]:
        """Give what has come and still comes within some seconds; nothing is hoped for."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._take(left)
            except TimeoutError:
                break
        found = [*self._answers, *self._events]
        self._answers.clear()
        self._events.clear()
        return found

    def has_heard(self) -> bool:
        """Whether something is there that was not taken yet."""
        with suppress(TimeoutError):
            self._take(0)
        return bool(self._answers or self._events)

    def _next(self, wanted: deque[Fields]) -> Fields:
        deadline = time.monotonic() + PATIENCE
        while not wanted:
            self._take(max(0.0, deadline - time.monotonic()))
        return wanted.popleft()

    def _take(self, seconds: float) -> None:
        text = self.socket.recv(timeout=seconds)
        assert isinstance(text, str), "every message is text"
        message = json.loads(text, object_pairs_hook=_once_each)
        is_event = message["namespace"] == "events" and message["id"] == "none"
        (self._events if is_event else self._answers).append(message)


def without_times(events: list[Fields]) -> list[Fields]:
    """Put `<time>` in the place of every time that is one, as the golden files have it."""

    def blank(name: str, value: Any) -> Any:
        return "<time>" if name.startswith("time_") and TIME.fullmatch(value) else value

    return [
        event | {"args": {name: blank(name, value) for name, value in event["args"].items()}}
        for event in events
    ]


def _once_each(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    assert len(fields) == len(pairs), f"a key stands twice in {pairs}"
    return fields
