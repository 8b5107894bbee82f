"""The contestants that are single programs: our C loop, xargs, GNU parallel, task-spooler and nq."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.contestants import BUILD, TRUE, Missing, call, need, seconds

# Keeps a log and the return code of each job, as the others do by themselves.
RECORDING = f'{TRUE} >"$0/$1.log" 2>&1; echo "$1 $?" >>"$0/codes"'


class Calls:
    """A runner that is called once for many jobs, and once for each job where time matters."""

    def __init__(self, many: Callable[[int], None], one: Callable[[int], None]) -> None:
        self._many = many
        self._one = one

    def throughput(self, jobs: int) -> float:
        begun = time.perf_counter()
        self._many(jobs)
        return time.perf_counter() - begun

    def latencies(self, jobs: int, pause: float) -> list[float]:
        taken = []
        for number in range(jobs):
            time.sleep(pause)
            begun = time.perf_counter()
            self._one(number)
            taken.append(time.perf_counter() - begun)
        return taken


class Loop:
    name = "C loop"
    keeps = "nothing"
    share = 1.0

    def check(self) -> None:
        compiler = need("cc", "gcc")
        BUILD.mkdir(exist_ok=True)
        source = Path(__file__).with_name("loop.c")
        call(compiler, "-O2", "-Wall", "-Wextra", "-o", str(BUILD / "loop"), str(source))

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator["_LoopRuns"]:
        del folder
        yield _LoopRuns(width)


class _LoopRuns:
    def __init__(self, width: int) -> None:
        self._width = width

    def throughput(self, jobs: int) -> float:
        return float(call(str(BUILD / "loop"), str(self._width), str(jobs)))

    def latencies(self, jobs: int, pause: float) -> list[float]:
        if pause:
            taken = []
            for _ in range(jobs):
                time.sleep(pause)
                taken += seconds(call(str(BUILD / "loop"), "1", "1", "each"))
            return taken
        return seconds(call(str(BUILD / "loop"), "1", str(jobs), "each"))


class Xargs:
    name = "xargs -P, recording shell"
    keeps = "log and code"
    share = 1.0

    def check(self) -> None:
        need("xargs", "findutils")

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator[Calls]:
        def many(jobs: int) -> None:
            numbers = "".join(f"{number}\n" for number in range(jobs))
            call("xargs", f"-P{width}", "-n1", "sh", "-c", RECORDING, str(folder), text=numbers)

        def one(number: int) -> None:
            call("sh", "-c", RECORDING, str(folder), str(number))

        yield Calls(many, one)


class Parallel:
    name = "GNU parallel, joblog"
    keeps = "log and code"
    share = 0.2

    def check(self) -> None:
        if "GNU" not in call(need("parallel", "parallel"), "--version"):
            raise Missing("the parallel here is not GNU's: apt-get install parallel")

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator[Calls]:
        def run(jobs: int) -> None:
            numbers = "".join(f"{number}\n" for number in range(jobs))
            where = ("--joblog", str(folder / f"joblog-{jobs}"), "--results", str(folder / "results"))
            call("parallel", "--will-cite", f"-j{width}", *where, f"{TRUE} {{}}", text=numbers)

        def one(_: int) -> None:
            run(1)

        yield Calls(run, one)


class TaskSpooler:
    name = "task-spooler"
    keeps = "log and code"
    share = 0.2

    def check(self) -> None:
        need("tsp", "task-spooler")

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator[Calls]:
        env = os.environ | {
            "TS_SOCKET": str(folder / "socket"),
            "TMPDIR": str(folder),
            "TS_SLOTS": str(width),
            "TS_MAXFINISHED": "100000",
        }

        def many(jobs: int) -> None:
            numbers = [call("tsp", TRUE, env=env).strip() for _ in range(jobs)]
            for number in numbers[-width:]:  # the others have begun before these, and so ended
                call("tsp", "-w", number, env=env)

        def one(_: int) -> None:
            call("tsp", "-f", TRUE, env=env)

        call("tsp", env=env)  # starts its server
        try:
            yield Calls(many, one)
        finally:
            call("tsp", "-K", env=env)


class Nq:
    name = "nq (one at a time)"
    keeps = "log and code"
    share = 0.2

    def check(self) -> None:
        need("nq", "nq")

    @contextlib.contextmanager
    def open(self, folder: Path, width: int) -> Iterator[Calls]:
        del width  # each of its jobs waits for the one before
        env = os.environ | {"NQDIR": str(folder)}

        def run(jobs: int) -> None:
            for _ in range(jobs):
                subprocess.run(["nq", "-q", TRUE], env=env, check=True, stdin=subprocess.DEVNULL)
            call("nq", "-w", env=env)

        def one(_: int) -> None:
            run(1)

        yield Calls(run, one)
