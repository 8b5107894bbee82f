"""The process table: who runs, below whom, since when.

A process is (pid, raw start time): pids come back, and a wall-clock start time moves with the
clock. Any process may vanish while it is read: it is skipped, never an error.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Process:
    """One process as the kernel lists it.

    `start` is raw: ticks since boot on Linux (field 22 of /proc/PID/stat, proc(5)),
    microseconds since boot on FreeBSD. `name` is the kernel's short one.
    A zombie has ended and waits for its parent: no signal reaches it.
    """

    pid: int
    start: int
    ppid: int
    pgid: int
    sid: int
    name: str
    is_zombie: bool = False
    is_stopped: bool = False

    def __str__(self) -> str:
        """Name the process for people."""
        return f"{self.name} (pid {self.pid})"


def table() -> dict[int, Process]:
    """List every process by pid, in the order of pids. Not atomic: some may have ended since."""
    if sys.platform.startswith("freebsd"):
        from dispatcher.runner import processes_freebsd  # noqa: PLC0415 (its twin is never loaded elsewhere)

        return {row.pid: Process(**row._asdict()) for row in processes_freebsd.rows()}
    found: dict[int, Process] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (one list of names, as often as a kill pass needs it)
        if entry.isdigit() and (process := _read(int(entry))) is not None:
            found[process.pid] = process
    return found


def born_since(known: Mapping[int, Process]) -> list[Process]:
    """List, newest first and fast, the processes whose pids are not in an earlier table."""
    if sys.platform.startswith("freebsd"):
        return [one for one in reversed(table().values()) if one.pid not in known]
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208
    read = map(_read, sorted((pid for pid in pids if pid not in known), reverse=True))
    return [one for one in read if one is not None]


def process(pid: int) -> Process | None:
    """Look one process up; None if there is none of that pid (a zombie is one)."""
    if sys.platform.startswith("freebsd"):
        from dispatcher.runner import processes_freebsd  # noqa: PLC0415

        row = processes_freebsd.row(pid)
        return None if row is None else Process(**row._asdict())
    return _read(pid)


def start_of(pid: int) -> int | None:
    """Tell the raw start time of a process, which with its pid names it until the next boot."""
    found = process(pid)
    return None if found is None else found.start


def environment(pid: int) -> dict[str, str]:
    """Read the environment of a process's last exec; empty if it is refused or the process is gone.

    /proc/PID/environ may be refused even to root, and shows nothing that the process did to it since.
    """
    if sys.platform.startswith("freebsd"):
        from dispatcher.runner import processes_freebsd  # noqa: PLC0415

        raw = processes_freebsd.environment(pid)
    else:
        raw = _contents(f"/proc/{pid}/environ") or b""
    pairs = (os.fsdecode(item).partition("=") for item in raw.split(b"\0"))
    return {name: value for name, equals, value in pairs if equals}


def below(
    roots: Iterable[int], known: Mapping[int, Process], cut: frozenset[int] = frozenset()
) -> list[Process]:
    """List what is below `roots`, parents before children, without `cut` and everything below it."""
    children: dict[int, list[Process]] = {}
    for one in known.values():
        children.setdefault(one.ppid, []).append(one)
    found: list[Process] = []
    level = list(roots)
    seen = cut.union(level)
    while level:
        row = [child for pid in level for child in children.get(pid, ()) if child.pid not in seen]
        seen = seen.union(child.pid for child in row)
        found += row
        level = [child.pid for child in row]
    return found


def above(pid: int, end: int, known: Mapping[int, Process]) -> set[int]:
    """Tell the pids above a process, up to `end`, which is not among them."""
    found: set[int] = set()
    one = known.get(pid)
    while one is not None and one.ppid not in {end, 0} and one.ppid not in found:
        found.add(one.ppid)
        one = known.get(one.ppid)
    return found


def _read(pid: int) -> Process | None:
    raw = _contents(f"/proc/{pid}/stat")
    if raw is None:
        return None
    # The name is in parentheses and may itself hold spaces and parentheses: split at the last one.
    head, _, tail = raw.rpartition(b")")
    fields = tail.split()
    if len(fields) < 20:
        return None
    return Process(
        pid=pid,
        start=int(fields[19]),
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        name=os.fsdecode(head.partition(b"(")[2]),
        # If only its first thread has ended it looks like a zombie, and lives: count the threads.
        is_zombie=fields[0] in {b"Z", b"X", b"x"} and int(fields[17]) <= 1,
        is_stopped=fields[0] in {b"T", b"t"},
    )


def _contents(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:  # ESRCH: it ended between open and read
        return None
    finally:
        os.close(fd)
