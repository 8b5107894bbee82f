"""A daemon for tests of the command line: real WebSocket and Unix socket, answers from a script."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, unix_serve

DATA = Path(__file__).parent.parent / "data" / "cli"


def golden(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def finished(**changes: object) -> Any:
    return {**golden("job_finished"), **changes}


def running(**changes: object) -> Any:
    commands = finished()["commands"]
    commands[1] |= {"code": None, "ended": None, "seconds": None, "log_end": None, "cut_bytes": 0}
    now = {
        "commands": commands,
        "state": "running",
        "outcome": None,
        "finished": None,
        "duration": None,
        "return_code": None,
    }
    return finished(**{**now, **changes})


def pending(**changes: object) -> Any:
    commands = [
        {**one, **dict.fromkeys(("code", "ended", "started", "seconds", "log_start", "log_end", "pid"))}
        for one in finished()["commands"]
    ]
    return running(**{"commands": commands, "state": "pending", "started": None, **changes})


def event(seq: int, job: Any) -> dict[str, Any]:
    return {"method": "dispatcher.event", "params": {"seq": seq, "job": job}}


def log_data(text: str, offset: int, *, end: bool) -> dict[str, Any]:
    params = {"follow": 1, "job": 7, "text": text, "offset": offset, "next": offset + len(text), "end": end}
    return {"method": "dispatcher.log_data", "params": params}


class Failure:
    """The error that a call gets."""

    def __init__(
        self, errname: str, sentence: str, extra: list[Any] | None = None, code: int = -32001
    ) -> None:
        data = {
            "error": 1,
            "errname": errname,
            "reason": f"[{errname}] {sentence}",
            "trace": None,
            "extra": extra or [],
        }
        self.error = {"code": code, "message": "method call error", "data": data}


class Silence:
    """A call that is never answered."""


class FakeDaemon:
    """`script` holds for each method what its calls get in turn; the last one holds for ever.

    `then` holds what follows the answers: notifications, or None for the end of the connection.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script: dict[str, list[Any]] = {}
        self.then: dict[str, list[list[Any]]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.called = threading.Semaphore(0)
        self.paths: list[str] = []

    def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        for text in connection:
            message = json.loads(text)
            method = message["method"]
            (params,) = message["params"]
            self.calls.append((method, params))
            self.called.release()
            answer = self._next(self.script, method, {})
            if isinstance(answer, Silence):
                continue
            reply = {"error": answer.error} if isinstance(answer, Failure) else {"result": answer}
            connection.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}))
            for notification in self._next(self.then, method, []):
                if notification is None:
                    connection.close(1001, "going away")
                    return
                connection.send(json.dumps({"jsonrpc": "2.0", **notification}))

    def params(self, method: str) -> list[Any]:
        return [params for name, params in self.calls if name == method]

    @staticmethod
    def _next(table: dict[str, list[Any]], method: str, default: Any) -> Any:
        answers = table.get(method, [default])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def fake_daemon(path: Path) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(path)

    def serve(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            daemon.serve(connection)

    with unix_serve(serve, str(path), compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def stranger(path: Path, answer: bytes) -> Iterator[None]:
    """Something that listens, is no dispatcher, and gives its answer to one connection."""

    def serve() -> None:
        with server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)
