"""The daemon's connection to one bridge: made, kept, and made again for as long as the daemon lives.

The bridge asks who this is and which keys of clients are known here; it tells which clients are there,
and passes on what they say. Each client gets a task when it first says something, until it has left.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, Protocol

import trio
import trio_websocket

from dispatcher.bridge.bridge_words import KEYS_ID, Heard, Mail, ask_login, read, reply, reply_keys
from dispatcher.bridge.dialing import BridgeUnreachable, dialled
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.post import PeerOutbox, Post
from dispatcher.errors import NotAuthenticated
from dispatcher.settings import BridgeAddress, Limits

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds between tries; each is twice the one before
LASTING = 30.0  # a connection that has held for so long is no failed try

log = logging.getLogger("dispatcher.bridge")


class Client(Protocol):
    """One client behind the bridge."""

    def deliver(self, payload: str) -> None:
        """Take what it has sent; never wait."""
        ...

    async def serve(self) -> None:
        """Serve it until cancelled."""
        ...


class House(Protocol):
    """What the link asks the daemon."""

    def hostname(self) -> str:
        """Give the name of this machine."""
        ...

    def checksums(self) -> Sequence[str]:
        """Give the sums of all keys that clients have registered."""
        ...

    def receive(self, outbox: PeerOutbox) -> Client:
        """Make what serves a new client."""
        ...


class Link:
    """The connection to one bridge. `run` is the task; it never ends by itself."""

    def __init__(self, bridge: BridgeAddress, key: OwnKey, house: House, limits: Limits) -> None:
        self._bridge = bridge
        self._key = key
        self._house = house
        self._limits = limits
        self._said = ""
        self._connection: Connection | None = None

    async def run(self) -> NoReturn:
        """Connect, and again whenever the connection ends."""
        delay = FIRST_DELAY
        while True:
            begun = trio.current_time()
            try:
                await self._connect()
                self._say("the bridge %s has closed the connection; trying again")
            except* (BridgeUnreachable, NotAuthenticated) as group:
                self._say("the bridge %s: " + _sentence(group).replace("%", "%%"))
            except* (trio_websocket.ConnectionClosed, trio.TooSlowError, OSError):
                self._say("the connection to the bridge %s is lost; trying again")
            except* Exception:
                log.exception("the connection to the bridge %s failed", self._bridge.name)
            finally:
                self._connection = None
            if trio.current_time() - begun >= LASTING:
                delay = FIRST_DELAY
            # Not all daemons at once, when their bridge was away.
            await trio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(2 * delay, LONGEST_DELAY)

    def tell_keys(self) -> None:
        """Tell the bridge which keys are known now."""
        if self._connection is not None:
            self._connection.tell_keys()

    async def _connect(self) -> None:
        bridge, limits = self._bridge, self._limits
        async with dialled(
            bridge.url, bridge.fingerprint, limits.message_bytes, limits.send_timeout
        ) as socket:
            self._connection = Connection(socket, self._key, self._house, limits)
            await self._connection.run(lambda: self._say("connected to the bridge %s", logging.INFO))

    def _say(self, what: str, level: int = logging.WARNING) -> None:
        """Write a line if this is news."""
        if what != self._said:
            self._said = what
            log.log(level, what, self._bridge.name)


class Connection:
    """One connection, from the first message to the last."""

    def __init__(
        self, socket: trio_websocket.WebSocketConnection, key: OwnKey, house: House, limits: Limits
    ) -> None:
        self._socket = socket
        self._key = key
        self._house = house
        self._limits = limits
        self._post = Post(limits.outbox_bytes)
        self._own = self._post.outbox("")
        self._may_know_keys = False
        self._present: frozenset[str] = frozenset()
        self._clients: dict[str, tuple[Client, trio.CancelScope]] = {}

    async def run(self, on_login: Callable[[], None]) -> None:
        """Log in and serve; return or raise when the connection has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._post.run, self._socket.send_message)
            nursery.start_soon(self._keep_pinging)
            self._say(ask_login(""))
            try:
                with trio.fail_after(self._limits.login_time):
                    await self._log_in(nursery)
                on_login()
                while True:
                    self._take(await self._next(), nursery)
            except trio_websocket.ConnectionClosed:
                nursery.cancel_scope.cancel()

    def tell_keys(self) -> None:
        """Tell the bridge which keys are known now, if it has asked before."""
        if self._may_know_keys:
            self._say(reply_keys(self._house.checksums()))

    # --- what the bridge says -----------------------------------------------------------------

    async def _log_in(self, nursery: trio.Nursery) -> None:
        has_signed = False
        while True:
            heard = await self._next()
            if not isinstance(heard, Heard) or not heard.is_login:
                self._take(heard, nursery)
            elif isinstance(heard.args, list) and not heard.is_error:
                return
            elif isinstance(heard.args, dict) and not heard.is_error and not has_signed:
                has_signed = True
                signature = await trio.to_thread.run_sync(
                    self._key.sign_text, heard.args.get("test_string"), abandon_on_cancel=True
                )
                self._say(ask_login({"encrypted_string": signature}))
            else:
                raise NotAuthenticated(
                    "it does not let us in; import the key of this daemon there (bridge.pub in its state_dir:"
                    f" SHA-256 {self._key.fingerprint}); trying again"
                )

    async def _next(self) -> Heard | Mail | None:
        return read(await self._socket.get_message())

    def _take(self, heard: Heard | Mail | None, nursery: trio.Nursery) -> None:
        match heard:
            case Mail(peer=peer, payload=payload):
                self._deliver(peer, payload, nursery)
            case Heard(present=tuple() as present):
                self._note_present(frozenset(present))
            case Heard(asks="identify"):
                self._say(reply(heard, {"hostname": self._house.hostname(), "type": "server"}))
            case Heard(asks="list_ssl_checksums", id=asked) if asked == KEYS_ID:
                self._may_know_keys = True
                self._say(reply_keys(self._house.checksums()))
            case _:
                pass  # nothing that the protocol has an answer for

    def _say(self, text: str) -> None:
        if not self._own.offer(text.encode(), bytes.decode):
            raise NotAuthenticated("it asks more than it reads; look what runs there; trying again")

    # --- clients ------------------------------------------------------------------------------

    def _note_present(self, present: frozenset[str]) -> None:
        self._present = present
        for peer in [one for one in self._clients if one not in present]:
            _, scope = self._clients.pop(peer)
            scope.cancel()

    def _deliver(self, peer: str, payload: str, nursery: trio.Nursery) -> None:
        if peer not in self._present:
            return
        if peer not in self._clients:
            if len(self._clients) >= self._limits.connections_per_address:
                return  # nobody listens: more clients than may come over one connection
            client, scope = self._house.receive(self._post.outbox(peer)), trio.CancelScope()
            self._clients[peer] = client, scope
            nursery.start_soon(_serve, client.serve, scope)
        self._clients[peer][0].deliver(payload)

    async def _keep_pinging(self) -> None:
        while True:
            await trio.sleep(self._limits.ping_time)
            with trio.fail_after(self._limits.ping_time):
                await self._socket.ping()


async def _serve(serve: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    """Serve a client until its scope is cancelled; what goes wrong with one ends no other."""
    with scope:
        try:
            await serve()
        except* trio_websocket.ConnectionClosed:
            pass
        except* Exception:
            log.exception("the session of a client behind a bridge failed and has ended")


def _sentence(group: BaseExceptionGroup[BaseException]) -> str:
    """Give what the first error says."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
