"""Read what workers say, from their socket or from their journals, as facts of the core."""

from collections.abc import Mapping
from typing import Any

import msgspec

from dispatcher.core import messages as m
from dispatcher.core.model import CommandEnd, Outcome


class WorkerLine(msgspec.Struct):
    """One line of a worker: a hello, a new pid after a hand-over, a fact, or a log length."""

    hello: int | None = None
    pid: int | None = None
    jobs: list[int] = []
    log: int | None = None
    length: int = 0
    fact: str | None = None
    seq: int = 0
    job: int = 0
    handover: int = 0
    at: float = 0.0
    command: int = 0
    code: int = 0
    signal: str | None = None
    error: str | None = None
    cut: int = 0
    seconds: float = 0.0
    user: float = 0.0
    system: float = 0.0
    rss: int = 0
    leftovers: list[str] = []
    outcome: str = ""
    by: str | None = None


decode = msgspec.json.Decoder(WorkerLine).decode


def from_record(record: Mapping[str, Any], worker: int) -> m.Fact | None:
    """Read one record of a journal; None if it is no fact or not one that we know."""
    try:
        return fact_of(msgspec.convert(record, WorkerLine), worker)
    except (msgspec.ValidationError, ValueError):
        return None


def fact_of(line: WorkerLine, worker: int) -> m.Fact | None:
    """Make the fact that a line tells; None for a kind that is not known. ValueError: a bad outcome."""
    match line.fact:
        case "taken":
            return m.Taken(line.job, worker, line.at)
        case "started":
            return m.CommandStarted(line.job, worker, line.command, line.pid, line.log or 0, line.at)
        case "ended":
            end = CommandEnd(
                at=line.at,
                code=line.code,
                seconds=line.seconds,
                log_end=line.log or 0,
                signal=line.signal,
                error=line.error,
                cut_bytes=line.cut,
                user_seconds=line.user,
                system_seconds=line.system,
                max_rss_bytes=line.rss,
                leftovers=tuple(line.leftovers),
            )
            return m.CommandEnded(line.job, worker, line.command, end)
        case "done":
            return m.JobEnded(line.job, worker, Outcome(line.outcome), line.at, line.by)
        case "returned":
            return m.JobReturned(line.job, worker, line.handover, line.at)
        case _:
            return None
