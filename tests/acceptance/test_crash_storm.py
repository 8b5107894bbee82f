"""Workers, supervisors and spawners are killed at random while clients submit: nothing runs twice, nothing is lost.

The seed is told when the test fails; it decides who is killed and what is submitted, not when things happen.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import WebSocketException

from dispatcher.runner import journal
from tests.acceptance.daemon_clients import Answer, Rpc
from tests.acceptance.launchers import QuickDaemon

SECONDS = 20.0
SEED = 4711
CLIENTS = 3
# Whatever one of these leaves behind in the file, it has run.
NOTE = 'echo "$1" >> "{ran}"; [ -z "$2" ] || sleep "$2"'


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickDaemon]:
    folder = tmp_path_factory.mktemp("d")
    made = QuickDaemon(
        folder,
        None,
        {
            "listen": [{"unix": str(folder / "state" / "dispatcher.sock")}],
            "queues": {
                "no_queue": {"concurrency": 256, "grace": 1},
                "serial": {"concurrency": 1, "grace": 1},
                "pair": {"concurrency": 2, "grace": 1},
            },
        },
    )
    try:
        made.start()
        yield made
    finally:
        made.end()


class Storm:
    """What kills; `kills` counts whom."""

    def __init__(self, daemon: QuickDaemon, seed: int) -> None:
        self._daemon = daemon
        self._random = random.Random(seed)  # noqa: S311
        self.kills: Counter[str] = Counter()

    def rage(self, until: float) -> None:
        """Kill somebody every few hundredths of a second; the supervisor is started again at once."""
        blows = (self._worker, self._worker, self._supervisor, self._restart, self._spawner, self._both)
        weights = (6, 6, 4, 1, 1, 2)
        while time.monotonic() < until:
            time.sleep(self._random.choice((0.02, 0.1, 0.3)))
            self._random.choices(blows, weights)[0]()

    def _supervisor(self) -> None:
        self.kills["supervisor"] += 1
        self._daemon.kill9()
        time.sleep(self._random.choice((0.0, 0.0, 0.1, 0.4)))
        self._daemon.start()

    def _restart(self) -> None:
        self.kills["restart"] += 1
        self._daemon.stop()
        self._daemon.start()

    def _worker(self) -> None:
        workers = [path for path in self._journals() if journal.is_locked(path)]
        if workers:
            named = journal.pid_of(journal.read(self._random.choice(workers)))
            if named is not None:
                self._kill(named[0], "worker")

    def _spawner(self) -> None:
        for process in psutil.Process(self._daemon.pid).children():
            if "dispatcher.runner.spawner" in process.cmdline():
                self._kill(process.pid, "spawner")

    def _both(self) -> None:
        self.kills["supervisor"] += 1
        self._daemon.kill9()
        self._worker()
        self._daemon.start()

    def _journals(self) -> list[Path]:
        return sorted((self._daemon.state_dir / "spool").glob("*.journal"))

    def _kill(self, pid: int, whom: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills[whom] += 1


class Submitter(threading.Thread):
    """A client that submits until the end, over each restart. Its jobs note `NAME.JOB.COMMAND`."""

    def __init__(self, daemon: QuickDaemon, name: str, until: float) -> None:
        super().__init__(name=name)
        self.answered: list[int] = []
        self.sent = 0
        self._daemon = daemon
        self._until = until
        self._random = random.Random(name)  # noqa: S311
        self.broken: Exception | None = None

    def run(self) -> None:
        try:
            while time.monotonic() < self._until:
                # Whoever asks while the daemon is down, or is cut off, does not know and tries the next.
                with contextlib.suppress(OSError, EOFError, WebSocketException), Rpc(self._daemon) as rpc:
                    while time.monotonic() < self._until:
                        self._submit(rpc)
                time.sleep(0.02)
        except Exception as error:  # noqa: BLE001 - told to the test, which fails for it
            self.broken = error

    def _submit(self, rpc: Rpc) -> None:
        self.sent += 1
        # Short ones in a row are handed ahead to busy workers; some are longer than those who wait can bear.
        queue = self._random.choice(("no_queue", "serial", "serial", "pair"))
        seconds = self._random.choice(("", "", "", "", "0.06", "0.06" if queue == "serial" else "0.3"))
        name = f"{self.name}.{self.sent}"
        commands = [["note", f"{name}.{n}", seconds] for n in range(self._random.choice((1, 1, 1, 3)))]
        self.answered.append(rpc.submit(*commands, id=name, queue=queue))
        if self._random.random() < 0.3:
            rpc.wait(self.answered[-1])


def every_job(daemon: QuickDaemon) -> list[Answer]:
    jobs: list[Answer] = []
    with Rpc(daemon) as rpc:
        while True:
            page = rpc.call("list", all=True, offset=len(jobs), limit=500)
            jobs += page["jobs"]
            if len(jobs) >= page["total"]:
                return jobs


def all_finished(daemon: QuickDaemon) -> list[Answer]:
    with Rpc(daemon) as rpc:
        for job in every_job(daemon):
            if job["state"] != "finished":
                rpc.wait(job["number"])
    return every_job(daemon)


def honest(job: Answer, ran: Callable[[str], bool]) -> bool:
    """Tell whether a record says what the file says."""
    names = [command["argv"][1] for command in job["commands"]]
    noted = [name for name in names if ran(name)]
    if job["outcome"] == "success":
        return noted == names
    # It was cut off somewhere, between two lines of the program perhaps, but never began anew.
    return bool(job["outcome"] == "lost" and noted == names[: len(noted)] and job["reason"])


def test_no_job_runs_twice_and_none_is_forgotten_in_a_storm_of_kills(daemon):
    ran_file = daemon.folder / "ran"
    daemon.script("note", NOTE.format(ran=ran_file))
    until = time.monotonic() + SECONDS
    storm = Storm(daemon, SEED)
    clients = [Submitter(daemon, name, until) for name in "abc"[:CLIENTS]]
    for client in clients:
        client.start()

    storm.rage(until)
    for client in clients:
        client.join(60)
    jobs = all_finished(daemon)

    ran = Counter(ran_file.read_text().split())
    told = f"seed {SEED}, kills {dict(storm.kills)}, {len(jobs)} jobs, in {daemon.folder}"
    assert [client.broken for client in clients if client.broken] == []
    assert [name for name, times in ran.items() if times > 1] == [], told
    assert {n for client in clients for n in client.answered} - {job["number"] for job in jobs} == set(), told
    assert [job for job in jobs if not honest(job, ran.__contains__)] == [], told
    # A worker runs one job at a time: its death costs no more than that one.
    assert sum(job["outcome"] == "lost" for job in jobs) <= storm.kills["worker"], told
    assert sum(client.sent for client in clients) >= len(jobs) > 5 * SECONDS, told
