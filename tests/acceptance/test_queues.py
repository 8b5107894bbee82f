"""Queues in the real daemon: pkg and iocage run one at a time each, in the order of their answers."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

from tests.acceptance.daemon_clients import PATIENCE, Rpc, SysAdm, until
from tests.daemon import Daemon

CLIENTS = 20
JOBS_OF_EACH = 50

# mkdir is atomic: if two of these ever ran at once, the second one could not make the directory.
ALONE = """
mkdir "{lock}" || exit 99
{body}
rmdir "{lock}" || exit 98
"""


class Ack(NamedTuple):
    """A submit as its client saw it, in monotonic time."""

    key: str
    sent: float
    answered: float


def stand_in(daemon: Daemon, name: str, body: str = ":") -> None:
    """Put a program on the PATH that fails if it ever runs beside itself."""
    daemon.script(name, ALONE.format(lock=daemon.folder / f"{name}.lock", body=body))


def test_1000_jobs_of_20_clients_run_one_at_a_time_in_the_order_of_their_answers(daemon):
    ran = daemon.folder / "ran"
    gate = daemon.folder / "gate"
    os.mkfifo(gate)
    # The gate holds the queue in the middle, so that "beside it" is no matter of luck.
    stand_in(daemon, "pkg", f'echo "$1" >> "{ran}"\n[ "$1" = 0-40 ] && read -r line < "{gate}"')
    stand_in(daemon, "iocage", f'wc -l < "{ran}"')

    acks = all_at_once(daemon)
    with Rpc(daemon) as rpc:
        beside = [rpc.run("iocage list") for _ in range(3)]
        held = rpc.queue("pkg_queue")
        gate.write_text("go\n")
        numbers = {
            job["key"]: job["number"]
            for at in (0, 500)
            for job in rpc.call("list", all=True, queue="pkg_queue", offset=at, limit=500)["jobs"]
        }
        by_number = sorted(numbers, key=numbers.__getitem__)
        rpc.wait(by_number[-1])
        ended = rpc.call("list", all=True, queue="pkg_queue", outcome="success", limit=1)

    assert len(acks) == len(numbers) == CLIENTS * JOBS_OF_EACH
    assert ended["total"] == CLIENTS * JOBS_OF_EACH  # each was alone, or mkdir had failed
    assert ran.read_text().split() == by_number
    assert overtaken(acks, numbers) == []
    assert [job["outcome"] for job in beside] == ["success"] * 3
    assert (held["running"], held["pending"] > 0) == (1, True)


def all_at_once(daemon: Daemon) -> list[Ack]:
    """Let 20 clients submit 50 jobs each; half of them speak SysAdm over TLS, half JSON-RPC."""
    acks: list[Ack] = []
    start = threading.Barrier(CLIENTS)

    def client(number: int) -> None:
        with SysAdm(daemon) if number % 2 else Rpc(daemon) as connection:
            start.wait(PATIENCE)
            for place in range(JOBS_OF_EACH):
                key = f"{number}-{place}"
                sent = time.monotonic()
                if isinstance(connection, SysAdm):
                    assert connection.call(action="run", **{key: f"pkg {key}"}) == {"started": [key]}
                else:
                    connection.submit(f"pkg {key}", id=key)
                acks.append(Ack(key, sent, time.monotonic()))

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(client, range(CLIENTS)))
    return acks


def overtaken(acks: list[Ack], numbers: dict[str, int]) -> list[tuple[str, str]]:
    """Give pairs of jobs of which the first was answered before the second was sent, and runs after it."""
    found = []
    by_sending = sorted(acks, key=lambda ack: ack.sent)
    by_answer = sorted(acks, key=lambda ack: ack.answered)
    highest = by_answer[0]  # of those that were answered by then, the one that runs last
    answered = iter(by_answer)
    waiting = next(answered, None)
    for ack in by_sending:
        while waiting is not None and waiting.answered < ack.sent:
            if numbers[waiting.key] > numbers[highest.key]:
                highest = waiting
            waiting = next(answered, None)
        if highest.answered < ack.sent and numbers[highest.key] > numbers[ack.key]:
            found.append((highest.key, ack.key))
    return found


def test_pkg_in_every_spelling_ends_up_in_pkg_queue_and_never_overlaps(daemon):
    stand_in(daemon, "pkg", "sleep 0.1")
    spellings: list[tuple[str | list[str], ...]] = [
        ("/usr/sbin/pkg -v",),
        (f"{daemon.bin}/pkg info",),
        ("pkg\tinfo",),
        (["pkg", "info"],),
        ("env A=1 pkg",),
        ("echo", "pkg"),
        (["echo"], ["env", "A=1", "pkg", "info"]),
        ("pkg-static info",),
    ]
    daemon.script("pkg-static", f'exec "{daemon.bin}/pkg" "$@"')
    with Rpc(daemon) as rpc:
        numbers = [rpc.submit(*commands) for commands in spellings]
        jobs = [rpc.wait(number) for number in numbers]

    assert {job["queue"] for job in jobs} == {"pkg_queue"}
    # The first is the real one, which a machine may have or not; the others prove by their lock
    # directory that they were alone.
    assert [job["outcome"] for job in jobs[1:]] == ["success"] * (len(spellings) - 1)
    assert all(one["finished"] <= other["started"] for one, other in pairwise(jobs))


def test_pkg_and_iocage_in_one_list_are_refused(daemon):
    with Rpc(daemon) as rpc, SysAdm(daemon) as sysadm:
        refused = rpc.answer("submit", commands=["pkg info", "iocage list"])
        named = rpc.call("submit", commands=["true", "env iocage", "pkg"], queue="no_queue")
        both = sysadm.call(action="run", both=["pkg info", "iocage list"], fine="true")
        jobs = rpc.call("list", all=True)["jobs"]

    sentence = "pkg belongs to pkg_queue and iocage to iocage_queue"
    assert sentence in str(refused["error"])
    assert both["started"] == ["fine"]
    assert sentence in both["rejected"]["both"]
    assert {job["key"] for job in jobs} == {named["key"], "fine"}


def test_no_queue_runs_as_many_at_once_as_its_safety_limit_allows(make_daemon):
    daemon = make_daemon({"queues": {"no_queue": {"concurrency": 5}}})
    steps = daemon.folder / "steps"
    gate = daemon.folder / "gate"
    # The first five stay until the gate is gone, so that five at once are certain.
    daemon.script(
        "nap",
        f'echo + >> "{steps}"\nwhile [ -e "{gate}" ]; do sleep 0.05; done\nsleep 0.1\necho - >> "{steps}"',
    )
    gate.touch()
    with Rpc(daemon) as rpc:
        numbers = [rpc.submit("nap") for _ in range(20)]
        until(lambda: steps.exists() and steps.read_text().count("+") >= 5, "five jobs run")
        held = rpc.queue("no_queue")
        gate.unlink()
        outcomes = {rpc.wait(number)["outcome"] for number in numbers}

    at_once = running_at_each_step(steps.read_text())
    assert outcomes == {"success"}
    assert (held["running"], held["pending"]) == (5, 15)
    assert (max(at_once), at_once[-1], len(at_once)) == (5, 0, 40)


def running_at_each_step(steps: str) -> list[int]:
    running, counts = 0, []
    for step in steps.split():
        running += 1 if step == "+" else -1
        counts.append(running)
    return counts


def test_a_pair_out_of_order_is_found():
    acks = [Ack("a", 0, 1), Ack("b", 2, 3), Ack("c", 2.5, 4)]

    assert overtaken(acks, {"a": 1, "b": 3, "c": 2}) == []
    assert overtaken(acks, {"a": 2, "b": 1, "c": 3}) == [("a", "b")]
    assert running_at_each_step("+ + - + - -") == [1, 2, 1, 2, 1, 0]
