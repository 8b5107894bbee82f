"""A supervisor for tests of workers: a listening Unix socket, and everything that it heard.

Reads block, at most `PATIENCE` seconds. `end` kills whatever a test has left behind.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

PATIENCE = 10.0
ROOT = Path(__file__).resolve().parents[2]
Line = dict[str, Any]
TIMES = {"at", "mono", "seconds", "user", "system", "rss"}


class Connection:
    """One worker's connection, as the supervisor sees it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.rest = b""
        self.heard: list[Line] = []

    def send(self, **order: object) -> None:
        self.sock.sendall(json.dumps(order).encode() + b"\n")

    def send_with(self, ends: dict[str, int], **order: object) -> None:
        """Send an order with the descriptors that it names; they are closed here."""
        streams = order.get("streams", {})
        assert isinstance(streams, dict)
        line = json.dumps(order | {"streams": streams | {"descriptors": list(ends)}}).encode() + b"\n"
        socket.send_fds(self.sock, [line], list(ends.values()))
        for end in ends.values():
            os.close(end)

    def read(self) -> Line | None:
        """Read one line; None at the end of the connection."""
        while b"\n" not in self.rest:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        message: Line = json.loads(line)
        self.heard.append(message)
        return message

    def until(self, fits: Callable[[Line], bool]) -> list[Line]:
        """Read up to the first line that fits; return all that was read, with it last."""
        found: list[Line] = []
        while True:
            message = self.read()
            assert message is not None, f"the worker closed; it had said {found}"
            found.append(message)
            if fits(message):
                return found

    def facts_until(self, kind: str, job: int) -> list[Line]:
        """Read facts up to the one named; log lengths and the like are left out."""
        said = self.until(lambda line: line.get("fact") == kind and line.get("job") == job)
        return [line for line in said if "fact" in line]

    def run(self, order: dict[str, object]) -> list[Line]:
        """Have the worker run a job; return its facts."""
        self.send(**order)
        job = order["job"]
        assert isinstance(job, int)
        return self.facts_until("done", job)

    def ended(self) -> bool:
        """Tell whether the worker closes the connection, saying nothing more that is a fact."""
        while (line := self.read()) is not None:
            if "fact" in line:
                return False
        return True

    def until_closed(self) -> None:
        """Wait until the worker has closed the connection."""
        while self.read() is not None:
            pass

    def close(self) -> None:
        self.sock.close()


class FakeSupervisor:
    """Listens in `state_dir`; starts workers and spawners."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder
        self.mark = f"mark-{os.getpid()}-{folder.name}"
        self.connections: list[Connection] = []
        self.started: list[subprocess.Popen[bytes]] = []
        self.listener = self.listen()

    def listen(self) -> socket.socket:
        path = self.state_dir / "workers.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        listener.settimeout(PATIENCE)
        return listener

    def accept(self) -> Connection:
        sock, _ = self.listener.accept()
        connection = Connection(sock)
        self.connections.append(connection)
        return connection

    def die(self) -> None:
        """Close everything, as the kernel does at a kill -9."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        self.listener.close()

    def run(
        self, module: str, *arguments: object, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            stdin=stdin,
        )
        self.started.append(process)
        return process

    def worker(self, number: int = 1) -> Connection:
        """Start a worker; return its connection, hello read."""
        process = self.run("dispatcher.runner.worker", number, self.state_dir)
        connection = self.accept()
        hello = connection.read()
        assert hello is not None
        assert hello["hello"] == number
        assert hello["pid"] == process.pid
        return connection

    def order(self, job: int, *commands: list[str], **changes: object) -> dict[str, object]:
        return {
            "do": "start",
            "job": job,
            "handover": 1000 + job,
            "commands": [list(command) for command in commands],
            "cwd": "/",
            "env": {"PATH": "/usr/bin:/bin"},
            "umask": 0o22,
            "log": str(self.log(job)),
            "cap": 1 << 20,
            "tail": 1 << 16,
            "mark": f"{self.mark}:{job}",
            "leftovers": "keep",
            "grace": 5.0,
        } | changes

    def log(self, job: int) -> Path:
        return self.state_dir / "logs" / f"{job}.log"

    def journal(self, number: int = 1) -> list[Line]:
        path = self.state_dir / "spool" / f"{number}.journal"
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    def living(self, job: int) -> list[psutil.Process]:
        """List the processes of a job that live, by the mark in their environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_zombie = process.status() == psutil.STATUS_ZOMBIE
                mark = process.environ().get("DISPATCHER_JOB", "")
                if not is_zombie and mark.startswith(f"{self.mark}:{job}:"):
                    found.append(process)
        return found

    def trouble(self) -> str:
        path = self.state_dir / "worker.log"
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        self.die()
        for _ in range(50):
            found = [process for process in psutil.process_iter() if self._is_ours(process)]
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if not found:
                break
        for own in self.started:
            own.kill()
            own.wait(PATIENCE)
            if own.stdin is not None:
                own.stdin.close()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                return False
            if str(self.state_dir) in process.cmdline():
                return True
            return process.environ().get("DISPATCHER_JOB", "").startswith(self.mark)
        except psutil.Error:
            return False


def sh(text: str) -> list[str]:
    """A command that is a line of shell."""
    return ["/bin/sh", "-c", text]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what nothing tells of; for tests only, and never to let something settle."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def without_times(facts: list[Line]) -> list[Line]:
    """Leave out what differs from run to run."""
    return [{name: value for name, value in fact.items() if name not in TIMES} for fact in facts]
