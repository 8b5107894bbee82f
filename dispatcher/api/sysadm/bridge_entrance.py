"""How a client behind a bridge gets in: by its key only, and from then on in the channel agreed upon.

The key is named at the first half of `auth_ssl`, and only that one is tried at the second. What fails
counts against that key at that bridge: not against the bridge, behind which others are, too.
"""

import base64
from dataclasses import dataclass

import trio

from dispatcher.access.challenge import Challenge
from dispatcher.access.client_keys import ClientKey, has_signed
from dispatcher.access.peers import origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.tokens import Login
from dispatcher.api.sysadm import codec
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.entrance import Reply
from dispatcher.api.sysadm.logins import PROTOCOL, Logins, asks_for_challenge, read_signature
from dispatcher.bridge.channels import Channel, Encoded, Sealed
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.relayed import RelayedSocket
from dispatcher.bridge.sealing import Agreement, answer_offer
from dispatcher.errors import NotAuthenticated
from dispatcher.net.websocket import SocketClosed

_MOST_NAME = 64  # characters of a checksum
_signing = trio.CapacityLimiter(2)


@dataclass(frozen=True, slots=True)
class RelayedPeer:
    """A client behind a bridge, where others have an address. Nothing is known of its machine."""

    address: str
    port: int = 0
    uid: int | None = None
    local: tuple[str, int] = ("", 0)


class RelayedEntrance:
    """The way in of one session; with `must_seal` only of an encrypted one."""

    page = ""

    def __init__(
        self, logins: Logins, socket: RelayedSocket, bridge: str, key: OwnKey, *, must_seal: bool
    ) -> None:
        self.peer = RelayedPeer(f"bridge {bridge}")
        self._logins = logins
        self._socket = socket
        self._key = key
        self._must_seal = must_seal
        self._checksum = ""
        self._challenge = Challenge()
        self._agreement: Agreement | None = None

    def stranger(self) -> Caller:
        """Give nobody."""
        return Caller("", Level.NOBODY, origin_of(self.peer), PROTOCOL)

    async def challenge(self, call: Call, reply: Reply) -> None:
        """Agree upon a channel, and answer in the clear; all that follows goes through the channel."""
        if self._checksum:
            # What is still under way in this session is not for whoever begins the next one.
            self._socket.start_again(_encoded(call))
            raise SocketClosed("the session of a client behind a bridge begins anew")
        checksum, offer = _read_first_half(call.args)
        if offer is None and self._must_seal:
            raise NotAuthenticated(
                "cannot log in: this dispatcher takes only encrypted sessions over a bridge"
                " (bridges: require_encryption); use a client that offers `sealing`"
            )
        peer = RelayedPeer(f"{self.peer.address} key {checksum}")
        if await trio.to_thread.run_sync(self._logins.gate.keys.named, checksum, limiter=_signing) is None:
            raise NotAuthenticated(
                "cannot log in: no key with the checksum in `md5_key` is registered here; register it"
                " with rpc/settings over a direct connection"
            )
        self._logins.gate.failures.require_open(peer.address)
        self._checksum, self.peer = checksum, peer
        text = self._challenge.issue()
        args: dict[str, object] = {
            "new_ssl_key": _base64(self._key.pem),
            "test_string": _base64(text.encode()),
        }
        channel: Channel = Encoded()
        if offer is not None:
            args["sealing"], agreement = await trio.to_thread.run_sync(
                answer_offer, offer, checksum, text, self._key.private, limiter=_signing
            )
            self._agreement, channel = agreement, Sealed(agreement)
        await reply(args)
        self._socket.use(channel)

    async def log_in(self, call: Call) -> tuple[str, Login]:
        """Take the signature by the key that was named."""
        if call.name != "auth_ssl":
            raise NotAuthenticated(
                f"cannot log in by {call.name[:60]!r} over a bridge, which could read along: use auth_ssl"
            )
        text, signature, agreement = self._challenge.take(), read_signature(call.args), self._agreement

        def find() -> ClientKey | None:
            key = self._logins.gate.keys.named(self._checksum) if text and signature else None
            if key is None:
                return None
            if agreement is not None:
                return key if agreement.is_signed_by_client(key.pem, signature) else None
            return key if has_signed(key.pem, signature, text.encode("ascii")) else None

        caller = await self._logins.gate.by_found_key(find, self.peer, protocol=PROTOCOL)
        return self._logins.tokens.begin(caller)


def is_first_half(payload: str) -> bool:
    """Tell whether a plain message is the first half of `auth_ssl`, which begins a session."""
    try:
        call = codec.decode(payload)
    except codec.Malformed:
        return False
    return call.is_auth and asks_for_challenge(call)


def _read_first_half(args: object) -> tuple[str, object]:
    """Give the checksum that is named, and what is offered or None."""
    checksum = args.get("md5_key") if isinstance(args, dict) else None
    if not isinstance(checksum, str) or not 0 < len(checksum) <= _MOST_NAME or not checksum.isprintable():
        raise NotAuthenticated(
            "cannot log in over a bridge without knowing the key: give `md5_key`, base64 of the MD5 of your"
            " public key in PEM form"
        )
    return checksum, args.get("sealing") if isinstance(args, dict) else None


def _encoded(call: Call) -> str:
    return codec.encode({"args": call.args, "id": call.id, "name": call.name, "namespace": call.namespace})


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
