"""One SysAdm client, on a WebSocket of its own or relayed by a bridge.

Logins, `identify` and subscriptions are handled in the order in which they came, each to its end
before the next message is read; all other calls run side by side, so their replies may overtake
each other. No error of a client closes its socket.
"""

from functools import partial

import trio

from dispatcher.access.failures import AddressRefused
from dispatcher.access.peers import origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.tokens import Login
from dispatcher.api.sysadm import calls, codec
from dispatcher.api.sysadm.arguments import read_token, read_topics
from dispatcher.api.sysadm.clocks import ClientSocket, SessionSocket, close_when_idle, close_without_login
from dispatcher.api.sysadm.codec import Call
from dispatcher.api.sysadm.entrance import DirectEntrance, Entrance
from dispatcher.api.sysadm.login_notes import note_login, note_logout, note_refusal
from dispatcher.api.sysadm.logins import PROTOCOL, asks_for_challenge
from dispatcher.api.sysadm.parts import Parts
from dispatcher.api.sysadm.subscription import Subscription
from dispatcher.api.sysadm.topic_subscription import SharedSocket, TopicSubscription
from dispatcher.errors import DispatcherError, InvalidRequest
from dispatcher.net.http import Request
from dispatcher.net.websocket import SocketClosed, text_frame

AT_ONCE = 32  # calls of one session; reading waits while so many run
# Who goes on guessing after all is refused is answered at once, but not listened to for this long.
REFUSED_PAUSE = 0.1


async def serve_sysadm(parts: Parts, socket: ClientSocket, request: Request) -> None:
    """Serve one client until its socket closes."""
    async with trio.open_nursery() as nursery:
        entrance = DirectEntrance(parts.logins, request, parts.daemon_uid)
        session = SysadmSession(parts, socket, entrance, nursery)
        limits = parts.limits
        nursery.start_soon(close_without_login, socket, lambda: session.is_nobody, limits.login_time)
        nursery.start_soon(close_when_idle, socket, limits.idle_time, session.note_idle)
        try:
            await session.read()
        except SocketClosed:
            nursery.cancel_scope.cancel()
        finally:
            session.end()


class SysadmSession:
    """The state of one client: who it is, and what it listens to."""

    def __init__(
        self, parts: Parts, socket: SessionSocket, entrance: Entrance, nursery: trio.Nursery
    ) -> None:
        self._parts = parts
        self._socket = socket
        self._entrance = entrance
        self._nursery = nursery
        self._slots = trio.Semaphore(AT_ONCE)
        shared = SharedSocket(socket)
        self._subscription = Subscription(parts.feed, parts.jobs, shared.part(), nursery)
        self._topics = TopicSubscription(parts.topics, shared.part(), parts.event_names, entrance.page)
        self._caller = entrance.stranger()
        self._token = ""
        self._login: Login | None = None
        self._was_in = False  # whether anybody has logged in here
        self._limit_messages()

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

    @property
    def is_nobody(self) -> bool:
        """Whether nobody is logged in."""
        return self._caller.level is Level.NOBODY

    @property
    def _origin(self) -> str:
        return origin_of(self._entrance.peer)

    def note_idle(self) -> None:
        """Note that the client has been silent for too long and is left."""
        self._parts.audit.idle(self._caller)

    def end(self) -> None:
        """Leave everything that the session takes part in; its token lives on."""
        self._end_events()
        self._leave_login()

    async def _take(self, call: Call) -> None:
        self._topics.note_id(call.id)
        if call.is_identify:
            await self._reply(call, calls.identify(self._parts.hostname()))
            return
        if call.is_auth:
            await self._authenticate(call)
            return
        if self._login is not None:
            await self._parts.logins.refresh(self._token)
        if self.is_nobody:
            await self._socket.send(codec.encode_error(call.id, "401"))
        elif call.space == "events":
            await self._listen(call)
        else:
            await self._slots.acquire()
            self._nursery.start_soon(self._answer, call, self._caller)

    async def _answer(self, call: Call, caller: Caller) -> None:
        try:
            try:
                parts = self._parts
                args = await calls.answer(
                    call, caller, parts.jobs, parts.limits.list_jobs, parts.subsystems, classes=parts.classes
                )
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
            for topic in topics.others:
                await self._topics.join(topic)
            if topics.with_jobs:
                await self._subscription.subscribe(topics, self._caller, reply)
            else:
                await reply({"subscribe": topics.last})
        else:
            for topic in topics.others:
                self._topics.leave(topic)
            if topics.with_jobs:
                self._subscription.end()
            await reply({"unsubscribe": topics.last})

    # --- logins -----------------------------------------------------------------------------

    async def _authenticate(self, call: Call) -> None:
        is_own = call.name == "auth_token" and self._token != "" and read_token(call.args) == self._token
        if call.name == "auth_clear":
            note_logout(self._parts.audit, self._caller)
        if not is_own:
            self._drop_login()
        if call.name == "auth_clear":
            await self._stop_listening()
            return  # the protocol gives it no reply
        if asks_for_challenge(call):
            self._drop_login()
            await self._stop_listening()
        try:
            if asks_for_challenge(call):
                await self._entrance.challenge(call, partial(self._reply, call))
                return
            token, login = await self._entrance.log_in(call)
        except DispatcherError as error:
            note_refusal(self._parts.audit, call, self._entrance.peer, error)
            self._drop_login()
            await self._stop_listening()
            # Whatever the reason: a login that did not succeed is 401 here.
            await self._socket.send(codec.encode_error(call.id, "401", error.sentence))
            if isinstance(error, AddressRefused):
                await trio.sleep(REFUSED_PAUSE)
            return
        self._take_login(token, login)
        note_login(self._parts.audit, call, self._caller, is_first=not self._was_in)
        self._was_in = True
        await self._reply(call, self._parts.logins.success(token))

    def _take_login(self, token: str, login: Login) -> None:
        if login is not self._login:
            self._leave_login()
            self._parts.logins.tokens.follow(login, self._login_ended)
        self._token, self._login = token, login
        self._caller = Caller(login.caller.name, login.caller.level, self._origin, PROTOCOL)
        self._limit_messages()

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
        self._caller = Caller("", Level.NOBODY, self._origin, PROTOCOL)
        self._limit_messages()

    def _limit_messages(self) -> None:
        limits = self._parts.limits
        self._socket.limit_messages(limits.login_bytes if self.is_nobody else limits.message_bytes)

    def _login_ended(self) -> None:
        """Hear that the login was ended elsewhere: no event may follow, and the client is told."""
        self._leave_login()
        self._end_events()
        self._socket.offer(text_frame(codec.encode_error("", "401").encode()))

    async def _stop_listening(self) -> None:
        if self._subscription.is_active or self._topics.is_active:
            self._end_events()
            await self._socket.send(codec.encode_error("", "401"))

    def _end_events(self) -> None:
        self._subscription.end()
        self._topics.end()

    # --- answers ----------------------------------------------------------------------------

    async def _reply(self, call: Call, args: object) -> None:
        await self._socket.send(codec.encode_reply(call, args))

    async def _refuse(self, call: Call, error: DispatcherError) -> None:
        await self._socket.send(codec.encode_error(call.id, codec.code_of(error), error.sentence))
