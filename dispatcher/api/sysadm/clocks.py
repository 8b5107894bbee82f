"""The two clocks of a connection: it must log in soon, and may not be silent for ever.

Both close with 1000 and no reason, as the original does.
"""

from collections.abc import Callable
from typing import Protocol

import trio

from dispatcher.api.sysadm.subscription import Socket


class SessionSocket(Socket, Protocol):
    """What a session needs of its client."""

    def limit_messages(self, limit_bytes: int) -> None:
        """Take no larger message from now on."""
        ...


class ClientSocket(SessionSocket, Protocol):
    """A whole WebSocket."""

    @property
    def last_heard(self) -> float:
        """When the peer last sent anything, a pong included."""
        ...

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye."""
        ...


async def close_without_login(socket: ClientSocket, is_nobody: Callable[[], bool], login_time: float) -> None:
    """Close a connection on which nobody is logged in after so long. Looks once, as the original does."""
    await trio.sleep(login_time)
    if is_nobody():
        await socket.close(1000)


async def close_when_idle(
    socket: ClientSocket, idle_time: float, on_idle: Callable[[], None] = lambda: None
) -> None:
    """Close a connection on which nothing has come for so long, not even a pong; call `on_idle` before."""
    until = socket.last_heard + idle_time
    while until > trio.current_time():
        await trio.sleep_until(until)
        until = socket.last_heard + idle_time
    on_idle()
    await socket.close(1000)
