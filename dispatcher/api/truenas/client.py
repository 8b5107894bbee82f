"""One connected JSON-RPC client: who it is, and what it listens to."""

from collections.abc import Awaitable, Callable

import msgspec

from dispatcher.access.peers import origin_of
from dispatcher.access.roles import Caller, Level, require
from dispatcher.api.service import Service
from dispatcher.api.truenas.credentials import Credentials, Identity, nobody
from dispatcher.api.truenas.downloads import Downloads
from dispatcher.api.truenas.feed import JsonRpcFeed, Subscription
from dispatcher.api.truenas.jobs import Jobs
from dispatcher.api.truenas.logins import Logins, Proof
from dispatcher.api.truenas.subscriptions import Subscriptions
from dispatcher.core.model import Value
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import Socket
from dispatcher.settings import Limits


class Stream(Value, frozen=True):
    """An answer that is only the beginning: `run` is called once `first` has been sent."""

    first: object
    run: Callable[[], Awaitable[None]]


class Client:
    """What the methods may use of a session. Who it is changes when the client logs in or out.

    `session` is a UUID. `proof` is the SCRAM login that has begun, if one has.
    """

    def __init__(
        self,
        socket: Socket,
        peer: Peer,
        identity: Identity,
        *,
        session: str,
        service: Service,
        feed: JsonRpcFeed,
        jobs: Jobs,
        logins: Logins,
        limits: Limits,
        is_legacy: bool = False,
    ) -> None:
        self.socket = socket
        self.peer = peer
        self.session = session
        self.service = service
        self.feed = feed
        self.jobs = jobs
        self.logins = logins
        self.clients: Clients | None = None
        self.downloads: Downloads | None = None
        self.on_lag: Callable[[str], None] = _nothing
        self.subscriptions = Subscriptions(jobs.events, service, socket, self._lagged, is_legacy=is_legacy)
        self.legacy_jobs = True
        self.private_methods = False
        self.py_exceptions = False
        self.proof: Proof | None = None
        self._identity = identity
        self._token = ""
        self._limits = limits
        self._subscription: Subscription | None = None
        self._streams = 0
        self._limit_messages()

    @property
    def identity(self) -> Identity:
        """Who the client is."""
        return self._identity

    @property
    def caller(self) -> Caller:
        """Who the client is, as the rest of the house knows callers."""
        return self._identity.caller

    @property
    def protocol(self) -> str:
        """Which protocol the client speaks."""
        return self._identity.caller.protocol

    @property
    def credentials(self) -> Credentials | None:
        """How the client has logged in; None for nobody."""
        return self._identity.credentials

    @property
    def credentials_json(self) -> str:
        """The same as JSON text, for the record of a job; empty for nobody."""
        return msgspec.json.encode(self.credentials.record()).decode() if self.credentials else ""

    def require(self, level: Level) -> None:
        """Raise NotAuthenticated or Forbidden if the client may not do something of this level, by now."""
        self.logins.notice_changes()
        require(self.caller, level)

    def become(self, identity: Identity, token: str = "") -> None:
        """Be somebody from now on; `token` is what the client has logged in with, and ends with the login."""
        self._end_token()
        if identity.caller.level < self.caller.level:
            self.leave()
        self._identity, self._token = identity, token
        self._limit_messages()

    def log_out(self) -> None:
        """Be nobody again, and hear nothing more; tokens that this session made log nobody in any more."""
        self.logins.tokens.end_session(self.session, only_logins=True)
        self._be_nobody()

    def fail(self) -> None:
        """Be nobody after a login that failed."""
        self._be_nobody()

    def account_changed(self, name: str) -> None:
        """Log out if the login was that account's."""
        if self.caller.name == name and not self._identity.is_nobody and not self._identity.is_lasting:
            self._be_nobody()

    def key_removed(self, number: int) -> None:
        """Log out if the login goes back to that API key."""
        if self._identity.key == number:
            self._be_nobody()

    def end(self) -> None:
        """Note that the connection has ended."""
        self._end_token()

    def _be_nobody(self) -> None:
        self._end_token()
        self._identity = nobody(origin_of(self.peer), self.protocol)
        self._limit_messages()
        self.leave()

    def _end_token(self) -> None:
        if self._token:
            self.logins.tokens.end(self._token)
            self._token = ""

    def _lagged(self, collection: str) -> None:
        self.on_lag(collection)

    def subscribe(self) -> Subscription:
        """Make the client's one subscription to numbered events; an earlier one ends."""
        self._end_subscription()
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
        self.subscriptions.end()
        self._end_subscription()

    def _end_subscription(self) -> None:
        if self._subscription is not None:
            self._subscription.end()
            self._subscription = None


def _nothing(_: str) -> None:
    """Do nothing: nobody is to be told."""


class Clients:
    """All connected JSON-RPC clients, so that a changed account is logged out everywhere at once."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()

    def add(self, client: Client) -> None:
        """Note a client that has connected."""
        self._clients.add(client)
        client.clients = self

    def remove(self, client: Client) -> None:
        """Forget a client that has left."""
        self._clients.discard(client)
        client.end()

    def account_changed(self, name: str) -> None:
        """Log an account out of every session."""
        for client in tuple(self._clients):
            client.account_changed(name)

    def key_removed(self, number: int) -> None:
        """Log an API key out of every session."""
        for client in tuple(self._clients):
            client.key_removed(number)

    def with_login(self, name: str) -> Client | None:
        """Find the session that has this id, or whose login has."""
        for client in self._clients:
            login = client.credentials.login_id if client.credentials else None
            if name in (client.session, login):
                return client
        return None
