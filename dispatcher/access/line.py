"""A line of logins that wait for a check: so many at once, in threads of their own, and a bound."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import trio

from dispatcher.errors import Refused

P = ParamSpec("P")
R = TypeVar("R")


class Line:
    """At most `at_once` checks run and `length` wait; more are refused."""

    def __init__(
        self, at_once: int, length: int, name: str, initializer: Callable[[], None] | None = None
    ) -> None:
        self._length = length
        self._at_once = at_once
        self.waiting = 0
        self._limiter = trio.CapacityLimiter(at_once)
        # Not trio's own threads: those are used again for other work, and only root may raise a priority.
        self._threads = ThreadPoolExecutor(at_once, name, initializer=initializer)

    async def run(
        self, may_go_on: Callable[[], None], check: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run `check` in a thread when it is its turn. `may_go_on` is called right before and may raise.

        Raises Refused if too many wait.
        """
        if self.waiting >= self._length + self._at_once:
            raise Refused(
                f"cannot check the password: {self._length} logins are waiting"
                f" (password_line: {self._length}); try again in a few seconds"
            )
        self.waiting += 1
        try:
            async with self._limiter:
                may_go_on()
                future = self._threads.submit(check, *args, **kwargs)
                return await trio.to_thread.run_sync(future.result, limiter=trio.CapacityLimiter(1))
        finally:
            self.waiting -= 1


def always() -> None:
    """Let every check go on."""
