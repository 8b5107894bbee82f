"""The orders that lie at a worker until it takes them: first in, first out.

They may be given back as long as nothing of them has begun. Standard library only.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dispatcher.runner.ends import Ends
from dispatcher.runner.report import Report
from dispatcher.runner.wire import Start


class Handed(NamedTuple):
    """An order, and the descriptors that came with it."""

    order: Start
    ends: Ends


class Ahead:
    """What lies ahead of a worker. It tells by `report` what it gives back."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._waiting: deque[Handed] = deque()
        self._refuses = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[Handed]:
        return iter(self._waiting)

    def has(self, job: int) -> bool:
        """Tell whether a job lies here."""
        return any(one.order.job == job for one in self._waiting)

    def receive(self, order: Start, ends: Ends) -> None:
        """Take an order, unless it was sent ahead before the supervisor heard that jobs were given back.

        That one would overtake them. An order to start at once shows that it has heard.
        """
        handed = Handed(order, ends)
        self._waiting.append(handed)
        self._refuses = self._refuses and order.is_ahead
        if self._refuses:
            self._give_back([handed])

    def next(self) -> Handed:
        """Take out the order that is carried out next."""
        return self._waiting.popleft()

    def give_back(self, jobs: Iterable[int] | None = None) -> None:
        """Return these jobs, or all, as far as they are here."""
        self._give_back([one for one in self._waiting if jobs is None or one.order.job in jobs])

    def give_back_fed(self) -> None:
        """Return the jobs with pipes of the supervisor, because it has gone."""
        self._give_back([one for one in self._waiting if one.ends.named])

    def remove(self, job: int) -> bool:
        """Drop a job that is to end before it has begun; tell whether it was here."""
        for handed in self._waiting:
            if handed.order.job == job:
                self._waiting.remove(handed)
                handed.ends.close()
                return True
        return False

    def close(self) -> None:
        """Close this process's copies of all descriptors: another one goes on."""
        for handed in self._waiting:
            handed.ends.close()

    def _give_back(self, some: Sequence[Handed]) -> None:
        """Return orders, the last one first: so none overtakes another."""
        for handed in reversed(some):
            self._waiting.remove(handed)
            handed.ends.close()
            self._report.returned(handed.order.job, handed.order.handover)
            self._refuses = True
