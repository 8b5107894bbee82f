"""News about growing logs: how far each may be read, and whom to call when it grows.

The lengths come from the workers, at most every 50 ms for a job. No byte of a log passes here.
"""

from collections.abc import Callable

Listener = Callable[[int], None]


class LogNews:
    """The stable length of the log of each running job, in bytes."""

    def __init__(self) -> None:
        self._lengths: dict[int, int] = {}
        self._listeners: dict[int, list[Listener]] = {}

    def length(self, number: int) -> int | None:
        """How far the log of a running job may be read; None if nothing was heard of it."""
        return self._lengths.get(number)

    def grew(self, number: int, length: int) -> None:
        """Note a new length and call those who listen to this job."""
        if length <= self._lengths.get(number, -1):
            return
        self._lengths[number] = length
        for listener in tuple(self._listeners.get(number, ())):
            listener(length)

    def ended(self, number: int) -> None:
        """Forget a job: its record knows the length now."""
        self._lengths.pop(number, None)

    def subscribe(self, number: int, listener: Listener) -> None:
        """Call `listener` with each new length of a job's log."""
        self._listeners.setdefault(number, []).append(listener)

    def unsubscribe(self, number: int, listener: Listener) -> None:
        """Stop calling `listener`."""
        listeners = self._listeners[number]
        listeners.remove(listener)
        if not listeners:
            del self._listeners[number]
