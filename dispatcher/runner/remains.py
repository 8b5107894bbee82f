"""Stopping what is left of a command whose worker died.

Nobody is its reaper any more, so this is best effort: found are the processes that carry the
command's mark in their environment, those of its session, and what is below them. Never those of
an earlier command, whose mark differs. It waits, so the supervisor runs it in a thread.
"""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping

from dispatcher.runner import reaper
from dispatcher.runner.processes import Process, below, environment, table

VARIABLE = "DISPATCHER_JOB"
DEATH_SECONDS = 2.0


def stop_remains(
    mark: str, running: tuple[int, int] | None, spare: frozenset[int], grace: float
) -> list[str]:
    """Send TERM, wait up to `grace` seconds, send KILL; return the names of what was stopped.

    `mark` is the whole value of the running command's DISPATCHER_JOB; `running` its pid and raw start
    time from the journal, or None. Call it only within the boot in which the command started:
    after another, the pid and the session may be anybody's. `spare` is `reaper.spared(0, state_dir)`.
    """
    remains = _Remains(mark, running, spare)
    deadline = time.monotonic() + grace
    asked: set[tuple[int, int]] = set()
    while living := remains.living(table()):
        for one in living:
            if (one.pid, one.start) not in asked:
                asked.add((one.pid, one.start))
                reaper.send(one, signal.SIGTERM)
        left = deadline - time.monotonic()
        if left <= 0:
            reaper.kill_all(remains.living)
            _wait_for_end(remains.living(table()), DEATH_SECONDS)
            break
        _wait_for_end(living, left)
    return remains.names()


class _Remains:
    """What is left of one command; it remembers what it saw, for an orphan has lost its ancestors."""

    def __init__(self, mark: str, running: tuple[int, int] | None, spare: frozenset[int]) -> None:
        self._mark = mark
        self._running = running
        self._spare = spare
        self._whole = spare.whole if isinstance(spare, reaper.Spared) else frozenset[int]()
        self._seen: dict[tuple[int, int], str] = {}

    def living(self, known: Mapping[int, Process]) -> list[Process]:
        """List what is left and no zombie, parents before their children."""
        spared = self._spare.union(one.pid for one in below(self._whole, known))
        roots = [one.pid for one in known.values() if one.pid not in spared and self._belongs(one, known)]
        found = [known[pid] for pid in roots] + below(roots, known, spared)
        found = [one for one in found if not one.is_zombie]
        self._seen.update(((one.pid, one.start), str(one)) for one in found)
        return found

    def names(self) -> list[str]:
        """Name everything that was ever listed."""
        return list(self._seen.values())

    def _belongs(self, one: Process, known: Mapping[int, Process]) -> bool:
        if (one.pid, one.start) in self._seen or environment(one.pid).get(VARIABLE) == self._mark:
            return True
        if self._running is None or one.sid != self._running[0]:
            return False
        # The number of a session whose leader has gone is not given away while it has members.
        leader = known.get(one.sid)
        return leader is None or leader.start == self._running[1]


def _wait_for_end(processes: Iterable[Process], seconds: float) -> None:
    """Wait until all have ended; the kernel tells it, also of processes that are not our children."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        if sys.platform.startswith("freebsd"):
            _wait_by_kqueue(processes, deadline)
            return
        poll = select.poll()
        waiting = set()
        for one in processes:
            with contextlib.suppress(OSError):
                fd = os.pidfd_open(one.pid)
                stack.callback(os.close, fd)
                poll.register(fd, select.POLLIN)
                waiting.add(fd)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                waiting.discard(fd)


if sys.platform.startswith("freebsd"):

    def _wait_by_kqueue(processes: Iterable[Process], deadline: float) -> None:
        """Do it with EVFILT_PROC, kqueue(2)."""
        waiting = set()
        with contextlib.closing(select.kqueue()) as queue:
            for one in processes:
                event = select.kevent(
                    one.pid,
                    select.KQ_FILTER_PROC,
                    select.KQ_EV_ADD | select.KQ_EV_ONESHOT,
                    select.KQ_NOTE_EXIT,
                )
                with contextlib.suppress(OSError):
                    queue.control([event], 0)
                    waiting.add(one.pid)
            while waiting and (left := deadline - time.monotonic()) > 0:
                waiting.difference_update(found.ident for found in queue.control(None, 64, left))
