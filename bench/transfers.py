"""Files of 2 GiB into a job and out of one over HTTP: how fast, and how much memory that takes.

The upload goes into sha256sum, the download comes from a generator; both are compared byte by byte, by
their sums. Memory is what the supervisor and its workers grow by, looked at while the bytes flow.
"""

import base64
import hashlib
import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.client import Connection
from bench.contestants import BUILD
from bench.ours import PASSWORD, ROOT, add_account, serving
from bench.rounds import Row, show

MIB = 1024 * 1024
SIZE = 2048  # MiB
SPEED = f"{SIZE} MiB through HTTP and a pipe, sums computed at both ends"
MEMORY = f"memory that {SIZE} MiB take"
_BOUNDARY = b"------------------------d74496d66958873e"
_GENERATOR = """
import sys
from bench.transfers import pieces
for piece in pieces(): sys.stdout.buffer.write(piece)
"""


def pieces(count: int = SIZE) -> Iterator[bytes]:
    """Give the bytes of the file, MiB by MiB, no two alike."""
    rest = bytes(range(256)) * (MIB // 256)
    for number in range(count):
        yield number.to_bytes(8) + rest[8:]


def transfers(rounds: int) -> dict[str, list[Row]]:
    """MB a second; more is better. And MiB of memory; less is better."""
    print(f"\n{SPEED}", flush=True)
    up: list[tuple[float, float]] = []
    down: list[tuple[float, float]] = []
    top = Path(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    try:
        for number in range(rounds):
            folder = top / str(number)
            folder.mkdir()
            measured = _round(folder)
            up.append(measured[0])
            down.append(measured[1])
            print(
                f"  round {number + 1} of {rounds}: up {up[-1][0]:.4g} MB/s (+{up[-1][1]:.2g} MiB),"
                f" down {down[-1][0]:.4g} MB/s (+{down[-1][1]:.2g} MiB)",
                flush=True,
            )
    finally:
        shutil.rmtree(top, ignore_errors=True)
    speed = _rows([one for one, _ in up], [one for one, _ in down])
    memory = _rows([one for _, one in up], [one for _, one in down])
    show(SPEED, "MB/s", speed, {})
    show(MEMORY, "MiB", memory, {})
    return {SPEED: speed, MEMORY: memory}


def _rows(up: list[float], down: list[float]) -> list[Row]:
    ratios = [one / other if other else 1.0 for one, other in zip(down, up, strict=True)]
    return [Row("upload", "", up, "upload", [1.0] * len(up)), Row("download", "", down, "upload", ratios)]


def _round(folder: Path) -> tuple[tuple[float, float], tuple[float, float]]:
    config, state = folder / "queues.yaml", folder / "state"
    generator = [sys.executable, "-c", _GENERATOR]
    settings = {
        "state_dir": str(state),
        "accounts": str(folder / "accounts"),
        "auth": {"methods": ["accounts"]},
        "environment": {"PYTHONPATH": str(ROOT)},
        "listen": [
            {"unix": str(state / "dispatcher.sock")},
            {"address": "127.0.0.1", "port": 0, "tls": False},
        ],
        "tasks": {
            "bench.up": {"commands": [["sha256sum"]], "input": True, "result": "stdout"},
            "bench.down": {"commands": [generator], "output": True},
        },
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    add_account(config)
    with serving(config):
        listening = json.loads((state / "listening.json").read_text())
        port = next(one["port"] for one in listening if "port" in one)
        rpc = _Rpc(str(state / "dispatcher.sock"))
        memory = _Memory((state / "lock").read_text())
        _up(rpc, port, memory, 8)  # what is made once, imports and a worker, is there after the first
        return _up(rpc, port, memory, SIZE), _down(rpc, port, memory)


class _Rpc:
    """Calls, each on a connection of its own: one that is silent for long is closed."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, method: str, *params: object) -> object:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.connect(self._path)
            connection = Connection(plain, "/api/current")
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
            connection.send([json.dumps(message).encode()])
            while True:
                for answer in connection.messages():
                    fields = json.loads(answer)
                    if "error" in fields:
                        raise RuntimeError(f"{method} failed: {answer!r}")
                    return fields["result"]


class _Memory:
    """What the supervisor and its workers have, and how much they have grown."""

    def __init__(self, lock: str) -> None:
        self._supervisor = psutil.Process(int(lock.split(maxsplit=1)[0]))
        self._before = 0
        self._peak = 0

    def begin(self) -> None:
        self._before = self._peak = self._now()

    def look(self) -> None:
        self._peak = max(self._peak, self._now())

    @property
    def growth(self) -> float:
        return (self._peak - self._before) / MIB

    def _now(self) -> int:
        total: int = self._supervisor.memory_info().rss
        for one in self._supervisor.children(recursive=True):
            try:
                if "dispatcher" in " ".join(one.cmdline()):
                    total += one.memory_info().rss
            except psutil.Error:
                continue
        return total


def _sum(count: int) -> str:
    right = hashlib.sha256()
    for piece in pieces(count):
        right.update(piece)
    return right.hexdigest()


def _up(rpc: _Rpc, port: int, memory: _Memory, size: int) -> tuple[float, float]:
    memory.begin()
    data = b'Content-Disposition: form-data; name="data"\r\n\r\n{"method": "bench.up"}\r\n'
    file = b'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    first = b"--%b\r\n%b--%b\r\n%b" % (_BOUNDARY, data, _BOUNDARY, file)
    last = b"\r\n--%b--\r\n" % _BOUNDARY
    login = base64.b64encode(f"admin:{PASSWORD}".encode())
    head = (
        b"POST /_upload HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %b\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=%b\r\n\r\n"
    ) % (login, len(first) + size * MIB + len(last), _BOUNDARY)
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(head + first)
        begun = time.perf_counter()
        for number, piece in enumerate(pieces(size)):
            one.sendall(piece)
            if number % 64 == 0:
                memory.look()
        one.sendall(last)
        answer = b""
        while b"}" not in answer:
            answer += one.recv(65536)
    number = json.loads(answer.rpartition(b"\r\n")[2])["job_id"]
    rpc("dispatcher.wait", number)
    seconds = time.perf_counter() - begun
    job = rpc("core.get_jobs", [["id", "=", number]], {"get": True})
    if not isinstance(job, dict) or not str(job["result"]).startswith(_sum(size)):
        raise RuntimeError(f"not what was uploaded: {job}")
    return size * MIB / 1e6 / seconds, memory.growth


def _down(rpc: _Rpc, port: int, memory: _Memory) -> tuple[float, float]:
    answer = rpc("core.download", "bench.down", [], "x")
    if not isinstance(answer, list):
        raise RuntimeError(f"no download: {answer!r}")  # noqa: TRY004 (not a type that anybody passed)
    found = hashlib.sha256()
    count = 0
    memory.begin()
    with socket.create_connection(("127.0.0.1", port)) as one:
        # The older protocol has no chunks to be taken apart.
        one.sendall(f"GET {answer[1]} HTTP/1.0\r\n\r\n".encode())
        begun = time.perf_counter()
        head = b""
        while b"\r\n\r\n" not in head:
            head += one.recv(65536)
        body = head.partition(b"\r\n\r\n")[2] or one.recv(65536)
        while body:
            found.update(body)
            count += len(body)
            if count % (64 * MIB) < len(body):
                memory.look()
            body = one.recv(262144)
    seconds = time.perf_counter() - begun
    if (found.hexdigest(), count) != (_sum(SIZE), SIZE * MIB):
        raise RuntimeError(f"not what was to be downloaded: {count} bytes")
    return SIZE * MIB / 1e6 / seconds, memory.growth
