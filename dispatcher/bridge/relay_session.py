"""One peer of a bridge: what it is, whether it may be here, and what it says to whom.

Messages are taken in their order, each to its end. A client waits when the server that it speaks
to is behind; a client that is behind is closed, because a server must not wait for one of many.
"""

import logging
import secrets
import socket as hosts
import string
import uuid
from dataclasses import dataclass, field
from typing import Protocol

import trio

from dispatcher.access.challenge import Challenge
from dispatcher.access.failures import AddressRefused
from dispatcher.access.peers import origin_of
from dispatcher.api.sysadm.clocks import ClientSocket, close_without_login
from dispatcher.bridge import relay_frames as frames
from dispatcher.bridge.relay import Kind, Pairing
from dispatcher.bridge.relay_frames import Answered, Asked, Passed
from dispatcher.bridge.relay_gate import RelayGate, asks_for_challenge, named_key
from dispatcher.bridge.relay_keys import TrustedKey
from dispatcher.errors import NotAuthenticated
from dispatcher.net.http import Request
from dispatcher.net.websocket import SocketClosed, text_frame
from dispatcher.settings import Limits

LETTERS = string.ascii_letters + string.digits
TOKEN_LENGTH = 40
REFUSED_PAUSE = 0.1  # as long as a SysAdm session does not listen to who goes on guessing
VIOLATION = 1008  # RFC 6455, 7.4.1: the peer has broken a rule of ours
UNAUTHORIZED = "unauthorized"

log = logging.getLogger("dispatcher.bridge")


class PeerSocket(ClientSocket, Protocol):
    """The WebSocket of a peer."""

    def limit_outbox(self, limit_bytes: int) -> None:
        """Let so much wait for the peer from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What all sessions share: `sessions` is all of them, `present` those that have a place, by id."""

    gate: RelayGate
    limits: Limits
    token_time: float
    pairing: Pairing = field(default_factory=Pairing)
    sessions: "set[PeerSession]" = field(default_factory=set)
    present: "dict[str, PeerSession]" = field(default_factory=dict)


async def serve_peer(parts: Parts, socket: PeerSocket, request: Request) -> None:
    """Serve one peer until its socket closes."""
    session = PeerSession(parts, socket, request)
    parts.sessions.add(session)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                close_without_login, socket, lambda: session.key is None, parts.limits.login_time
            )
            nursery.start_soon(session.close_when_told)
            try:
                await session.read()
            except SocketClosed:
                await session.goodbye()
                nursery.cancel_scope.cancel()
    finally:
        parts.sessions.discard(session)
        session.leave()


class PeerSession:
    """The state of one peer; `id` is what the others call it."""

    def __init__(self, parts: Parts, socket: PeerSocket, request: Request) -> None:
        self.id = f"::{{{uuid.uuid4()}}}"
        self.key: TrustedKey | None = None
        self._parts = parts
        self._socket = socket
        self._peer = request.peer
        self._challenge = Challenge()
        self._named = ""
        self._kind: Kind | None = None
        self._sums: frozenset[str] | None = None
        self._owes_list = False
        self._must_close = trio.Event()
        self._has_closed = trio.Event()
        self._reason = ""
        socket.limit_messages(parts.limits.login_bytes)
        socket.on_drained = self._drained

    async def read(self) -> None:
        """Take message after message; SocketClosed is the only way out."""
        await self._socket.send(frames.ask_identity())
        while True:
            match frames.read(await self._socket.receive()):
                case Passed() as passed:
                    await self._pass_on(passed)
                case Answered(id=answered, args=args) if answered == frames.IDENTIFY_ID:
                    self._identify(args)
                case Answered(id=answered, args=args) if answered == frames.LIST_KEYS_ID:
                    self._list_keys(args)
                case Asked() as asked:
                    await self._answer(asked)
                case _:
                    pass  # the protocol gives all else no reply

    def leave(self) -> None:
        """Give up the place; those who saw the peer are told."""
        if self._parts.present.pop(self.id, None) is not None:
            log.info("%s has left", self)
            self._tell(self._parts.pairing.remove(self.id))

    def check_keys(self) -> None:
        """Hear that other keys are trusted now: this one's may be gone, or its owner have one more."""
        if self.key is not None and self.key not in self._parts.gate.keys.all():
            self.end("its key is trusted no longer")
        else:
            self._take_place()

    def end(self, reason: str) -> None:
        """Have the connection closed, with a reason that the peer is told; its place is free at once."""
        if not self._must_close.is_set():
            log.warning("closing %s: %s", self, reason)
            self._reason = reason
            self._must_close.set()
            self.key = None
            self.leave()

    async def close_when_told(self) -> None:
        """Close after `end`; to be run by one task."""
        await self._must_close.wait()
        await self._socket.close(VIOLATION, self._reason)
        self._has_closed.set()

    async def goodbye(self) -> None:
        """Wait until the peer was told why, if `end` was called: at most 2 s."""
        if self._must_close.is_set():
            await self._has_closed.wait()

    def __str__(self) -> str:
        nick = f" of {self.key.nick!r}" if self.key else ""
        return f"{self._kind or 'peer'} {self.id}{nick} at {origin_of(self._peer)}"

    # --- what it sees -------------------------------------------------------------------------

    def show(self) -> None:
        """Tell the peer whom it sees now, or as soon as there is room: then the newest list only."""
        visible = self._parts.pairing.visible(self.id)
        self._owes_list = not self._socket.offer(text_frame(frames.event(visible).encode()))

    def _drained(self) -> None:
        if self._owes_list:
            self.show()

    def _tell(self, ids: list[str]) -> None:
        for one in ids:
            if session := self._parts.present.get(one):
                session.show()

    # --- what it passes on --------------------------------------------------------------------

    async def _pass_on(self, passed: Passed) -> None:
        # Also nothing for nobody: who guesses ids must not learn which there are.
        if self._parts.pairing.sees(self.id, passed.to):
            await self._parts.present[passed.to].take(self.id + passed.rest)

    async def take(self, message: str) -> None:
        """Send what another peer has to say; a client that has no room for it is closed."""
        if self._kind is Kind.CLIENT:
            if self._owes_list or not self._socket.offer(text_frame(message.encode())):
                self.end("it reads too slowly: more waits for it than outbox_bytes and message_bytes allow")
            return
        try:
            if self._owes_list:
                # Before what comes from a peer that it may not know yet.
                self._owes_list = False
                await self._socket.send(frames.event(self._parts.pairing.visible(self.id)))
            await self._socket.send(message)
        except SocketClosed:
            pass  # its own reader sees it too

    # --- what it is ---------------------------------------------------------------------------

    def _identify(self, args: object) -> None:
        kind = args.get("type") if isinstance(args, dict) else None
        if self._kind is None and isinstance(kind, str) and kind in list(Kind):
            self._kind = Kind(kind)
            self._take_place()

    def _list_keys(self, args: object) -> None:
        sums = frames.read_sums(args)
        if sums is not None and self.key is not None:
            self._sums = sums
            self._take_place()

    def _take_place(self) -> None:
        """Enter, or enter anew, as soon as all is known."""
        key, kind, sums = self.key, self._kind, self._sums
        if key is None or kind is None or sums is None:
            return
        if key.only not in {None, kind}:
            self.end(f"its key is for a {key.only}, and it says that it is a {kind}")
            return
        if kind is Kind.CLIENT:
            # A client is its key's owner: with the sums of others it would be shown to their servers.
            sums &= self._parts.gate.keys.sums_of(key.nick)
        if self.id not in self._parts.present:
            self._parts.present[self.id] = self
            log.info("%s is here, with %d keys", self, len(sums))
        self._tell(self._parts.pairing.place(self.id, kind, sums))

    # --- what it asks -------------------------------------------------------------------------

    async def _answer(self, asked: Asked) -> None:
        match asked.namespace, asked.name:
            case "rpc", "identify":
                await self._reply(asked, {"hostname": hosts.gethostname(), "type": "bridge"})
            case "rpc", "auth_ssl" if asks_for_challenge(asked.args):
                self._named = named_key(asked.args)
                await self._reply(asked, {"test_string": self._challenge.issue()})
            case "rpc", "auth_ssl":
                await self._log_in(asked)
            case _:
                await self._reply(asked, None, is_error=self.key is None)

    async def _log_in(self, asked: Asked) -> None:
        was_here = self.key is not None
        try:
            key = await self._parts.gate.admit(asked.args, self._challenge.take(), self._named, self._peer)
        except NotAuthenticated as error:
            # Who goes on guessing after it is refused shall not fill the log.
            level = logging.DEBUG if isinstance(error, AddressRefused) else logging.WARNING
            log.log(level, "not letting in %s: %s", self, error.sentence)
            await self._reply(asked, UNAUTHORIZED, is_error=True)
            if was_here:
                self.end("its new login has failed")
            elif isinstance(error, AddressRefused):
                await trio.sleep(REFUSED_PAUSE)
            return
        if was_here and key != self.key:
            self.end("it has logged in with another key; connect anew for that")
            return
        self.key = key
        limits = self._parts.limits
        self._socket.limit_messages(limits.message_bytes)
        # One message of full size must not be the end of a client for which something else waits, too.
        self._socket.limit_outbox(limits.outbox_bytes + limits.message_bytes)
        token = "".join(secrets.choice(LETTERS) for _ in range(TOKEN_LENGTH))
        await self._reply(asked, [token, int(self._parts.token_time)])
        await self._socket.send(frames.ask_keys())

    async def _reply(self, asked: Asked, args: object, *, is_error: bool = False) -> None:
        await self._socket.send(frames.reply(asked, args, is_error=is_error))
