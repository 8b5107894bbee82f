"""The one loop of a worker: descriptors and signals, by `selectors`, the same on Linux and FreeBSD.

It can be renewed after a fork: epoll is shared with the parent, and kqueue is not inherited at all.
Standard library only.
"""

import os
import selectors
import signal
from collections.abc import Callable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

Ready = Callable[[int], None]


class Loop:
    """Calls who watches a descriptor when it is ready, and `on_signal` after signals."""

    def __init__(self, on_signal: Callable[[], object]) -> None:
        self._on_signal = on_signal
        self._watched: dict[int, tuple[int, Ready]] = {}
        self._open()

    def _open(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._signalled = os.pipe()
        # Both ends: a full pipe must block neither the signal handler nor us, the first byte is enough.
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._signalled, False)
        signal.set_wakeup_fd(self._signalled, warn_on_full_buffer=False)
        self._selector.register(self._wakeup, READ, self._drain)

    def watch(self, fd: int, events: int, ready: Ready) -> None:
        """Call `ready` with the events that are there; replaces what was watched of the descriptor."""
        if fd not in self._watched:
            self._selector.register(fd, events, ready)
        elif self._watched[fd] != (events, ready):
            self._selector.modify(fd, events, ready)
        self._watched[fd] = (events, ready)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor, before it is closed."""
        if self._watched.pop(fd, None) is not None:
            self._selector.unregister(fd)

    def run_once(self, timeout: float | None) -> bool:
        """Wait until something is ready, at most `timeout` seconds; call who watches it; tell if it was."""
        events = self._selector.select(timeout)
        for key, mask in events:
            # An earlier call of this round may have closed it.
            if key.fd == self._wakeup or key.fd in self._watched:
                key.data(mask)
        return bool(events)

    def renew(self) -> None:
        """Go on in the child of a fork, watching the same descriptors."""
        self.close()
        self._open()
        for fd, (events, ready) in self._watched.items():
            self._selector.register(fd, events, ready)

    def close(self) -> None:
        """Close what belongs to the loop; what it watches stays open."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._wakeup)
        os.close(self._signalled)

    def _drain(self, _events: int) -> None:
        try:
            while len(os.read(self._wakeup, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        self._on_signal()
