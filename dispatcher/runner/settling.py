"""Find out what became of the jobs of a worker that is not connected.

A held lock on its journal is the only proof that a worker lives; then it is waited for. When the
lock is free the journal tells what was done, and what is left of a running command is stopped.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping

import trio

from dispatcher.core import messages as m
from dispatcher.core.model import Job, Queue, Running
from dispatcher.core.recovery import verdict
from dispatcher.logs.reading import log_path, size_of
from dispatcher.runner import journal, reaper, remains
from dispatcher.runner.place import Place
from dispatcher.runner.wire_facts import from_record
from dispatcher.settings import Settings

FIRST_PROBE = 0.01  # seconds until the second look: a dying worker's lock and connection do not end at once
PROBE = 1.0  # seconds between two looks at the lock of a worker that does not report, after a while
SILENCE = 30.0  # seconds after which its jobs are shown as unreachable

_log = logging.getLogger("dispatcher.runner")

Post = Callable[[m.Fact, Callable[[], None] | None], None]


class Settling:
    """The workers that are waited for or read about."""

    def __init__(
        self, place: Place, settings: Callable[[], Settings], is_connected: Callable[[int], bool]
    ) -> None:
        self._place = place
        self._settings = settings
        self._is_connected = is_connected
        self._back: dict[int, trio.Event] = {}
        self._settling: set[int] = set()
        self._silent: set[int] = set()
        self._unwanted: set[int] = set()

    def begin(self, worker: int) -> bool:
        """Say that `settle` follows; False if it is under way already."""
        if worker in self._settling:
            return False
        self._settling.add(worker)
        return True

    def is_settling(self, worker: int) -> bool:
        """Whether a worker's jobs are being settled now."""
        return worker in self._settling

    def came_back(self, worker: int) -> None:
        """Note that a worker has connected: it speaks for itself."""
        self._unwanted.discard(worker)
        event = self._back.pop(worker, None)
        if event is not None:
            event.set()

    async def wait_until_back(self, worker: int) -> None:
        """Return when a worker has connected."""
        await self._back.setdefault(worker, trio.Event()).wait()

    async def settle(
        self, worker: int, jobs: Callable[[], Mapping[int, Job]], post: Post
    ) -> list[m.Fact] | None:
        """Give the facts that settle `jobs` of a dead worker, or None if it has come back.

        `jobs` is asked at the end, because more may be handed to the worker meanwhile.
        """
        try:
            if await self._lives(worker, jobs, post):
                return None
            await self._stop_remains(worker, jobs())
            return self._verdicts(worker, jobs())
        finally:
            self._settling.discard(worker)
            self._silent.discard(worker)
            self._unwanted.discard(worker)

    def stop(self, worker: int) -> None:
        """Have the job of a worker that is not connected stopped: kill it as soon as it counts as silent.

        Should it connect before that, it is told like any other.
        """
        if worker in self._silent:
            self._kill(worker)
        elif worker in self._settling or worker in self._back:
            self._unwanted.add(worker)

    def _kill(self, worker: int) -> None:
        known = journal.pid_of(journal.read(self._place.journal(worker)))
        if known is None or reaper.start_of(known[0]) != known[1]:
            _log.error("worker %d does not report, and its journal names no process to kill", worker)
            return
        _log.warning("worker %d (pid %d) does not report; it is killed to stop its job", worker, known[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(known[0], signal.SIGKILL)

    async def _lives(self, worker: int, jobs: Callable[[], Mapping[int, Job]], post: Post) -> bool:
        """Wait until a worker is back (True) or its lock is free (False)."""
        path = self._place.journal(worker)
        deadline = trio.current_time() + SILENCE
        pause = FIRST_PROBE
        while not self._is_connected(worker) and journal.is_locked(path):
            with trio.move_on_after(pause):
                await self.wait_until_back(worker)
                continue  # and look: it may be gone again
            pause = min(PROBE, 2 * pause)
            if trio.current_time() > deadline and worker not in self._silent:
                self._silent.add(worker)
                for number in jobs():
                    post(m.WorkerSilent(number, worker, silent=True), None)
                if worker in self._unwanted or any(_is_to_stop(job) for job in jobs().values()):
                    self._kill(worker)
        return self._is_connected(worker)

    async def _stop_remains(self, worker: int, jobs: Mapping[int, Job]) -> None:
        """Stop what is left of the command that the journal calls running."""
        records = journal.read(self._place.journal(worker))
        for number, job in list(jobs.items()):
            running = journal.summary(records, number).running
            boot_id = job.phase.boot_id if isinstance(job.phase, Running) else ""
            if running is None or boot_id != self._place.boot_id:
                continue
            command, pid, start = running
            queue = self._queue(job)
            stopped = await trio.to_thread.run_sync(
                self._stop_one, self._place.mark(number, command), (pid, start), queue.grace
            )
            _log.warning("job %d lost its worker; stopped: %s", number, ", ".join(stopped) or "nothing left")

    def _stop_one(self, mark: str, running: tuple[int, int], grace: float) -> list[str]:
        spare = reaper.spared(0, self._place.state_dir)
        return remains.stop_remains(mark, running, spare, grace)

    def _verdicts(self, worker: int, jobs: Mapping[int, Job]) -> list[m.Fact]:
        records = journal.read(self._place.journal(worker))
        facts: list[m.Fact] = []
        for number, job in jobs.items():
            told = [from_record(record, worker) for record in journal.summary(records, number).facts]
            facts += verdict(
                job,
                [fact for fact in told if fact is not None],
                boot_id=self._place.boot_id,
                at=time.time(),
                log_end=size_of(log_path(self._settings().log_dir, number)),
            )
        return facts

    def _queue(self, job: Job) -> Queue:
        return next((one for one in self._settings().queues if one.name == job.queue), Queue(job.queue))


def _is_to_stop(job: Job) -> bool:
    return isinstance(job.phase, Running) and job.phase.stop is not None
