"""The first and last lines of finished jobs' logs, read when somebody asks and kept for a while."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from dispatcher.core.model import Finished, Job, Value
from dispatcher.logs.reading import log_path, read_piece

WHOLE = 256 * 1024  # bytes of a log up to which it is read at once
LINES = 10  # of the beginning, and of the end
LONGEST = 500  # characters of a line
KEPT = 2000  # excerpts in memory
PIECE = 1024 * 1024


class Excerpt(Value, frozen=True):
    """`text` for people: the whole log if it is short; `tail` its last lines, for an error."""

    text: str
    tail: str


class Excerpts:
    """Reads excerpts in threads. A finished job's log does not change, so each is read once."""

    def __init__(self, log_dir: Callable[[], Path]) -> None:
        self._log_dir = log_dir
        self._kept: OrderedDict[int, Excerpt] = OrderedDict()
        self._readers = trio.CapacityLimiter(2)

    def wants(self, job: Job) -> bool:
        """Whether an excerpt of a job must be read before the job can be shown."""
        return has_log(job) and isinstance(job.phase, Finished) and job.number not in self._kept

    def known(self, job: Job) -> Excerpt | None:
        """Give the excerpt of a job; None if it has no log, or is not finished, or it was not read."""
        return self._kept.get(job.number) if isinstance(job.phase, Finished) else None

    async def read(self, jobs: Iterable[Job]) -> None:
        """Read what `wants` says is missing."""
        missing = [job for job in jobs if self.wants(job)]
        if not missing:
            return
        found = await trio.to_thread.run_sync(_read_all, self._log_dir(), missing, limiter=self._readers)
        self._kept.update(found)
        while len(self._kept) > max(KEPT, len(missing)):
            self._kept.popitem(last=False)


def has_log(job: Job) -> bool:
    """Whether a job keeps a log: any of its commands has begun."""
    return bool(job.runs)


def excerpt_of(data: bytes) -> Excerpt:
    """Make an excerpt of a whole log."""
    lines = _lines(data)
    if len(lines) <= 2 * LINES:
        return Excerpt("\n".join(lines), "\n".join(lines[-LINES:]))
    return _excerpt(lines[:LINES], lines[-LINES:], len(lines))


def excerpt_of_ends(head: bytes, tail: bytes, count: int) -> Excerpt:
    """Make an excerpt of the first and the last bytes of a log that has so many lines in all."""
    # A line that is cut in two is whole in neither part; if there is no other, its piece will do.
    first = head.rpartition(b"\n")[0] or head
    last = tail.partition(b"\n")[2] or tail
    return _excerpt(_lines(first)[:LINES], _lines(last)[-LINES:], count)


def _read_all(log_dir: Path, jobs: Iterable[Job]) -> dict[int, Excerpt]:
    return {job.number: _read_one(log_path(log_dir, job.number), _length(job)) for job in jobs}


def _read_one(path: Path, length: int) -> Excerpt:
    if length <= WHOLE:
        return excerpt_of(read_piece(path, 0, length))
    half = WHOLE // 2
    ends = sum(
        read_piece(path, start, min(start + PIECE, length)).count(b"\n") for start in range(0, length, PIECE)
    )
    tail = read_piece(path, length - half, length)
    count = ends + (not tail.endswith(b"\n"))
    return excerpt_of_ends(read_piece(path, 0, half), tail, count)


def _excerpt(first: list[str], last: list[str], count: int) -> Excerpt:
    more = count - len(first) - len(last)
    left_out = [f"... {more} more lines ..."] if more > 0 else []
    return Excerpt("\n".join([*first, *left_out, *last]), "\n".join(last))


def _length(job: Job) -> int:
    return max((run.end.log_end for run in job.runs if run.end is not None), default=0)


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "replace").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line if len(line) <= LONGEST else f"{line[:LONGEST]}..." for line in lines]
