"""What a worker has done, told to the supervisor: first into the journal, then on the wire.

A fact stays here until it is acknowledged, and is sent again to each new supervisor. Each
carries its number and its time, wall and monotonic. Standard library only.
"""

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.runner.journal import Journal
from dispatcher.runner.processes import start_of
from dispatcher.runner.uplink import Uplink
from dispatcher.runner.wire import encode

GATHER_SECONDS = 0.002  # facts wait this long for others, if more is ready to be done


@dataclass(frozen=True, slots=True)
class CommandFigures:
    """How a command ended: times in seconds, `rss` in bytes, `log` the offset behind its output."""

    code: int
    signal: str | None
    error: str | None
    log: int
    cut: int
    seconds: float
    user: float
    system: float
    rss: int
    leftovers: list[str]


@dataclass(frozen=True, slots=True)
class _Told:
    seq: int
    job: int
    is_return: bool
    line: bytes


class Report:
    """The facts of one worker, from its first to its last job, also across hand-overs."""

    def __init__(self, worker: int, journal: Journal) -> None:
        self._worker = worker
        self._journal = journal
        self._seq = 0
        self._unsent: deque[_Told] = deque()
        self._unacknowledged: deque[_Told] = deque()
        self._oldest = 0.0
        self.journal_bytes = 0
        self.introduce()

    def introduce(self) -> None:
        """Write into the journal which process the worker is: at its birth and after a hand-over."""
        self._journal.header(os.getpid(), start_of(os.getpid()) or 0)

    # What can have happened

    def taken(self, job: int) -> None:
        """Say that the job is ours and will be run."""
        self._add("taken", job, {})

    def started(self, job: int, command: int, pid: int | None, start: int | None, log: int) -> None:
        """Say that a command has begun; without a pid it could not."""
        self._add("started", job, {"command": command, "pid": pid, "start": start, "log": log})

    def ended(self, job: int, command: int, figures: CommandFigures, length_line: bytes) -> None:
        """Say how a command ended; `length_line` goes before it on the wire, and is no fact."""
        fields: dict[str, object] = {
            "command": command,
            "code": figures.code,
            "signal": figures.signal,
            "error": None if figures.error is None else _plain(figures.error),
            "log": figures.log,
            "cut": figures.cut,
            "seconds": round(figures.seconds, 6),
            "user": figures.user,
            "system": figures.system,
            "rss": figures.rss,
            "leftovers": [_plain(name) for name in figures.leftovers],
        }
        self._add("ended", job, fields, length_line)

    def done(
        self,
        job: int,
        outcome: str,
        by: str | None,
        more: Mapping[str, object] | None = None,
        progress_line: bytes = b"",
    ) -> None:
        """Say how the job ended, and which signal that took; `more` are its result and its progress.

        `progress_line` goes before it on the wire, and is no fact.
        """
        self._add("done", job, {"outcome": outcome, "by": by, **(more or {})}, progress_line)

    def returned(self, job: int, handover: int) -> None:
        """Say that the job was never taken and is not here any more."""
        self._add("returned", job, {"handover": handover})

    # The way to the supervisor

    @property
    def is_settled(self) -> bool:
        """Whether every fact has been acknowledged."""
        return not self._unsent and not self._unacknowledged

    def knows(self, job: int) -> bool:
        """Tell whether something of this job is still to be acknowledged, besides that it was given back."""
        told = (*self._unacknowledged, *self._unsent)
        return any(one.job == job and not one.is_return for one in told)

    def hello(self, link: Uplink, jobs: list[int]) -> None:
        """Introduce the worker to a new supervisor; everything unacknowledged is sent again after it.

        It names all jobs that it has or still has facts about: what it does not name is not here. Nor is
        what was only given back: it may have been handed to us again by a supervisor that died over it.
        """
        told = {one.job: None for one in (*self._unacknowledged, *self._unsent) if not one.is_return}
        known = [*jobs, *(job for job in told if job not in jobs)]
        link.put(encode({"hello": self._worker, **_identity(), "jobs": known}))
        self._unsent.extendleft(reversed(self._unacknowledged))
        self._unacknowledged.clear()
        self._oldest = 0.0

    def moved(self, link: Uplink) -> None:
        """Tell a connected supervisor which process the worker is after a hand-over."""
        if link.is_open:
            link.put(encode(_identity()))

    def acknowledge(self, seq: int) -> None:
        """Forget the facts up to this number: they are saved."""
        for facts in (self._unacknowledged, self._unsent):
            while facts and facts[0].seq <= seq:
                facts.popleft()

    def empty_journal(self) -> None:
        """Begin the journal anew; only while settled and without a job."""
        if self.journal_bytes:
            self._journal.empty()
            self.introduce()
            self.journal_bytes = 0

    def wants_to_send(self, link: Uplink) -> bool:
        """Tell whether a fact waits and could be sent."""
        return bool(self._unsent) and link.has_room

    def send(self, link: Uplink, *, is_quiet: bool) -> None:
        """Put waiting facts on the wire if nothing else is ready or they have waited long enough."""
        if not self.wants_to_send(link):
            return
        if is_quiet or time.monotonic() - self._oldest >= GATHER_SECONDS:
            while self._unsent and link.has_room:
                told = self._unsent.popleft()
                link.put(told.line)
                self._unacknowledged.append(told)

    def _add(self, kind: str, job: int, fields: dict[str, object], before: bytes = b"") -> None:
        self._seq += 1
        now = time.monotonic()
        fact = {"fact": kind, "seq": self._seq, "job": job, **fields, "at": time.time(), "mono": now}
        line = encode(fact)
        self._journal.write(fact)
        self.journal_bytes += len(line)
        if not self._unsent:
            self._oldest = now
        self._unsent.append(_Told(self._seq, job, kind == "returned", before + line))


def _identity() -> dict[str, object]:
    return {"pid": os.getpid(), "start": start_of(os.getpid()) or 0}


def _plain(text: str) -> str:
    """Replace what no UTF-8 can hold: names of processes and files are bytes, not text."""
    return text.encode("utf-8", "replace").decode("utf-8")
