"""Read what workers say, from their socket or from their journals, as facts of the core."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from dispatcher.core import messages as m
from dispatcher.core.model import CommandEnd, Outcome, Progress


class WorkerLine(msgspec.Struct):
    """One line of a worker: a hello, a new pid after a hand-over, a fact, a log length, or a progress."""

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
    result: str | None = None
    progress: int | None = None
    percent: int | None = None
    description: str = ""
    extra: str = ""


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
            outcome, progress = Outcome(line.outcome), _progress(line)
            return m.JobEnded(line.job, worker, outcome, line.at, line.by, line.result, progress=progress)
        case "returned":
            return m.JobReturned(line.job, worker, line.handover, line.at)
        case None if line.progress is not None:
            return m.Progressed(line.progress, worker, _progress(line) or Progress())
        case _:
            return None


def _progress(line: WorkerLine) -> Progress | None:
    return None if line.percent is None else Progress(line.percent, line.description, line.extra)


class Said(msgspec.Struct):
    """What a worker said in lines that came together; `newest` is the largest number of its facts."""

    hello: WorkerLine | None = None
    facts: list[m.Fact] = []
    newest: int = 0
    lengths: list[tuple[int, int]] = []


def read(lines: Sequence[bytes], worker: int, complain: Callable[[bytes, ValueError], None]) -> Said:
    """Read lines of a worker, in order; `complain` gets each that cannot be read."""
    said = Said()
    for raw in lines:
        try:
            line = decode(raw)
            fact = fact_of(line, worker)
        except ValueError as error:
            complain(raw, error)
            continue
        said.newest = max(said.newest, line.seq)
        if line.hello is not None:
            said.hello, worker = line, line.hello
        elif fact is not None:
            said.facts.append(fact)
        elif line.fact is None and line.log is not None:
            said.lengths.append((line.log, line.length))
    return said
