"""Being the reaper of a job's processes, and signalling every one of them.

A worker is a reaper, so that each descendant of its command stays below it, whatever sessions and
double forks it makes. Signals go to (pid, start time), checked right before each one.
Nobody may reap while a kill pass runs: the pids of direct children must not come back meanwhile.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from dispatcher.runner import journal, lock
from dispatcher.runner.processes import Process, above, below, born_since, start_of, table

__all__ = [
    "Spared",
    "become_reaper",
    "descendants",
    "kill_all",
    "kill_tree",
    "send",
    "signal_tree",
    "spared",
    "start_of",
]

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
SETTLE_SECONDS = 2.0
GIVE_UP_SECONDS = 10.0  # for chains that fork faster than this machine can look
BREATH_SECONDS = 0.001

Choice = Callable[[Mapping[int, Process]], list[Process]]


class Spared(frozenset[int]):
    """Pids that no signal may reach; nor may it reach what is below those in `whole`, now or later."""

    whole: frozenset[int]

    def __new__(cls, pids: Iterable[int] = (), whole: Iterable[int] = ()) -> Self:
        """Spare `pids` and `whole`."""
        whole = frozenset(whole)
        made = super().__new__(cls, whole.union(pids))
        made.whole = whole
        return made


def become_reaper() -> None:
    """Have every orphaned descendant become a child of this process.

    A fork does not inherit it: call it again in each child that is to be a reaper.
    """
    if sys.platform.startswith("freebsd"):
        from dispatcher.runner import processes_freebsd  # noqa: PLC0415 (its twin is never loaded elsewhere)

        processes_freebsd.acquire_reaper()
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot become a reaper: {os.strerror(code)}; Linux 3.4 or newer is needed")


def descendants(pid: int) -> list[Process]:
    """List everything below a process, parents before their children, zombies included."""
    return _targets(pid, frozenset(), table())


def signal_tree(root_pid: int, signum: int, spare: frozenset[int]) -> int:
    """Signal everything that lives below a process, once; return how many got it.

    Parents come first: a shell whose child ended before its own signal would start its next line.
    """
    return sum(send(one, signum) for one in _targets(root_pid, spare, table()) if not one.is_zombie)


def kill_tree(root_pid: int, spare: frozenset[int]) -> int:
    """Kill everything that lives below a process, not itself; return how many were killed.

    It leaves what `spare` names and what this user may not signal.
    """
    return kill_all(lambda known: _targets(root_pid, spare, known))


def kill_all(choose: Choice) -> int:
    """Kill all that `choose` takes from a process table, also if they fork; return how many were killed.

    First all are stopped, until a listing shows nobody new and nobody moving: else a process that
    forks and exits is one pid ahead of each pass.
    """
    killed: set[tuple[int, int]] = set()
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while True:
        living, is_settled = _stop_all(choose)
        fresh = [one for one in living if (one.pid, one.start) not in killed]
        reached = [one for one in fresh if send(one, signal.SIGKILL)]
        killed.update((one.pid, one.start) for one in reached)
        if not reached and (is_settled or time.monotonic() > deadline):
            return len(killed)


def send(process: Process, signum: int) -> bool:
    """Signal a process if it is still the same one; tell whether it was sent."""
    try:
        if sys.platform != "linux":  # no pidfd: the gap between check and signal stays, and is tiny
            if start_of(process.pid) != process.start:
                return False
            os.kill(process.pid, signum)
            return True
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The descriptor pins the process: if the start time fits now, the signal cannot reach another.
        if start_of(process.pid) != process.start:
            return False
        signal.pidfd_send_signal(fd, signum)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def spared(worker_pid: int, state_dir: Path) -> Spared:
    """Tell what is never part of a worker's job: the supervisor and other workers, and all below them.

    A job may restart the supervisor and so have it, its spawner and their workers in its own tree.
    Spared are the supervisor (only if it holds `state_dir/lock`), each other worker (only if it holds
    its journal in `state_dir/spool`), their ancestors below this worker, and everything below them.
    Say 0 for a worker that has died: then they are spared wherever they are.
    """
    known = table()
    supervisor = lock.holder(state_dir / "lock")
    # Workers are named for themselves: when their spawner ends, they leave the supervisor's tree.
    roots = _workers(state_dir / "spool", known) - {worker_pid}
    if supervisor is not None:
        roots.add(supervisor)
    if worker_pid:
        roots.intersection_update(one.pid for one in below([worker_pid], known))
        filled = roots
    else:
        # A dead worker's orphans come to the next reaper above: another worker, or a supervisor that
        # is pid 1 of its container. There they are found by their mark and must not be spared.
        filled = {pid for pid in roots if pid == supervisor and pid != 1}
    pids = roots.union(one.pid for one in below(filled, known))
    for root in roots:
        pids |= above(root, worker_pid, known)
    return Spared(pids, whole=filled)


def _workers(spool: Path, known: Mapping[int, Process]) -> set[int]:
    found = set()
    for path in spool.glob("*.journal"):
        named = journal.pid_of(journal.read(path)) if journal.is_locked(path) else None
        if named and named[0] in known and known[named[0]].start == named[1]:
            found.add(named[0])
    return found


def _targets(root_pid: int, spare: frozenset[int], known: Mapping[int, Process]) -> list[Process]:
    if sys.platform.startswith("freebsd"):
        from dispatcher.runner import processes_freebsd  # noqa: PLC0415

        # A parent that ended while the table was read breaks the chain; the reaper comes next in it.
        orphans = {
            pid: replace(known[pid], ppid=reaper)
            for pid, reaper in processes_freebsd.reapers(root_pid).items()
            if pid in known and known[pid].ppid not in known
        }
        known = {**known, **orphans}
    whole = spare.whole if isinstance(spare, Spared) else frozenset[int]()
    return [one for one in below([root_pid], known, whole) if one.pid not in spare]


def _stop_all(choose: Choice) -> tuple[list[Process], bool]:
    """Stop all that are chosen; return who lives, and whether nobody new was born at the end.

    A signal is not yet a stop: a fork under way still brings forth its child. Nothing tells when the
    child of another has stopped, so the list is read again, for a bounded time (a process that waits
    for a disk, or for the child of its vfork, does not stop and does not fork either).
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    seen: set[tuple[int, int]] = set()
    while True:
        known = table()
        # Zombies count as news: one that forked and ended since is a hint at a child not seen yet.
        listed = choose(known)
        fresh = {(one.pid, one.start) for one in listed} - seen
        living = [one for one in listed if not one.is_zombie]
        if not fresh and all(one.is_stopped for one in living):
            return living, True
        if time.monotonic() > deadline:
            return living, not fresh
        seen |= fresh
        if fresh:
            _stop_groups(listed, known)
        moving = [one for one in living if not one.is_stopped and send(one, signal.SIGSTOP)]
        if fresh:
            _chase(choose, known, deadline)
        elif moving:
            time.sleep(BREATH_SECONDS)
        else:  # the rest may not be signalled
            return living, True


def _stop_groups(listed: list[Process], known: Mapping[int, Process]) -> None:
    """Stop the process groups that have only listed members.

    A chain that forks and exits faster than a table is read shows only its zombies. But the kernel
    signals a group in one go, and a fork under way begins anew after it, so no link of it escapes.
    """
    pids = {one.pid for one in listed}
    mixed = {one.pgid for one in known.values() if one.pid not in pids}
    for pgid in {one.pgid for one in listed} - mixed:
        with contextlib.suppress(OSError):
            os.killpg(pgid, signal.SIGSTOP)


def _chase(choose: Choice, known: dict[int, Process], deadline: float) -> None:
    """Stop what was born since, until nothing was: chains whose every link makes a group of its own.

    Reading all of a table takes longer than such a link lives; reading what is new in it does not.
    """
    while (born := born_since(known)) and time.monotonic() < deadline:
        known.update((one.pid, one) for one in born)
        pids = {one.pid for one in born}
        links = [one for one in choose(known) if one.pid in pids]
        for one in links:
            send(one, signal.SIGSTOP)
        if not links:
            return
