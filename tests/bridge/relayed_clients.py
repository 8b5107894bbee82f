"""Clients behind a bridge, and the bridge itself, played by the test; behind them the daemon's real code."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from cryptography.hazmat.primitives.asymmetric import rsa

from dispatcher.access.client_keys import ClientKey
from dispatcher.api.sysadm.bridge_clients import BridgeClients, RelayedClient
from dispatcher.bridge.channels import Channel, Encoded, Plain, Sealed
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.post import Post
from dispatcher.bridge.sealing import ClientHalf, DaemonKey, decode_base64
from dispatcher.settings import Auth
from tests.api.fakes import House, call, house

FULL_USER, READ_USER = "toor", "local"  # of the fakes

DAEMON_KEY = OwnKey(rsa.generate_private_key(65537, 2048))
CLIENT_KEY = OwnKey(rsa.generate_private_key(65537, 2048))
OTHER_KEY = OwnKey(rsa.generate_private_key(65537, 2048))

Fields = dict[str, Any]


class Office:
    """A bridge: `post` is what the daemon sends to all its clients, as many messages as there is room."""

    def __init__(self, built: House, *, must_seal: bool = False, outbox_bytes: int = 1_000_000) -> None:
        self.built = built
        self.room = trio.Semaphore(1_000_000)
        self.left: dict[str, list[str]] = {}  # what each client has not heard yet
        self._post = Post(outbox_bytes)
        self._clients = BridgeClients(built.parts, built.keys, "office", DAEMON_KEY, must_seal=must_seal)
        built.nursery.start_soon(self._post.run, self._relay)

    def client(self, peer: str = "::{1}", key: OwnKey = CLIENT_KEY) -> "RelayedPeer":
        """A client that has just come."""
        served = self._clients.receive(self._post.outbox(peer))
        scope = trio.CancelScope()
        self.built.nursery.start_soon(_serve, served, scope)
        return RelayedPeer(self, peer, served, scope, key)

    async def _relay(self, text: str) -> None:
        await self.room.acquire()
        peer, _, payload = text.partition("\n")
        self.left.setdefault(peer, []).append(payload)


class RelayedPeer:
    """The client: it says and hears payloads, in the channel of the moment."""

    def __init__(
        self, office: Office, peer: str, served: RelayedClient, scope: trio.CancelScope, key: OwnKey
    ) -> None:
        self.key = key
        self.channel: Channel = Plain()
        self._office = office
        self._peer = peer
        self._served = served
        self._scope = scope

    def relay(self, payload: str) -> None:
        """Send a payload as it is."""
        self._served.deliver(payload)

    def written(self, message: Fields) -> str:
        """Give the payload of a message."""
        return self.channel.write(json.dumps(message).encode())

    def say(self, message: Fields) -> None:
        self.relay(self.written(message))

    async def payloads(self) -> list[str]:
        """Give what has been relayed when nothing more happens by itself."""
        await trio.testing.wait_all_tasks_blocked()
        return self._office.left.pop(self._peer, [])

    async def silence(self) -> list[Fields]:
        """Give all messages that have come."""
        return [json.loads(self.channel.read(one)) for one in await self.payloads()]

    async def ask(self, message: Fields) -> Fields:
        """Send a message and give the only answer."""
        self.say(message)
        (heard,) = await self.silence()
        return heard

    async def first_half(self, *, seals: bool = False, **more: object) -> tuple[Fields, ClientHalf]:
        """Give the `args` of the answer to the first half of auth_ssl, said in the clear."""
        half = ClientHalf(self.key.checksum)
        args: Fields = {"md5_key": self.key.checksum} | ({"sealing": half.offer} if seals else {}) | more
        self.channel = Plain()
        heard = await self.ask(call("auth_ssl", args))
        found: Fields = heard["args"]
        return found, half

    async def begin(self, *, seals: bool = False, signer: OwnKey | None = None) -> str:
        """Do the first half; give the signature for the second, by this key or another."""
        key = signer or self.key
        args, half = await self.first_half(seals=seals)
        if seals:
            agreement = half.agree(args, DaemonKey(DAEMON_KEY.fingerprint))
            self.channel = Sealed(agreement)
            return agreement.sign_as_client(key.private)
        self.channel = Encoded()
        return key.sign_text(decode_base64(args["test_string"]).decode())

    async def log_in(self, *, seals: bool = False) -> Fields:
        """Do both halves; give the answer."""
        return await self.ask(call("auth_ssl", {"encrypted_string": await self.begin(seals=seals)}))

    def leave(self) -> None:
        """Be no longer shown by the bridge."""
        self._scope.cancel()


async def _serve(served: RelayedClient, scope: trio.CancelScope) -> None:
    with scope:
        await served.serve()


def register(built: House, key: OwnKey, user: str = FULL_USER) -> None:
    """Register a key for a user."""
    built.keys.register(ClientKey(user, base64.b64encode(key.pem).decode(), "", "", ""))


@asynccontextmanager
async def office(*, must_seal: bool = False, outbox_bytes: int = 1_000_000) -> AsyncIterator[Office]:
    """A bridge before a daemon, where the client's key is registered."""
    async with house() as built:
        built.gate._auth = Auth(methods=("pam",))  # the users of the fakes are of the system
        register(built, CLIENT_KEY)
        yield Office(built, must_seal=must_seal, outbox_bytes=outbox_bytes)
