"""One connected JSON-RPC client: who it is, and what it listens to."""

from collections.abc import Awaitable, Callable

from dispatcher.access.roles import NOBODY, Caller, Level
from dispatcher.api.service import Service
from dispatcher.api.truenas.feed import JsonRpcFeed, Subscription
from dispatcher.core.model import Value
from dispatcher.errors import Forbidden, NotAuthenticated
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import Socket
from dispatcher.settings import Limits

Login = Callable[[Peer, str, str], Awaitable[Caller]]


class Stream(Value, frozen=True):
    """An answer that is only the beginning: `run` is called once `first` has been sent."""

    first: object
    run: Callable[[], Awaitable[None]]


class Client:
    """What the methods may use of a session. `caller` changes when the client logs in."""

    def __init__(
        self,
        socket: Socket,
        peer: Peer,
        caller: Caller,
        *,
        service: Service,
        feed: JsonRpcFeed,
        login: Login,
        limits: Limits,
    ) -> None:
        self.socket = socket
        self.caller = caller
        self.service = service
        self.feed = feed
        self._peer = peer
        self._login = login
        self._limits = limits
        self._subscription: Subscription | None = None
        self._streams = 0
        self._is_logged_in = False  # with a password; the kernel's word for a Unix peer needs none
        self._limit_messages()

    async def login(self, name: str, password: str) -> bool:
        """Become an account; False, and nobody, if the password is wrong."""
        if not self._peer.may_send_password:
            raise Forbidden(
                "cannot log in over a plain connection: anybody can read it; connect with TLS (wss)"
            )
        try:
            self.caller = await self._login(self._peer, name, password)
            self._is_logged_in = True
        except NotAuthenticated:
            self.caller = NOBODY
            self._is_logged_in = False
            return False
        finally:
            self._limit_messages()
        return True

    def account_changed(self, name: str) -> None:
        """Be nobody again, and hear nothing more, if the login was that account's."""
        if self._is_logged_in and self.caller.name == name:
            self._is_logged_in = False
            self.caller = NOBODY
            self._limit_messages()
            self.leave()

    def subscribe(self) -> Subscription:
        """Make the client's one subscription; an earlier one ends."""
        self.leave()
        self._subscription = Subscription(self.feed, self.socket, self.service, self.caller)
        return self._subscription

    def next_stream(self) -> int:
        """Give a number to a stream, never the same one twice on a connection."""
        self._streams += 1
        return self._streams

    def _limit_messages(self) -> None:
        is_nobody = self.caller.level is Level.NOBODY
        self.socket.limit_messages(self._limits.login_bytes if is_nobody else self._limits.message_bytes)

    def leave(self) -> None:
        """Listen to nothing any more."""
        if self._subscription is not None:
            self._subscription.end()
            self._subscription = None


class Clients:
    """All connected JSON-RPC clients, so that a changed account is logged out everywhere at once."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()

    def add(self, client: Client) -> None:
        """Note a client that has connected."""
        self._clients.add(client)

    def remove(self, client: Client) -> None:
        """Forget a client that has left."""
        self._clients.discard(client)

    def account_changed(self, name: str) -> None:
        """Log an account out of every session."""
        for client in tuple(self._clients):
            client.account_changed(name)
