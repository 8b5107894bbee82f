"""Stopping everything below a worker: TERM, a grace, KILL.

Never part of it: the supervisor that a job has restarted, and what is below it.
Whoever uses this asks `is_over` after each reaping, and `on_time` at `next_at`.
Standard library only.
"""

import os
import signal
import time
from pathlib import Path

from dispatcher.runner.processes import Process
from dispatcher.runner.reaper import descendants, kill_tree, signal_tree, spared

AGAIN_SECONDS = 1.0
LOOK_SECONDS = 0.1


def living(state_dir: str) -> tuple[list[Process], bool]:
    """List what lives below this process and is part of its job; tell whether something else does.

    Zombies do not count: each has a parent, here or elsewhere, that reaps it.
    """
    spare = spared(os.getpid(), Path(state_dir))
    below = [process for process in descendants(os.getpid()) if not process.is_zombie]
    ours = [process for process in below if process.pid not in spare]
    return ours, len(ours) < len(below)


class Stopping:
    """One stop, begun when it is made. `by` is the strongest signal that was sent, None if none was."""

    def __init__(self, state_dir: str, grace: float) -> None:
        self._state_dir = state_dir
        self._deadline = time.monotonic() + grace
        self._look_at: float | None = None
        self.by: str | None = None
        if signal_tree(os.getpid(), signal.SIGTERM, self._spare()):
            self.by = "TERM"

    @property
    def next_at(self) -> float:
        """When `on_time` is to be called."""
        return self._deadline if self._look_at is None else min(self._deadline, self._look_at)

    def hurry(self, grace: float) -> None:
        """Take another wish to stop: the shorter grace counts."""
        if self.by != "KILL":
            self._deadline = min(self._deadline, time.monotonic() + grace)

    def on_time(self) -> None:
        """Kill what is left if the grace is over; again each second, for what was born in between."""
        if time.monotonic() < self._deadline:
            return
        if kill_tree(os.getpid(), self._spare()):
            self.by = "KILL"
        self._deadline = time.monotonic() + AGAIN_SECONDS

    def is_over(self, *, has_children: bool) -> bool:
        """Tell whether nothing of the job is left."""
        if not has_children:
            return True
        ours, has_others = living(self._state_dir)
        # Below a supervisor that is not ours to kill, nobody tells us of a death: look again.
        self._look_at = time.monotonic() + LOOK_SECONDS if ours and has_others else None
        return not ours

    def _spare(self) -> frozenset[int]:
        return spared(os.getpid(), Path(self._state_dir))
