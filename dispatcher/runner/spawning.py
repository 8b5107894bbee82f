"""Keep a spawner running, and ask it for workers.

The spawner is executed, never forked from here: so no socket and no lock of the supervisor ever
reaches a worker. When it dies, workers are unharmed and another one is started.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import trio

PAUSE = 0.5  # seconds before the next start of a spawner that died
LEAVE_SECONDS = 1.0  # that it has to end when it is sent home

_log = logging.getLogger("dispatcher.runner")


class Spawning:
    """The spawner process of this supervisor. `on_death` is called when one has ended by itself."""

    def __init__(self, state_dir: Path, on_death: Callable[[], None]) -> None:
        self._state_dir = state_dir
        self._on_death = on_death
        self._wanted: list[int] = []
        self._asked = trio.Event()

    def fork(self, worker: int) -> None:
        """Ask for a worker; it connects by itself."""
        self._wanted.append(worker)
        self._asked.set()

    async def run(self) -> None:
        """Serve requests with one spawner after another, until cancelled."""
        while True:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "dispatcher.runner.spawner", str(self._state_dir)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name != "DISPATCHER_JOB"},
            )
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass_on, process)
                    await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                # EOF is how a spawner is sent home; it must not be left to the garbage collector.
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_SECONDS):
                    if process.stdin is not None:
                        await process.stdin.aclose()
                    await process.wait()
            _log.warning("the spawner ended with %s; starting another", process.returncode)
            self._on_death()
            await trio.sleep(PAUSE)

    async def _pass_on(self, process: trio.Process) -> None:
        if process.stdin is None:
            raise AssertionError("the spawner has no stdin")
        while True:
            if not self._wanted:
                self._asked = trio.Event()
                await self._asked.wait()
            # Taken out before the wait, in which more may be asked for. What a dying spawner did not
            # carry out is settled by the pool: no worker connects.
            wanted, self._wanted = self._wanted, []
            try:
                await process.stdin.send_all(b"".join(b"fork %d\n" % worker for worker in wanted))
            except trio.BrokenResourceError:
                return
