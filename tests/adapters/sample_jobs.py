"""Jobs for the tests of the store, one of each kind, and a short way to save them."""

from collections.abc import Iterable, Mapping

from dispatcher.core.model import (
    Command,
    CommandEnd,
    CommandRun,
    Finished,
    Job,
    Outcome,
    Pending,
    Phase,
    Running,
    Stop,
    Submission,
    Task,
)
from dispatcher.store.port import Batch


def job(
    number: int,
    phase: Phase | None = None,
    *,
    key: str | None = None,
    queue: str = "no_queue",
    changed: int | None = None,
    runs: tuple[CommandRun, ...] = (),
    method: str = "",
    owner: str = "admin",
) -> Job:
    """A job with everything that a test does not care about filled in."""
    return Job(
        number=number,
        submission=Submission(
            queue=queue,
            commands=(Command(("/bin/true", "a b"), '/bin/true "a b"'),),
            key=key or f"key-{number}",
            owner=owner,
            task=Task(method) if method else None,
        ),
        submitted_at=1000.0 + number,
        phase=phase or Pending(),
        runs=runs,
        changed=number if changed is None else changed,
    )


def running(worker: int = 7) -> Phase:
    return Running(started_at=1500.25, worker=worker, boot_id="boot-1")


def finished(at: float = 2000.0, outcome: Outcome = Outcome.SUCCESS) -> Phase:
    return Finished(outcome, at, started_at=at - 1)


def batch(
    *jobs: Job, paused: Mapping[str, bool] | None = None, next_number: int = 0, changed: int = 0
) -> Batch:
    return Batch(jobs, paused or {}, next_number, changed)


def numbers(jobs: Iterable[Job]) -> list[int]:
    return [job.number for job in jobs]


def every_kind() -> tuple[Job, ...]:
    """A job of each phase, with every field filled with something that is hard to keep."""
    ended = CommandEnd(
        at=1700000000.123456,
        code=137,
        seconds=0.1,
        log_end=2**40,
        signal="SIGKILL",
        error='cannot run: \N{SNOWMAN} "quoted" \\ \t\n',
        cut_bytes=3,
        user_seconds=1e-9,
        system_seconds=5e300,
        max_rss_bytes=2**53,
        leftovers=("sshd (pid 77)", "näme (pid 78)"),
    )
    runs = (CommandRun(1.5, 99, 0, ended), CommandRun(2.5, None, 12))
    strange = Submission(
        queue="pkg_queue",
        commands=(Command((), ""), Command(("\N{PILE OF POO}", "nul\0inside"), "x" * 5000)),
        key="kéy \0 with \N{SNOWMAN}",
        owner="",
        cwd="/tmp/ü",
        env=(("A", "1"), ("A", "")),
        protocol="sysadm",
    )
    stopping = Running(9.5, 8, "b", stop=Stop(9.75, "admin", "no more"), unreachable=True)
    return (
        Job(1, strange, 0.1, Pending(), changed=11),
        job(2, Pending(worker=2**53, boot_id="boot-1"), changed=12),
        job(3, running(), changed=13, runs=runs[:1]),
        job(4, stopping, changed=14, runs=runs),
        job(5, Finished(Outcome.LOST, 1e9, None, "the machine went down", "KILL"), changed=15, runs=runs),
        job(6, Finished(Outcome.KILLED, 1e9), changed=16),
    )
