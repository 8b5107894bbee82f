"""The clients behind bridges: each gets the same sessions as those on WebSockets of their own."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import trio

from dispatcher.access.client_keys import ClientKeys
from dispatcher.api.sysadm import codec
from dispatcher.api.sysadm.bridge_entrance import RelayedEntrance, is_first_half
from dispatcher.api.sysadm.parts import Parts
from dispatcher.api.sysadm.session import SysadmSession
from dispatcher.bridge.link import Link
from dispatcher.bridge.own_key import OwnKey, own_key
from dispatcher.bridge.post import PeerOutbox
from dispatcher.bridge.relayed import RelayedSocket
from dispatcher.net.websocket import SocketClosed
from dispatcher.settings import Settings

log = logging.getLogger("dispatcher.bridge")

_TOO_LONG = "the answer is longer than a bridge passes on (limits: message_bytes); ask for less at once"


class BridgeClients:
    """What the link to one bridge asks of the daemon."""

    def __init__(self, parts: Parts, keys: ClientKeys, bridge: str, key: OwnKey, *, must_seal: bool) -> None:
        self._parts = parts
        self._keys = keys
        self._bridge = bridge
        self._key = key
        self._must_seal = must_seal

    def hostname(self) -> str:
        """Give the name of this machine."""
        return self._parts.hostname()

    def checksums(self) -> Sequence[str]:
        """Give the sums of all registered keys."""
        return list(dict.fromkeys(key.checksum for key in self._keys.all()))

    def receive(self, outbox: PeerOutbox) -> "RelayedClient":
        """Make what serves a new client."""
        limits = self._parts.limits
        socket = RelayedSocket(
            outbox,
            limits.message_bytes,
            limits.login_bytes,
            shorten=_shortened,
            is_beginning=is_first_half,
            goodbye=lambda reason: codec.encode_error("", "401", reason).encode(),
        )
        return RelayedClient(
            self._parts,
            socket,
            partial(
                RelayedEntrance,
                self._parts.logins,
                socket,
                self._bridge,
                self._key,
                must_seal=self._must_seal,
            ),
        )


class RelayedClient:
    """One client for as long as the bridge shows it: session after session, at most one at a time."""

    def __init__(self, parts: Parts, socket: RelayedSocket, entrance: Callable[[], RelayedEntrance]) -> None:
        self._parts = parts
        self._socket = socket
        self._entrance = entrance

    def deliver(self, payload: str) -> None:
        """Take what it has sent; never wait."""
        self._socket.deliver(payload)

    async def serve(self) -> None:
        """Serve it until cancelled: then all that it takes part in has ended."""
        try:
            while True:
                await self._serve_session()
                self._socket.begin_anew()
        finally:
            self._socket.close()

    async def _serve_session(self) -> None:
        async with trio.open_nursery() as nursery:
            session = SysadmSession(self._parts, self._socket, self._entrance(), nursery)
            try:
                await session.read()
            except SocketClosed:
                nursery.cancel_scope.cancel()
            finally:
                session.end()


async def make_links(parts: Parts, keys: ClientKeys, settings: Settings) -> list[Link]:
    """Make the links to all bridges of the settings, and the key for them. Raises StartupError."""
    wanted, state_dir = settings.bridges, settings.state_dir
    path, public = wanted.key or state_dir / "bridge.key", state_dir / "bridge.pub"
    make = partial(own_key, path, public, may_make=wanted.key is None)
    key = await trio.to_thread.run_sync(make)
    log.info("key for bridges %s, SHA-256 %s", public, key.fingerprint)
    return [
        Link(
            bridge,
            key,
            BridgeClients(parts, keys, bridge.name, key, must_seal=wanted.require_encryption),
            parts.limits,
        )
        for bridge in wanted.to
    ]


def _shortened(message: bytes) -> bytes:
    fields = codec.decode_object(message)
    call_id = fields.get("id")
    return codec.encode_error(call_id if isinstance(call_id, str) else "", "400", _TOO_LONG).encode()
