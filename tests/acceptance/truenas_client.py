"""Clients of TrueNAS's two protocols made of `websockets`, for tests that drive a real daemon.

`Current` speaks JSON-RPC on /api/current, `Older` the older protocol on /websocket. All messages are
kept in `seen` in the order of the wire; what was not asked for yet waits until it is.
"""

import json
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from websockets.sync.client import connect, unix_connect

from tests.api import job_keys
from tests.daemon import FULL, Account, Daemon

PATIENCE = 20.0
JOBS = "core.get_jobs"
FINAL = ("SUCCESS", "FAILED", "ABORTED")
KEYS = set(job_keys.KEYS)  # of a job, always all of them
DATA_KEYS = {"error", "errname", "reason", "trace", "extra", "py_exception"}

Fields = dict[str, Any]


class Connection:
    """One connection; `how` is unix, ws or wss. Over the Unix socket one is logged in at once."""

    path = ""

    def __init__(self, daemon: Daemon, how: str = "unix", path: str = "", **more: Any) -> None:
        # What a test does not read must not hold up the goodbye.
        more = {"close_timeout": 0.2} | more
        path = path or self.path
        self.seen: list[Fields] = []
        self._unread: deque[Fields] = deque()
        self._last = 0
        self._stack = ExitStack()
        if how == "unix":
            self._opening = unix_connect(str(daemon.socket), f"ws://localhost{path}", **more)
        elif how == "ws":
            self._opening = connect(f"ws://127.0.0.1:{daemon.plain_port}{path}", **more)
        else:
            trust = ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")
            self._opening = connect(f"wss://localhost:{daemon.tls_port}{path}", ssl=trust, **more)

    def __enter__(self) -> Self:
        self.socket = self._stack.enter_context(self._opening)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, method: str, *params: object) -> Fields:
        """Call a method; give its whole answer."""
        raise NotImplementedError

    def result(self, method: str, *params: object) -> Any:
        """Call a method that is carried out."""
        answer = self.ask(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method: str, *params: object) -> Fields:
        answer = self.ask(method, *params)
        assert "error" in answer, answer
        found: Fields = answer["error"]
        return found

    def log_in(self, account: Account = FULL) -> None:
        assert self.result("auth.login", account.name, account.password) is True

    def send(self, message: object) -> None:
        """Send text or bytes as they are, anything else as JSON."""
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def take(
        self, is_wanted: Callable[[Fields], object], what: str = "a message", seconds: float = PATIENCE
    ) -> Fields:
        """Give the first message that is wanted; earlier ones wait for whoever wants them."""
        deadline = time.monotonic() + seconds
        passed = deque[Fields]()
        while True:
            if self._unread:
                message = self._unread.popleft()
            else:
                try:
                    message = json.loads(self.socket.recv(timeout=max(0.0, deadline - time.monotonic())))
                except TimeoutError:
                    raise AssertionError(f"waited in vain for {what}; seen: {self.seen[-5:]}") from None
                self.seen.append(message)
            if is_wanted(message):
                self._unread.extendleft(reversed(passed))
                return message
            passed.append(message)

    def next_id(self) -> int:
        self._last += 1
        return self._last

    def fields_of(self, message: Fields) -> Fields | None:
        """Give the job that an event tells of; None if the message is none."""
        raise NotImplementedError

    def events(self, number: int) -> list[Fields]:
        """Give what events have told of a job so far, in their order."""
        found = [self.fields_of(message) for message in self.seen]
        return [one for one in found if one is not None and one["id"] == number]

    def job_when(self, number: int, is_so: Callable[[Fields], object], what: str) -> Fields:
        """Wait for an event that tells something of a job; give the job."""

        def fits(message: Fields) -> bool:
            fields = self.fields_of(message)
            return fields is not None and fields["id"] == number and bool(is_so(fields))

        fields = self.fields_of(self.take(fits, f"job {number}: {what}"))
        assert fields is not None
        return fields

    def ended(self, number: int) -> Fields:
        """Wait for the event of a job's end."""
        return self.job_when(number, lambda one: one["state"] in FINAL, "its end")

    def job(self, number: int) -> Fields:
        """Ask for one job."""
        found: Fields = self.result(JOBS, [["id", "=", number]], {"get": True})
        return found

    def finished(self, number: int) -> Fields:
        """Wait for a job's end, without events."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.job(number))["state"] not in FINAL:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


class Current(Connection):
    """JSON-RPC. `result` and `error` call a method and want the one or the other."""

    path = "/api/current"

    def fields_of(self, message: Fields) -> Fields | None:
        if message.get("method") != "collection_update":
            return None
        fields: Fields = message["params"]["fields"]
        return fields

    def call(self, method: str, *params: object, call_id: object = None) -> object:
        """Send a call; give its id."""
        call_id = self.next_id() if call_id is None else call_id
        self.send({"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(params)})
        return call_id

    def answer(self, call_id: object) -> Fields:
        """Wait for the answer of a call."""
        return self.take(lambda one: "id" in one and one["id"] == call_id, f"the answer to call {call_id!r}")

    def ask(self, method: str, *params: object) -> Fields:
        return self.answer(self.call(method, *params))

    def follow(self) -> str:
        """Subscribe to the jobs."""
        number: str = self.result("core.subscribe", JOBS)
        return number

    def use_new_style(self) -> None:
        """Have the answers of job methods wait for the ends of their jobs."""
        self.result("core.set_options", {"legacy_jobs": False})


class Older(Connection):
    """The older protocol; connected when it is entered."""

    path = "/websocket"

    def __enter__(self) -> Self:
        super().__enter__()
        self.send({"msg": "connect", "version": "1", "support": ["1"]})
        self.session: str = self.take(lambda one: one["msg"] == "connected", "connected")["session"]
        return self

    def fields_of(self, message: Fields) -> Fields | None:
        if message.get("msg") not in ("added", "changed"):
            return None
        fields: Fields = message["fields"]
        return fields

    def ask(self, method: str, *params: object) -> Fields:
        call_id = f"call-{self.next_id()}"
        self.send({"msg": "method", "id": call_id, "method": method, "params": list(params)})
        return self.take(lambda one: one.get("id") == call_id and one["msg"] == "result", call_id)

    def follow(self, number: str = "jobs") -> None:
        self.send({"msg": "sub", "id": number, "name": JOBS})
        self.take(lambda one: one["msg"] == "ready" and one["subs"] == [number], "ready")
