"""One SysAdm client on a WebSocket.

Logins, `identify` and subscriptions are handled in the order in which they came, each to its end
before the next message is read; all other calls run side by side, so their replies may overtake
each other. No error of a client closes its socket.
"""

import trio

from dispatcher.access.peers import caller_of, origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.tokens import Login
from dispatcher.api.sysadm import calls, codec
from dispatcher.api.sysadm.arguments import read_token, read_topics
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.logins import PROTOCOL, SecretPeer
from dispatcher.api.sysadm.parts import Parts
from dispatcher.api.sysadm.subscription import Socket, Subscription
from dispatcher.errors import DispatcherError, InvalidRequest
from dispatcher.net.http import Request
from dispatcher.net.websocket import SocketClosed, text_frame

AT_ONCE = 32  # calls of one session; reading waits while so many run


async def serve_sysadm(parts: Parts, socket: Socket, request: Request) -> None:
    """Serve one client until its socket closes."""
    async with trio.open_nursery() as nursery:
        session = SysadmSession(parts, socket, request.peer, nursery)
        try:
            await session.read()
        except SocketClosed:
            nursery.cancel_scope.cancel()
        finally:
            session.end()


class SysadmSession:
    """The state of one client: who it is, and what it listens to."""

    def __init__(self, parts: Parts, socket: Socket, peer: SecretPeer, nursery: trio.Nursery) -> None:
        self._parts = parts
        self._socket = socket
        self._peer = peer
        self._nursery = nursery
        self._slots = trio.Semaphore(AT_ONCE)
        self._subscription = Subscription(parts.feed, parts.jobs, socket, nursery)
        self._caller = caller_of(peer, parts.daemon_uid, PROTOCOL)
        self._token = ""
        self._login: Login | None = None

    async def read(self) -> None:
        """Take message after message; SocketClosed is the only way out."""
        while True:
            message = await self._socket.receive()
            try:
                call = codec.decode(message)
            except codec.Malformed as error:
                await self._socket.send(codec.encode_error(error.id, "400", error.sentence))
            else:
                await self._take(call)

    def end(self) -> None:
        """Leave everything that the session takes part in; its token lives on."""
        self._subscription.end()
        self._leave_login()

    async def _take(self, call: Call) -> None:
        if call.is_identify:
            await self._reply(call, calls.identify(self._parts.hostname()))
            return
        if call.is_auth:
            await self._authenticate(call)
            return
        if self._login is not None:
            self._parts.logins.refresh(self._token)
        if self._caller.level is Level.NOBODY:
            await self._socket.send(codec.encode_error(call.id, "401"))
        elif call.space == "events":
            await self._listen(call)
        else:
            await self._slots.acquire()
            self._nursery.start_soon(self._answer, call, self._caller)

    async def _answer(self, call: Call, caller: Caller) -> None:
        try:
            try:
                args = await calls.answer(call, caller, self._parts.jobs, self._parts.list_jobs)
            except DispatcherError as error:
                await self._refuse(call, error)
            else:
                await self._reply(call, args)
        except SocketClosed:
            pass  # the reader sees it too, and ends the session
        finally:
            self._slots.release()

    # --- events -----------------------------------------------------------------------------

    async def _listen(self, call: Call) -> None:
        try:
            await self._change_subscription(call)
        except DispatcherError as error:
            await self._refuse(call, error)

    async def _change_subscription(self, call: Call) -> None:
        if call.name not in {"subscribe", "unsubscribe"}:
            raise InvalidRequest("there is nothing such for events; there are: subscribe, unsubscribe")
        topics = read_topics(call)

        async def reply(args: dict[str, object]) -> None:
            await self._reply(call, args)

        if topics.last is None:
            await reply({})
        elif call.name == "subscribe":
            await self._subscription.subscribe(topics, self._caller, reply)
        else:
            self._subscription.end()
            await reply({"unsubscribe": topics.last})

    # --- logins -----------------------------------------------------------------------------

    async def _authenticate(self, call: Call) -> None:
        is_own = call.name == "auth_token" and self._token != "" and read_token(call.args) == self._token
        if not is_own:
            self._drop_login()
        if call.name == "auth_clear":
            await self._stop_listening()
            return  # the protocol gives it no reply
        try:
            token, login = await self._parts.logins.log_in(call, self._peer)
        except DispatcherError as error:
            self._drop_login()
            await self._stop_listening()
            # Whatever the reason: a login that did not succeed is 401 here.
            await self._socket.send(codec.encode_error(call.id, "401", error.sentence))
            return
        self._take_login(token, login)
        await self._reply(call, self._parts.logins.success(token))

    def _take_login(self, token: str, login: Login) -> None:
        if login is not self._login:
            self._leave_login()
            self._parts.logins.tokens.follow(login, self._login_ended)
        self._token, self._login = token, login
        self._caller = Caller(login.caller.name, login.caller.level, origin_of(self._peer), PROTOCOL)

    def _drop_login(self) -> None:
        """Be nobody, and end the token: also for others who log in with it."""
        token = self._token
        self._leave_login()
        if token:
            self._parts.logins.tokens.end(token)

    def _leave_login(self) -> None:
        if self._login is not None:
            self._parts.logins.tokens.unfollow(self._login, self._login_ended)
        self._login, self._token = None, ""
        self._caller = Caller("", Level.NOBODY, origin_of(self._peer), PROTOCOL)

    def _login_ended(self) -> None:
        """Hear that the login was ended elsewhere: no event may follow, and the client is told."""
        self._leave_login()
        self._subscription.end()
        self._socket.offer(text_frame(codec.encode_error("", "401").encode()))

    async def _stop_listening(self) -> None:
        if self._subscription.is_active:
            self._subscription.end()
            await self._socket.send(codec.encode_error("", "401"))

    # --- answers ----------------------------------------------------------------------------

    async def _reply(self, call: Call, args: object) -> None:
        await self._socket.send(codec.encode_reply(call, args))

    async def _refuse(self, call: Call, error: DispatcherError) -> None:
        await self._socket.send(codec.encode_error(call.id, codec.code_of(error), error.sentence))
