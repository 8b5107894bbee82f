"""The contestants that are huey: on SQLite with fsync, which is durable, and on Redis, which here is not."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.contestants import BUILD, TRUE, Missing, call, need, seconds

PEERS = BUILD / "peers"
PACKAGES = ("huey", "redis")


class _Huey:
    name = ""
    keeps = "log and code"
    share = 0.5

    def check(self) -> None:
        """Install huey into an environment of its own, once."""
        if (PEERS / "bin" / "huey_consumer").exists():
            return
        try:
            call(sys.executable, "-m", "venv", "--clear", str(PEERS))
            call(str(PEERS / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", *PACKAGES)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(PEERS, ignore_errors=True)
            raise Missing(f"cannot install {' and '.join(PACKAGES)} from PyPI: {error}") from None

    def store(self, folder: Path, stack: contextlib.ExitStack) -> str:
        """Prepare where it keeps its jobs; its address."""
        raise NotImplementedError

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator["_HueyRuns"]:
        with contextlib.ExitStack() as stack:
            ends = folder / "ends"
            os.mkfifo(ends)
            env = os.environ | {
                "BENCH_STORE": self.store(folder, stack),
                "BENCH_ENDS": str(ends),
                "BENCH_TRUE": TRUE,
                "PYTHONPATH": str(Path(__file__).parent),
            }
            # It asks for new jobs again and again where the store cannot wake it: as often as sensible.
            program = (str(PEERS / "bin" / "huey_consumer"), "huey_app.huey", f"-w{width}", "-kthread")
            asking = ("-d0.002", "-m0.01", "-n", "-q")
            consumer = stack.enter_context(
                subprocess.Popen([*program, *asking], env=env, stdin=subprocess.DEVNULL)
            )
            stack.callback(consumer.terminate)
            yield _HueyRuns(env)


class _HueyRuns:
    def __init__(self, env: dict[str, str]) -> None:
        self._env = env

    def throughput(self, jobs: int) -> float:
        return float(self._call("many", str(jobs)))

    def latencies(self, jobs: int, pause: float) -> list[float]:
        return seconds(self._call("each", str(jobs), str(pause)))

    def _call(self, *arguments: str) -> str:
        # Imported, not run as a program: the consumer knows its task by the name of its module.
        program = ("-c", "import huey_app; huey_app.main()")
        return call(str(PEERS / "bin" / "python"), *program, *arguments, env=self._env)


class HueySqlite(_Huey):
    name = "huey on SQLite, fsync"

    def store(self, folder: Path, stack: contextlib.ExitStack) -> str:
        del stack
        return str(folder / "huey.db")


class HueyRedis(_Huey):
    name = "huey on Redis, not durable"

    def check(self) -> None:
        _redis()
        super().check()

    def store(self, folder: Path, stack: contextlib.ExitStack) -> str:
        address = folder / "redis.sock"
        options = ("--port", "0", "--unixsocket", str(address), "--save", "", "--dir", str(folder))
        # Debian's redis-tools has the same program under another name: it goes by what it is called.
        server = stack.enter_context(
            subprocess.Popen(
                ["redis-server", *options],
                executable=_redis(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.terminate)
        for line in server.stdout or ():
            if "Ready to accept" in line or "ready to accept" in line:
                return f"unix://{address}"
        raise Missing("redis-server did not start")


def _redis() -> str:
    return shutil.which("redis-server") or need("redis-check-rdb", "redis-server")
