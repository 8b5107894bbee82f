"""The dispatcher as a contestant: the real daemon, its Unix socket, everything durable, logged and told."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.contestants import TRUE, call, seconds

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse"  # noqa: S105 (of daemons that live for a measurement)


class Ours:
    name = "dispatcher"
    keeps = "log, code, events; synced"
    share = 1.0

    def check(self) -> None:
        """It is here."""

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator["_OurRuns"]:
        config = folder / "queues.yaml"
        settings = {
            "state_dir": str(folder / "state"),
            "listen": [{"unix": str(folder / "state" / "dispatcher.sock")}],
            "queues": {"bench": {"concurrency": width}},
        }
        config.write_text(json.dumps(settings))  # JSON is YAML
        with serving(config):
            yield _OurRuns(folder / "state" / "dispatcher.sock")


@contextlib.contextmanager
def serving(config: Path) -> Iterator[None]:
    """Run a daemon with these settings."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dispatcher", "serve", "--config", str(config)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    is_ready = threading.Event()
    reader = threading.Thread(target=_read, args=(process, said, is_ready))
    reader.start()
    try:
        is_ready.wait(20)
        if "ready\n" not in said:
            raise RuntimeError(f"the daemon did not start: {''.join(said)}")
        yield
    finally:
        process.terminate()
        process.wait()
        reader.join()


def add_account(config: Path) -> None:
    """Make the account that measurements log in with."""
    subprocess.run(
        [
            *(sys.executable, "-m", "dispatcher", "--config", str(config)),
            *("passwd", "admin", "--level", "full", "--stdin"),
        ],
        cwd=ROOT,
        input=f"{PASSWORD}\n",
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )


def _read(process: subprocess.Popen[str], said: list[str], is_ready: threading.Event) -> None:
    for line in process.stderr or ():
        said.append(line)
        if line == "ready\n":
            is_ready.set()
    is_ready.set()
    if process.stderr:
        process.stderr.close()


class _OurRuns:
    def __init__(self, path: Path) -> None:
        self._path = path

    def throughput(self, jobs: int) -> float:
        return float(self._call("many", str(jobs)))

    def latencies(self, jobs: int, pause: float) -> list[float]:
        return seconds(self._call("each", str(jobs), str(pause)))

    def _call(self, *arguments: str) -> str:
        client = str(Path(__file__).with_name("client.py"))
        return call(sys.executable, client, str(self._path), TRUE, *arguments)
