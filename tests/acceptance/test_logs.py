"""Logs of real jobs: capped, read by offset, followed as they grow, and whole after a restart."""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.acceptance.daemon_clients import Answer, Rpc, until
from tests.daemon import PROGRAM, ROOT, Daemon

MIB = 1024 * 1024
GOAL = 0.1  # seconds from a command's line to the one who follows
SLACK = 3  # a loaded machine may take so many times as long


@contextmanager
def following(daemon: Daemon, job: int, output: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `dispatcher log -f` as a user does."""
    call = [*PROGRAM, "--socket", str(daemon.socket), "log", "-f", str(job), *more]
    with subprocess.Popen(call, cwd=ROOT, stdout=output) as process:
        try:
            yield process
        finally:
            process.kill()


def log_file(daemon: Daemon, job: int) -> Path:
    (path,) = daemon.log_dir.glob(f"*/{job}.log")
    return path


def peak(pid: int) -> int:
    """Tell the most memory that a process has had since `forget_peak`, in bytes."""
    if sys.platform != "linux":
        return int(psutil.Process(pid).memory_info().rss)
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def forget_peak(pid: int) -> None:
    if sys.platform == "linux":
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def test_200_mib_of_output_leave_65_mib_and_cost_no_memory(daemon, tmp_path):
    gate = daemon.folder / "gate"
    written = 200 * MIB + len("the end\n")
    daemon.script(
        "flood",
        f'until [ -e "{gate}" ]; do sleep 0.05; done; yes 0123456 | head -c {200 * MIB}; echo the end',
    )
    with Rpc(daemon) as rpc, (tmp_path / "followed").open("wb") as followed:
        number = rpc.submit("flood")
        until(lambda: begun(rpc, number) == 1, "it runs")
        worker = psutil.Process(rpc.call("show", job=number)["commands"][0]["pid"]).ppid()
        with following(daemon, number, followed.fileno()) as follower:
            before = {}
            for name, pid in (("worker", worker), ("supervisor", daemon.pid)):
                forget_peak(pid)
                before[name] = pid, peak(pid)
            gate.touch()
            job = rpc.wait(number)
            grown = {name: peak(pid) - then for name, (pid, then) in before.items()}
            assert follower.wait(30) == 0
            # The one who follows makes the supervisor read it all, too.
            grown["supervisor, followed"] = peak(daemon.pid) - before["supervisor"][1]

    whole = log_file(daemon, number).read_bytes()
    (line,) = re.findall(rb"\[dispatcher: (\d+) bytes of output were cut here[^\n]*\]\n", whole)
    around = whole.index(b"[dispatcher: "), whole.index(b"]\n") + 2
    print({name: f"{size / MIB:.1f} MiB" for name, size in grown.items()}, f"file {len(whole)} bytes")
    assert job["outcome"] == "success"
    assert len(whole) == 65 * MIB + around[1] - around[0]
    assert around[0] == 64 * MIB
    assert int(line) == written - 65 * MIB == job["commands"][0]["cut_bytes"]
    assert whole.startswith(b"0123456\n0123456\n")
    assert whole.endswith(b"0123456\nthe end\n")
    assert all(size < 8 * MIB for size in grown.values()), grown
    assert same_but_for_the_count((tmp_path / "followed").read_bytes(), whole)


def begun(rpc: Rpc, job: int) -> int:
    """Tell how many commands of a job have begun."""
    return sum(command["started"] is not None for command in rpc.call("show", job=job)["commands"])


def same_but_for_the_count(followed: bytes, whole: bytes) -> bool:
    """Compare; the line about the cut may have been read before its last number was written."""
    count = rb"\[dispatcher: \d{12} "
    return re.sub(count, b"[dispatcher: ", followed) == re.sub(count, b"[dispatcher: ", whole)


TICKER = f"""#!{sys.executable}
import time
for tick in range(15):
    time.sleep(0.013 * (tick % 5 + 1))
    print(time.time(), flush=True)
"""


def test_log_f_shows_new_lines_within_100_ms(daemon):
    ticker = daemon.bin / "ticker"
    ticker.write_text(TICKER)
    ticker.chmod(0o755)
    gate = daemon.folder / "gate"
    daemon.script("ready", f'echo ready; until [ -e "{gate}" ]; do sleep 0.02; done; rm "{gate}"')
    rounds = []
    with Rpc(daemon) as rpc:
        for _ in range(3):
            with following(daemon, rpc.submit("ready", "ticker"), subprocess.PIPE) as follower:
                assert follower.stdout is not None
                assert follower.stdout.readline() == b"ready\n"
                gate.touch()
                late = [time.time() - float(line) for line in follower.stdout]
                assert len(late) == 15
            rounds.append(max(late))
            print(f"median {statistics.median(late) * 1000:.0f} ms, worst {max(late) * 1000:.0f} ms")

    assert statistics.median(rounds) < GOAL * SLACK


def test_log_f_goes_on_from_command_to_command_and_ends_with_the_job(daemon):
    gate = daemon.folder / "gate"
    daemon.script("first", f'echo one; until [ -e "{gate}" ]; do sleep 0.02; done; printf "without end"')
    daemon.script("third", "echo three >&2; exit 7")
    with Rpc(daemon) as rpc:
        number = rpc.submit("first", "true", "third", "echo never")
        with (
            following(daemon, number, subprocess.PIPE) as all_of_it,
            following(daemon, number, subprocess.PIPE, "--command", "3") as only_third,
        ):
            assert all_of_it.stdout is not None
            assert all_of_it.stdout.readline() == b"one\n"
            gate.touch()
            rest, third = all_of_it.communicate(timeout=30)[0], only_third.communicate(timeout=30)[0]
            statuses = all_of_it.returncode, only_third.returncode
    alone = [daemon.cli("log", str(number), "--command", str(place)).stdout for place in (1, 2, 3, 4)]

    assert rest == b"without endthree\n"
    assert third == b"three\n"
    assert statuses == (7, 7)
    assert alone == ["one\nwithout end", "", "three\n", ""]
    assert daemon.cli("log", str(number), "--command", "5").returncode != 0


def test_the_log_of_a_running_job_is_read_from_any_offset_and_by_command(daemon):
    gate = daemon.folder / "gate"
    daemon.script("second", f'echo half; until [ -e "{gate}" ]; do sleep 0.02; done; echo whole')
    with Rpc(daemon) as rpc:
        number = rpc.submit(["echo", "first"], "second", "true")
        until(lambda: rpc.log(number) == "first\nhalf\n", "both have written")
        running = [rpc.call("log", job=number, offset=offset) for offset in (0, 3, 11, 99)]
        short = rpc.call("log", job=number, offset=1, limit=4)
        parts = [rpc.call("log", job=number, command=place) for place in (0, 1, 2)]
        inside = rpc.call("log", job=number, command=1, offset=2)
        gate.touch()
        rpc.wait(number)
        ended = rpc.call("log", job=number, command=1, offset=5)

    assert [said(one) for one in running] == [
        ("first\nhalf\n", 0, 11, False),
        ("st\nhalf\n", 3, 11, False),
        ("", 11, 11, False),
        ("", 11, 11, False),
    ]
    assert said(short) == ("irst", 1, 5, False)
    # The first has ended, so there will be no more of it, although its job runs on.
    assert [said(one) for one in parts] == [
        ("first\n", 0, 6, True),
        ("half\n", 0, 5, False),
        ("", 0, 0, False),
    ]
    assert said(inside) == ("lf\n", 2, 5, False)
    assert said(ended) == ("whole\n", 5, 11, True)


def said(piece: Answer) -> tuple[str, int, int, bool]:
    return piece["text"], piece["offset"], piece["next"], piece["end"]


def test_binary_output_is_kept_byte_by_byte_and_shown_without_harm(daemon):
    every_byte = bytes(range(256)) * 3 + "ünï\N{SNOWMAN}\N{PILE OF POO}".encode() + b"\xf0\x9f"
    (daemon.folder / "every").write_bytes(every_byte)
    with Rpc(daemon) as rpc:
        number = rpc.submit(["cat", str(daemon.folder / "every")])
        with following(daemon, number, subprocess.PIPE) as follower:
            followed = follower.communicate(timeout=30)[0]
        rpc.wait(number)
        pieces, offset = list[Answer](), 0
        while not pieces or not pieces[-1]["end"]:
            pieces.append(rpc.call("log", job=number, offset=offset, limit=5))
            offset = pieces[-1]["next"]

    assert log_file(daemon, number).read_bytes() == every_byte
    assert "".join(piece["text"] for piece in pieces) == every_byte.decode(errors="replace")
    assert offset == len(every_byte)
    assert followed.decode() == every_byte.decode(errors="replace")
    assert daemon.cli("log", str(number)).stdout.count("\N{PILE OF POO}") == 1


def test_a_log_and_who_follows_it_go_on_over_a_restart_of_the_daemon(daemon):
    gate = daemon.folder / "gate"
    daemon.script("long", f'echo before; until [ -e "{gate}" ]; do sleep 0.02; done; echo after')
    with Rpc(daemon) as rpc:
        number = rpc.submit(["echo", "first"], "long", ["echo", "last"])
        until(lambda: rpc.log(number) == "first\nbefore\n", "two have written")
    with following(daemon, number, subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(2)] == [b"first\n", b"before\n"]
        daemon.restart()
        with Rpc(daemon) as rpc:
            until(lambda: rpc.log(number) == "first\nbefore\n", "the new daemon can read it")
            gate.touch()
            job = rpc.wait(number)
            finished = rpc.log(number)
        followed = follower.communicate(timeout=30)[0]
    daemon.restart()

    assert job["outcome"] == "success"
    assert finished == "first\nbefore\nafter\nlast\n" == daemon.cli("log", str(number)).stdout
    assert followed == b"after\nlast\n"
    assert daemon.cli("log", str(number), "--command", "2").stdout == "before\nafter\n"


CHATTER = """
echo $$ > "{pid}"
seq -w 1 2000; echo "so far"
until [ -e "{gate}" ]; do sleep 0.02; done
seq -w 1 2000; echo bye
"""


@pytest.mark.parametrize("restarts", [False, True])
def test_the_end_of_a_log_over_its_cap_is_on_disk_each_second_and_shown_when_it_is_final(
    make_daemon, restarts
):
    daemon = make_daemon({"limits": {"log_cap_bytes": 4096, "log_tail_bytes": 1024}})
    gate, pid = daemon.folder / "gate", daemon.folder / "pid"
    daemon.script("chatter", CHATTER.format(gate=gate, pid=pid))
    with Rpc(daemon) as rpc:
        number = rpc.submit("chatter", ["echo", "next"])
        until(lambda: list(daemon.log_dir.glob(f"*/{number}.log")), "it has written")
        path = log_file(daemon, number)
        until(lambda: b"so far\n" in path.read_bytes(), "its end is on disk", seconds=3)
        first_part = rpc.log(number)
    with following(daemon, number, subprocess.PIPE) as follower:
        assert follower.stdout is not None
        shown = b"".join(follower.stdout.readline() for _ in range(4096 // 5 + 2))
        if restarts:
            # The new daemon cannot ask the worker what of the file is final.
            with stopped(psutil.Process(int(pid.read_text())).ppid()):
                daemon.restart()
                until(lambda: connections(daemon) == 1, "the follower is back")
                with Rpc(daemon) as rpc:
                    assert first_part.startswith(rpc.log(number))
            with Rpc(daemon) as rpc:
                until(lambda: rpc.log(number) == first_part, "the worker has told it again")
        gate.touch()
        followed = shown + follower.communicate(timeout=30)[0]
    with Rpc(daemon) as rpc:
        job = rpc.wait(number)

    whole = path.read_bytes()
    first, second = job["commands"]
    cut = 2 * 10_000 + len("so far\nbye\n") - 4096 - 1024
    assert first_part.encode() == shown
    assert shown.endswith(b" bytes of output were cut here, cap 4096]\n")
    assert same_but_for_the_count(followed, whole)
    assert f"[dispatcher: {cut:012d} bytes".encode() in whole
    assert first["cut_bytes"] == cut
    assert whole[: first["log_end"]].endswith(b"1999\n2000\nbye\n")
    assert whole[second["log_start"] :] == b"next\n"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    process = psutil.Process(pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def connections(daemon: Daemon) -> int:
    """Count the clients on the daemon's Unix socket."""
    ends = psutil.Process(daemon.pid).net_connections("unix")
    return sum(str(one.laddr) == str(daemon.socket) for one in ends) - 1  # one of them listens
