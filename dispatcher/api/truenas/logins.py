"""Every way to log in as a TrueNAS client knows them, for its WebSockets and for transfers over HTTP.

Each try is noted in the audit. A wrong one is counted per address and answered a second or two late;
nobody else waits for that. No secret is looked at that came over a connection which others can read.
"""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKey
from dispatcher.access.audit import Audit
from dispatcher.access.failures import WrongLogin
from dispatcher.access.gate import Gate
from dispatcher.access.peers import caller_of, origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.scram import BINDING, Exchange, read_first
from dispatcher.api.truenas.credentials import Identity, Way, logged_in, nobody
from dispatcher.api.truenas.session_tokens import Grant, SessionTokens
from dispatcher.api.truenas.user_info import UserInfo, user_info
from dispatcher.core.model import Value
from dispatcher.errors import DispatcherError, Forbidden, InvalidRequest, NotAuthenticated
from dispatcher.net.peer import Peer

PROTOCOL = "jsonrpc"
SCRAM_SECONDS = 30.0
_PLAIN_WAYS = ("API_KEY_PLAIN", "TOKEN_PLAIN", "PASSWORD_PLAIN")


class Proof(Value, frozen=True):
    """A SCRAM login that has begun; `key` is None for a user or key that there is not."""

    exchange: Exchange
    key: ApiKey | None
    user: str
    until: float


class Place(Value, frozen=True):
    """Where this daemon can be reached: what its refusals name, and what SCRAM binds a login to."""

    tls_port: int | None = None
    end_point: bytes = b""


async def a_second_or_two() -> None:
    """Wait as long as a wrong login is made to wait."""
    await trio.sleep(1 + secrets.randbelow(1000) / 1000)


class Logins:
    """Turn what clients show into identities. Raises NotAuthenticated, Forbidden, or Refused if many wait."""

    def __init__(
        self,
        gate: Gate,
        accounts: Accounts,
        audit: Audit,
        tokens: SessionTokens,
        *,
        daemon_uid: int,
        pause: Callable[[], Awaitable[None]] = a_second_or_two,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tokens = tokens
        self.place = Place()
        self._gate = gate
        self._accounts = accounts
        self._audit = audit
        self._daemon_uid = daemon_uid
        self._pause = pause
        self._clock = clock
        self._lookups = trio.CapacityLimiter(4)

    def notice_changes(self) -> None:
        """End the logins of accounts that have changed and of API keys that are gone, now."""
        self._accounts.refresh()
        self._gate.api_keys.refresh()

    async def at_connect(self, peer: Peer, protocol: str = PROTOCOL) -> Identity:
        """Give who a client is without a login: over a Unix socket the user whom the kernel names."""
        caller = caller_of(peer, self._daemon_uid, protocol)
        if caller.level is Level.NOBODY:
            found = await self._gate.by_socket_user(peer, protocol=protocol)
            if found is None:
                return nobody(origin_of(peer), protocol, self._gate.lacking(peer))
            return logged_in(found, Way.SOCKET, self._clock())
        return logged_in(caller, Way.SOCKET, self._clock(), is_lasting=True)

    async def by_password(self, peer: Peer, name: str, password: str, protocol: str = PROTOCOL) -> Identity:
        """Log in with a name and a password; never without one."""
        async with self._noting(peer, name, "password", protocol):
            caller = await self._gate.by_password(name, password, peer, protocol=protocol)
        return self._succeeded(logged_in(caller, Way.PASSWORD, self._clock()), "password")

    async def by_api_key(
        self, peer: Peer, text: str, user: str | None = None, protocol: str = PROTOCOL
    ) -> Identity:
        """Log in with an API key, which must be `user`'s if that is given. Also KeyExpired, NoAccess."""
        async with self._noting(peer, user or _number_of(text), "api_key", protocol):
            caller, key = await self._gate.by_api_key(text, peer, protocol=protocol, user=user)
        return self._succeeded(logged_in(caller, Way.API_KEY, self._clock(), key=key), "api_key")

    async def by_token(self, peer: Peer, text: str, protocol: str = PROTOCOL) -> Identity:
        """Log in with a token that has no attributes; with the rights of the login that made it."""
        async with self._noting(peer, "", "token", protocol):
            self._gate.failures.require_open(peer.address)
            grant = self.check_token(text, peer.address)
            if grant is None:
                raise NotAuthenticated("this token is not valid, or no longer: log in again")
        maker = grant.identity
        caller = Caller(maker.caller.name, maker.caller.level, origin_of(peer), protocol)
        return self._succeeded(logged_in(caller, Way.TOKEN, self._clock(), parent=maker.credentials), "token")

    def check_token(self, text: str, address: str, wants: Mapping[str, object] | None = None) -> Grant | None:
        """Use a token, for all (`wants` is None) or for what its attributes must say; None if it is no use.

        For HTTP: `wants` is `{"job": N}` for a download, None for an upload.
        """
        self.notice_changes()
        return self.tokens.check(text, address, wants)

    async def begin_scram(self, peer: Peer, text: str, protocol: str = PROTOCOL) -> Proof:
        """Answer a client-first-message: `exchange.server_first` is to be sent.

        Raises InvalidRequest if it is none, or asks for a binding that this connection has not.
        """
        first = read_first(text)
        async with self._noting(peer, first.user, "scram", protocol):
            binding = self._binding(peer, first.binding)
            self._gate.failures.require_open(peer.address)
            self._gate.api_keys.refresh()
        user, _, number = first.user.rpartition(":")
        key = self._gate.api_keys.find(int(number)) if number.isdecimal() and len(number) < 16 else None
        if key is not None and key.user != user:
            key = None
        kept = key.scram if key is not None else self._gate.api_keys.decoy(first.user)
        until = trio.current_time() + SCRAM_SECONDS
        return Proof(Exchange(first, kept, binding), key, first.user, until)

    async def finish_scram(
        self, peer: Peer, proof: Proof, text: str, protocol: str = PROTOCOL
    ) -> tuple[Identity, str]:
        """Log in by a client-final-message; give what proves us to the client, too."""
        answers: list[str] = []

        def prove() -> ApiKey | None:
            answer = proof.exchange.finish(text) if trio.current_time() < proof.until else None
            answers.append(answer or "")
            return proof.key if answer else None

        async with self._noting(peer, proof.user, "scram", protocol):
            caller, key = await self._gate.by_proved_key(prove, peer, protocol=protocol)
        return self._succeeded(logged_in(caller, Way.API_KEY, self._clock(), key=key), "scram"), answers[0]

    def ways(self, peer: Peer) -> tuple[str, ...]:
        """Name the mechanisms; SCRAM only where it will succeed."""
        can_scram = not peer.address or (peer.is_tls and bool(self.place.end_point))
        return ("SCRAM", *_PLAIN_WAYS) if can_scram else _PLAIN_WAYS

    async def describe(self, identity: Identity) -> UserInfo:
        """Tell of a user what clients want to know."""
        is_account = self._accounts.find(identity.caller.name) is not None and not identity.is_lasting

        def ask() -> UserInfo:
            return user_info(identity, is_account=is_account)

        return await trio.to_thread.run_sync(ask, limiter=self._lookups)

    def _binding(self, peer: Peer, asked: str) -> bytes:
        if "SCRAM" not in self.ways(peer):
            raise InvalidRequest("cannot use SCRAM on this connection: see auth.mechanism_choices")
        if peer.is_tls and asked == "y":
            # The client could bind, and was told that we cannot: somebody in between said so (RFC 5802, 6).
            raise WrongLogin("this connection does support channel binding")
        if asked not in ("n", "y") and not (peer.is_tls and asked == BINDING):
            bindings = BINDING if peer.is_tls else "none"
            raise InvalidRequest(f"cannot bind to {asked[:60]!r} here: this connection supports {bindings}")
        return (peer.end_point or self.place.end_point) if asked == BINDING else b""

    @asynccontextmanager
    async def _noting(self, peer: Peer, claimed: str, by: str, protocol: str) -> AsyncIterator[None]:
        try:
            self._require_secrecy(peer)
            yield
        except DispatcherError as error:
            caller = Caller(claimed, Level.NOBODY, origin_of(peer), protocol)
            self._audit.login(caller, by, error)
            if isinstance(error, NotAuthenticated):
                await self._pause()
            raise

    def _require_secrecy(self, peer: Peer) -> None:
        if not peer.may_send_password:
            port = self.place.tls_port
            where = f"connect with TLS to port {port} (wss://)" if port else "connect with TLS (wss://)"
            raise Forbidden(
                f"cannot log in over a plain connection: anybody can read it; {where},"
                " or set allow_plain_login: true for this listener"
            )

    def _succeeded(self, identity: Identity, by: str) -> Identity:
        self._audit.login(identity.caller, by)
        return identity


def _number_of(text: str) -> str:
    """Say which key was claimed, and nothing of its secret."""
    number = text.partition("-")[0]
    return f"key {number}" if number.isdecimal() and len(number) < 16 else ""
