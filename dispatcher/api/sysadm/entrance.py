"""How a client on a connection of its own gets in; a relayed one has another way (bridge_entrance.py)."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from dispatcher.access.challenge import Challenge
from dispatcher.access.peers import Peer, caller_of
from dispatcher.access.roles import Caller
from dispatcher.access.tokens import Login
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.logins import PROTOCOL, Logins
from dispatcher.net.http import Request

Reply = Callable[[dict[str, object]], Awaitable[None]]


class Entrance(Protocol):
    """What a session asks about logins."""

    @property
    def peer(self) -> Peer:
        """The other end, as the audit names it."""
        ...

    @property
    def page(self) -> str:
        """The Origin that the client has sent, or ""."""
        ...

    def stranger(self) -> Caller:
        """Give the caller before any login."""
        ...

    async def challenge(self, call: Call, reply: Reply) -> None:
        """Answer the first half of `auth_ssl`. Raises NotAuthenticated, or SocketClosed."""
        ...

    async def log_in(self, call: Call) -> tuple[str, Login]:
        """Give token and login. Raises NotAuthenticated, or Refused if too many wait."""
        ...


class DirectEntrance:
    """The way in of a client on its own WebSocket."""

    def __init__(self, logins: Logins, request: Request, daemon_uid: int) -> None:
        self.peer = request.peer
        self.page = request.header("origin")
        self._logins = logins
        self._request = request
        self._daemon_uid = daemon_uid
        self._challenge = Challenge()

    def stranger(self) -> Caller:
        """Give nobody, or over the Unix socket whose process it is."""
        return caller_of(self.peer, self._daemon_uid, PROTOCOL)

    async def challenge(self, call: Call, reply: Reply) -> None:
        """Send a text to be signed."""
        del call
        await reply({"test_string": self._challenge.issue()})

    async def log_in(self, call: Call) -> tuple[str, Login]:
        """Take a password, a token or a signature."""
        return await self._logins.log_in(call, self._request, self._challenge)
