"""The client's end of a bridge, for programs that speak with daemons they cannot reach themselves.

A session is encrypted between this end and the daemon, whose key must be known; the bridge then sees
who speaks with whom, when, and how much. `open_session` is for daemons that know no encryption.
"""

import contextlib
from collections.abc import AsyncIterator, Callable

import trio
import trio_websocket

from dispatcher.bridge.bridge_words import KEYS_ID, Heard, Mail, ask_login, read, reply, reply_keys
from dispatcher.bridge.client_session import CallRefused, Session, SessionEnded
from dispatcher.bridge.dialing import BridgeUnreachable, dialled
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.post import Post
from dispatcher.bridge.sealing import DaemonKey
from dispatcher.errors import NotAuthenticated, Refused

__all__ = ["BridgeClient", "BridgeUnreachable", "CallRefused", "Session", "SessionEnded", "open_bridge"]

MESSAGE_BYTES = 8 * 1024 * 1024
OUTBOX_BYTES = 4 * 1024 * 1024
LOGIN_SECONDS = 30.0
SEND_SECONDS = 30.0


@contextlib.asynccontextmanager
async def open_bridge(
    url: str, key: OwnKey, *, hostname: str = "client", fingerprint: str = ""
) -> "AsyncIterator[BridgeClient]":
    """Connect to a bridge with a key that it trusts; `fingerprint` pins its certificate (SHA-256, hex).

    Raises BridgeUnreachable, and NotAuthenticated if the bridge does not let this key in.
    """
    async with dialled(url, fingerprint, MESSAGE_BYTES, SEND_SECONDS) as socket:
        bridge = BridgeClient(socket, key, hostname)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run_post)
            nursery.start_soon(bridge.read)
            with trio.fail_after(LOGIN_SECONDS):
                await bridge.log_in()
            yield bridge
            nursery.cancel_scope.cancel()


class BridgeClient:
    """One connection to a bridge."""

    def __init__(self, socket: trio_websocket.WebSocketConnection, key: OwnKey, hostname: str) -> None:
        self.key = key
        self.present: frozenset[str] = frozenset()
        self._socket = socket
        self._hostname = hostname
        self._post = Post(OUTBOX_BYTES)
        self._own = self._post.outbox("")
        self._sessions: dict[str, Session] = {}
        self._logins, self._login_answers = trio.open_memory_channel[Heard](4)
        self._is_over = False
        self._change = trio.Event()

    async def wait_for_daemons(self, is_enough: Callable[[frozenset[str]], bool] = bool) -> frozenset[str]:
        """Wait until enough daemons are there, by default one; give their ids."""
        while not is_enough(self.present):
            if self._is_over:
                raise SessionEnded("the bridge has closed the connection; connect again")
            await self._change.wait()
        return self.present

    def sealed_session(
        self, daemon: str, daemon_key: str
    ) -> contextlib.AbstractAsyncContextManager["Session"]:
        """Log in to a daemon, in a session that the bridge cannot read.

        `daemon_key` is its bridge.pub, or the SHA-256 of that. Raises NotAuthenticated, SessionEnded.
        """
        return self._session(daemon, DaemonKey(daemon_key))

    def open_session(self, daemon: str) -> contextlib.AbstractAsyncContextManager["Session"]:
        """Log in to a daemon, in a session that whoever runs the bridge can read and use."""
        return self._session(daemon, None)

    @contextlib.asynccontextmanager
    async def _session(self, daemon: str, daemon_key: DaemonKey | None) -> "AsyncIterator[Session]":
        if daemon not in self.present:
            raise SessionEnded("there is no such daemon at this bridge now; see `present`")
        if daemon in self._sessions:
            raise Refused("cannot begin a second session with a daemon; end the first one, or connect anew")
        session = Session(self._post.outbox(daemon))
        self._sessions[daemon] = session
        try:
            await session.log_in(self.key, daemon_key)
            yield session
            with contextlib.suppress(SessionEnded):
                await session.say("auth_clear", "")
        finally:
            del self._sessions[daemon]
            session.end("it was ended here", must_flush=True)

    # --- the connection -----------------------------------------------------------------------

    async def log_in(self) -> None:
        """Prove to the bridge that we have our key. Raises NotAuthenticated."""
        try:
            self._say(ask_login(""))
            heard = await self._login_answers.receive()
            text = heard.args.get("test_string") if isinstance(heard.args, dict) else None
            signature = await trio.to_thread.run_sync(self.key.sign_text, text)
            self._say(ask_login({"encrypted_string": signature}))
            heard = await self._login_answers.receive()
        except trio.EndOfChannel:
            raise NotAuthenticated(
                "the bridge has closed the connection; look whether it refuses us"
            ) from None
        if heard.is_error or not isinstance(heard.args, list):
            raise NotAuthenticated("the bridge does not let us in; import our public key there")

    async def run_post(self) -> None:
        """Send what is to be sent."""
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await self._post.run(self._socket.send_message)

    async def read(self) -> None:
        """Take what comes, until the connection ends; then all sessions have ended, too."""
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                self._take(read(await self._socket.get_message()))
        self._is_over = True
        self._logins.close()
        self._note_present(frozenset())

    def _take(self, heard: Heard | Mail | None) -> None:
        match heard:
            case Mail(peer=peer, payload=payload) if peer in self._sessions:
                self._sessions[peer].deliver(payload)
            case Heard(present=tuple() as present):
                self._note_present(frozenset(present))
            case Heard(asks="identify"):
                self._say(reply(heard, {"hostname": self._hostname, "type": "client"}))
            case Heard(asks="list_ssl_checksums", id=asked) if asked == KEYS_ID:
                self._say(reply_keys([self.key.checksum]))
            case Heard(is_login=True):
                with contextlib.suppress(trio.WouldBlock):
                    self._logins.send_nowait(heard)
            case _:
                pass

    def _say(self, text: str) -> None:
        self._own.offer(text.encode(), bytes.decode)

    def _note_present(self, present: frozenset[str]) -> None:
        self.present = present
        for peer, session in self._sessions.items():
            if peer not in present:
                session.end("the daemon has left the bridge")
        self._change.set()
        self._change = trio.Event()
