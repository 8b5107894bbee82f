"""Logins from addresses that are refused already: counted, so that guessing cannot push the audit away.

The refusal itself has an entry. What follows gets one entry at most a minute for each address, with the
number of tries since the last one.
"""

from collections.abc import Callable

EVERY = 60.0  # seconds from one entry about an address to the next
KEPT = 10_000  # addresses; the tries of the oldest are told early


class RefusedTries:
    """The counts, by address. `clock` is any that goes on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}  # the last entry about an address
        self._counts: dict[str, int] = {}

    def begin(self, address: str) -> None:
        """Note that an address has just got its entry: it is refused from now on."""
        self._since.pop(address, None)
        self._since[address] = self._clock()
        self._counts.pop(address, None)

    def note(self, address: str) -> None:
        """Count one try."""
        self._since.setdefault(address, self._clock())
        self._counts[address] = self._counts.get(address, 0) + 1

    def due(self, *, all_of_them: bool = False) -> list[tuple[str, int]]:
        """Take the addresses, and how many tries each has made, that may have an entry now."""
        now = self._clock()
        over = len(self._since) - KEPT
        found = []
        for place, (address, since) in enumerate(list(self._since.items())):
            if not all_of_them and now - since < EVERY and place >= over:
                continue
            del self._since[address]
            many = self._counts.pop(address, 0)
            if many:
                found.append((address, many))
                self._since[address] = now
        return found

    @property
    def next_at(self) -> float:
        """When something may be due, by the clock; infinity if nothing waits."""
        return min((self._since[address] + EVERY for address in self._counts), default=float("inf"))
