"""Promises of the boot id and of FreeBSD's twin, the latter with recorded bytes instead of a kernel."""

import ctypes
import errno
import re
import struct
import sys

import pytest

from dispatcher.errors import StartupError
from dispatcher.runner import processes, processes_freebsd, reaper
from dispatcher.runner.boot import boot_id

BOOTED = 1_700_000_000


def kinfo_proc(
    pid: int, ppid: int, name: bytes, *, uptime: float, booted: int = BOOTED, stat: int = 3
) -> bytes:
    """Lay out struct kinfo_proc as <sys/user.h> has it on amd64, with noise in all other fields."""
    raw = bytearray(b"\xa5" * 1088)
    struct.pack_into("=i", raw, 0, 1088)
    struct.pack_into("=iiiiii", raw, 72, pid, ppid, pid + 1, -1, pid + 2, -1)
    struct.pack_into("=qq", raw, 336, booted + int(uptime), round(uptime % 1 * 1e6))
    raw[388] = stat
    raw[447:467] = name.ljust(20, b"\0")
    return bytes(raw)


class Kernel:
    """Stands in for FreeBSD's libc: answers sysctl(3) and procctl(2) from tables."""

    def __init__(self) -> None:
        self.values: dict[object, bytes] = {(1, 21): struct.pack("=qq", BOOTED, 250_000)}
        self.reaped: dict[int, list[tuple[int, int]]] = {}
        self.acquired = 0

    def sysctl(self, mib, length, old, size, _new, _new_size) -> int:
        return self._answer(tuple(mib)[:length], old, size)

    def sysctlbyname(self, name, old, size, _new, _new_size) -> int:
        return self._answer(name, old, size)

    def _answer(self, key, old, size) -> int:
        if key not in self.values:
            return self._fail(errno.ENOENT)
        value, room = self.values[key], size._obj
        if old is not None:
            if room.value < len(value):
                return self._fail(errno.ENOMEM)
            ctypes.memmove(old, value, len(value))
        room.value = len(value)
        return 0

    def procctl(self, _kind, pid, command, data) -> int:
        if command == processes_freebsd.PROC_REAP_ACQUIRE:
            self.acquired += 1
            return 0 if self.acquired == 1 else self._fail(errno.EBUSY)
        if pid.value not in self.reaped:
            return self._fail(errno.EINVAL)
        listed = self.reaped[pid.value]
        if command == processes_freebsd.PROC_REAP_STATUS:
            data._obj.descendants = 0  # all were born after it was asked
        for at, (child, flags) in enumerate(listed[: getattr(data._obj, "count", 0)]):
            data._obj.pids[at].pid = child
            data._obj.pids[at].flags = flags | processes_freebsd.REAPER_PIDINFO_VALID
        return 0

    @staticmethod
    def _fail(code: int) -> int:
        ctypes.set_errno(code)
        return -1


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    stand_in = Kernel()
    monkeypatch.setattr(processes_freebsd, "_libc", lambda: stand_in)
    monkeypatch.setattr(sys, "platform", "freebsd14")
    return stand_in


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_boot_has_one_name():
    assert boot_id() == boot_id()
    assert re.fullmatch(r"[0-9a-f-]{36}", boot_id())


def test_another_boot_has_another_name(tmp_path):
    (tmp_path / "boot_id").write_text("one\n")
    first = boot_id(tmp_path / "boot_id")
    (tmp_path / "boot_id").write_text("two\n")

    assert (first, boot_id(tmp_path / "boot_id")) == ("one", "two")


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_boot_without_a_name_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "boot_id").write_bytes(content)

    with pytest.raises(StartupError, match=r"cannot tell this boot from the last one: .*; mount /proc"):
        boot_id(tmp_path / "boot_id")


def test_freebsd_names_a_boot_by_its_random_id_or_else_by_its_time(kernel):
    assert boot_id() == f"boottime-{BOOTED}"

    kernel.values[b"kern.boot_id"] = bytes(range(16))
    assert boot_id() == "000102030405060708090a0b0c0d0e0f"


def test_freebsd_lists_processes(kernel):
    kernel.values[1, 14, 8, 0] = kinfo_proc(1, 0, b"init", uptime=2.5) + kinfo_proc(
        77, 1, b"sh \xff", uptime=3.75, stat=5
    )
    kernel.values[1, 14, 1, 77] = kinfo_proc(77, 1, b"sh", uptime=3.75, stat=4)
    kernel.values[1, 14, 35, 77] = b"A=1\0DISPATCHER_JOB=x:7:0\0"

    assert processes.table() == {
        1: processes.Process(1, 2_250_000, 0, 2, 3, "init"),
        77: processes.Process(77, 3_500_000, 1, 78, 79, "sh \udcff", is_zombie=True),
    }
    found = processes.process(77)
    assert found is not None
    assert found.is_stopped
    assert processes.start_of(77) == 3_500_000
    assert processes.environment(77) == {"A": "1", "DISPATCHER_JOB": "x:7:0"}
    assert processes.environment(78) == {}


def test_freebsd_has_no_process_where_the_kernel_finds_none(kernel, monkeypatch):
    monkeypatch.setattr(
        Kernel, "_answer", lambda self, key, old, size: Kernel._fail(errno.ESRCH) if key[-1] == 78 else 0
    )
    monkeypatch.setattr(processes_freebsd, "_boot_microseconds", lambda: 0)

    assert processes.start_of(78) is None


def test_a_start_time_on_freebsd_stays_when_the_clock_is_set(kernel):
    kernel.values[1, 14, 1, 77] = kinfo_proc(77, 1, b"sh", uptime=3.75)
    before = processes.start_of(77)
    kernel.values[1, 14, 1, 77] = kinfo_proc(77, 1, b"sh", uptime=3.75, booted=BOOTED + 3600)
    kernel.values[1, 21] = struct.pack("=qq", BOOTED + 3600, 250_000)

    assert processes.start_of(77) == before


def test_a_freebsd_of_another_layout_is_refused():
    raw = struct.pack("=i", 768) + bytes(1084)

    with pytest.raises(OSError, match="struct kinfo_proc has 768 bytes"):
        processes_freebsd.parse(raw, 0)


def test_freebsd_becomes_a_reaper_and_may_be_one_already(kernel):
    reaper.become_reaper()
    reaper.become_reaper()

    assert kernel.acquired == 2


def test_freebsd_asks_reapers_below_a_reaper_too_however_many_are_born_meanwhile(kernel):
    children = [(pid, 0) for pid in range(100, 300)]
    kernel.reaped = {10: [*children, (20, processes_freebsd.REAPER_PIDINFO_REAPER)], 20: [(21, 0)]}

    assert processes_freebsd.reapers(10) == {**{pid: 10 for pid, _ in children}, 20: 10, 21: 20}
    assert processes_freebsd.reapers(11) == {}


def test_freebsd_finds_an_orphan_whose_parent_ended_while_the_table_was_read(kernel):
    rows = [(10, 1), (11, 10), (13, 12), (20, 1)]
    kernel.values[1, 14, 8, 0] = b"".join(kinfo_proc(pid, ppid, b"x", uptime=9) for pid, ppid in rows)
    kernel.reaped = {10: [(11, 0), (13, 0)]}

    assert [one.pid for one in reaper.descendants(10)] == [11, 13]
