"""The process table, the reaper and the boot of FreeBSD, by libc: the twin of what /proc and prctl give.

Manual pages: sysctl(3), procctl(2); layouts: <sys/user.h> and <sys/procctl.h>. Only 64-bit machines,
where struct kinfo_proc has had the same 1088 bytes since FreeBSD 8. Loaded on FreeBSD only.
"""

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

KINFO_PROC_SIZE = 1088
# ki_structsize 0, ki_pid 72, ki_ppid 76, ki_pgid 80, ki_sid 88, ki_start 336, ki_stat 388, ki_comm 447
KINFO_PROC = struct.Struct("=i68xiii4xi244xqq36xB58x20s")
SSTOP, SZOMB = 4, 5

CTL_KERN, KERN_PROC = 1, 14
KERN_PROC_PID, KERN_PROC_PROC, KERN_PROC_ENV = 1, 8, 35
KERN_BOOTTIME = 21

P_PID = 0
PROC_REAP_ACQUIRE, PROC_REAP_STATUS, PROC_REAP_GETPIDS = 2, 4, 5
REAPER_PIDINFO_VALID, REAPER_PIDINFO_REAPER = 1, 4


class Row(NamedTuple):
    """The fields of `processes.Process`, in its order."""

    pid: int
    start: int
    ppid: int
    pgid: int
    sid: int
    name: str
    is_zombie: bool
    is_stopped: bool


class ReaperStatus(ctypes.Structure):
    """Struct procctl_reaper_status."""

    _fields_ = (
        ("flags", ctypes.c_uint),
        ("children", ctypes.c_uint),
        ("descendants", ctypes.c_uint),
        ("reaper", ctypes.c_int),
        ("pid", ctypes.c_int),
        ("pad", ctypes.c_uint * 15),
    )


class PidInfo(ctypes.Structure):
    """Struct procctl_reaper_pidinfo."""

    _fields_ = (
        ("pid", ctypes.c_int),
        ("subtree", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("pad", ctypes.c_uint * 15),
    )


class ReaperPids(ctypes.Structure):
    """Struct procctl_reaper_pids."""

    _fields_ = (
        ("count", ctypes.c_uint),
        ("pad", ctypes.c_uint * 15),
        ("pids", ctypes.POINTER(PidInfo)),
    )


def rows() -> list[Row]:
    """List every process."""
    return _rows(KERN_PROC_PROC, 0)


def row(pid: int) -> Row | None:
    """Look one process up."""
    try:
        found = _rows(KERN_PROC_PID, pid)
    except ProcessLookupError:
        return None
    return found[0] if found else None


def environment(pid: int) -> bytes:
    """Read NAME=value items, each ended by a NUL; empty if it is refused or the process is gone."""
    try:
        return _sysctl((CTL_KERN, KERN_PROC, KERN_PROC_ENV, pid))
    except OSError:
        return b""


def boot_id() -> str:
    """Name this boot by kern.boot_id (FreeBSD 13 and newer): random, and fixed until the next boot.

    Before that only kern.boottime is there. It moves when the clock is set, and then a job that was
    just handed over is shown as lost instead of started: wrong, but never run twice.
    """
    try:
        return _sysctl_by_name("kern.boot_id").hex()
    except OSError:
        return f"boottime-{_boot_microseconds() // 1_000_000}"


def acquire_reaper() -> None:
    """Become a reaper; being one already is fine."""
    try:
        _procctl(os.getpid(), PROC_REAP_ACQUIRE, None)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise


def reapers(root: int) -> dict[int, int]:
    """Tell the reaper of each process below the reaper `root`; empty if `root` is none.

    The list of one reaper names reapers below it, but not what is below those: they are asked too.
    """
    found: dict[int, int] = {}
    todo = [root]
    while todo:
        reaper = todo.pop()
        try:
            infos = _reaped_by(reaper)
        except OSError:  # it ended, or is no reaper
            continue
        for pid, flags in infos:
            if pid not in found and pid != root:
                found[pid] = reaper
                if flags & REAPER_PIDINFO_REAPER:
                    todo.append(pid)
    return found


def parse(raw: bytes, boot_microseconds: int) -> list[Row]:
    """Read an array of struct kinfo_proc.

    ki_start is the kernel's raw start time plus the time of boot, which moves with the clock:
    taking that off again leaves microseconds since boot, which do not.
    """
    found = []
    for offset in range(0, len(raw) - KINFO_PROC_SIZE + 1, KINFO_PROC_SIZE):
        size, pid, ppid, pgid, sid, seconds, micros, stat, name = KINFO_PROC.unpack_from(raw, offset)
        if size != KINFO_PROC_SIZE:
            raise OSError(
                errno.ENOTSUP,
                f"cannot read the process table: struct kinfo_proc has {size} bytes and not"
                f" {KINFO_PROC_SIZE}; run the dispatcher on 64-bit FreeBSD",
            )
        start = seconds * 1_000_000 + micros - boot_microseconds
        short = os.fsdecode(name.partition(b"\0")[0])
        found.append(Row(pid, start, ppid, pgid, sid, short, stat == SZOMB, stat == SSTOP))
    return found


def _rows(kind: int, pid: int) -> list[Row]:
    while True:
        booted = _boot_microseconds()
        raw = _sysctl((CTL_KERN, KERN_PROC, kind, pid))
        if booted == _boot_microseconds():  # else the clock was set meanwhile: read again
            return parse(raw, booted)


def _boot_microseconds() -> int:
    seconds, micros = struct.unpack_from("=qq", _sysctl((CTL_KERN, KERN_BOOTTIME)))
    return int(seconds) * 1_000_000 + int(micros)


def _reaped_by(reaper: int) -> list[tuple[int, int]]:
    status = ReaperStatus()
    _procctl(reaper, PROC_REAP_STATUS, ctypes.byref(status))
    while True:
        room = int(status.descendants) * 2 + 64
        infos = (PidInfo * room)()
        _procctl(reaper, PROC_REAP_GETPIDS, ctypes.byref(ReaperPids(count=room, pids=infos)))
        found = [(one.pid, one.flags) for one in infos if one.flags & REAPER_PIDINFO_VALID]
        if len(found) < room:
            return found
        status.descendants = room  # it was full, so more were born meanwhile


def _sysctl(mib: tuple[int, ...]) -> bytes:
    numbers = (ctypes.c_int * len(mib))(*mib)
    return _read(lambda old, size: _libc().sysctl(numbers, len(mib), old, size, None, ctypes.c_size_t(0)))


def _sysctl_by_name(name: str) -> bytes:
    text = name.encode()
    return _read(lambda old, size: _libc().sysctlbyname(text, old, size, None, ctypes.c_size_t(0)))


def _read(call: Callable[[Any, Any], int]) -> bytes:
    """Read a value of unknown length: ask for the length, then leave room for growth until it fits."""
    size = ctypes.c_size_t(0)
    _check(call(None, ctypes.byref(size)))
    while True:
        size.value = size.value * 2 + 256
        buffer = ctypes.create_string_buffer(size.value)
        room = size.value
        if call(buffer, ctypes.byref(size)) == 0:
            return buffer.raw[: size.value]
        if ctypes.get_errno() != errno.ENOMEM:
            _check(-1)
        size.value = room


def _procctl(pid: int, command: int, data: Any) -> None:
    # id_t has 64 bits on FreeBSD, also where int has 32.
    _check(_libc().procctl(P_PID, ctypes.c_longlong(pid), command, data))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
