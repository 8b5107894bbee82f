"""One session of a client with a daemon behind a bridge: both halves of the login, calls, events."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
import trio

from dispatcher.bridge.channels import Channel, Encoded, Plain, Sealed
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.post import PeerOutbox
from dispatcher.bridge.sealing import ClientHalf, DaemonKey, decode_base64
from dispatcher.errors import DispatcherError, NotAuthenticated

EVENTS = 10_000  # that wait to be taken; more end the session

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class SessionEnded(DispatcherError):
    """The session is over: the daemon has left or ended it, or somebody on the way has broken it."""

    code = "session_ended"


class CallRefused(DispatcherError):
    """The daemon answered with an error; `number` is its code, such as "403"."""

    code = "refused"

    def __init__(self, number: str, sentence: str) -> None:
        super().__init__(sentence)
        self.number = number


class Session:
    """One session with a daemon. All methods raise SessionEnded once it is over."""

    def __init__(self, outbox: PeerOutbox) -> None:
        self._outbox = outbox
        self._channel: Channel = Plain()
        self._last = 0
        self._answers: dict[str, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._events: deque[tuple[str, Any]] = deque()
        self._news = trio.Event()
        self._over = ""

    async def call(self, name: str, args: object, namespace: str = "rpc") -> Any:
        """Call and give the `args` of the answer. Raises CallRefused if it is an error."""
        answer = await self._ask(name, args, namespace)
        if answer.get("name") == "error":
            told = answer.get("args")
            told = told if isinstance(told, dict) else {}
            raise CallRefused(str(told.get("code")), str(told.get("reason") or told.get("message")))
        return answer.get("args")

    async def subscribe(self, *topics: str) -> None:
        """Have events told."""
        await self.call("subscribe", list(topics), "events")

    async def event(self) -> tuple[str, Any]:
        """Give the name and the `args` of the next event."""
        while not self._events:
            self._require_open()
            await self._news.wait()
        return self._events.popleft()

    async def say(self, name: str, args: object, namespace: str = "rpc", call_id: str = "") -> None:
        """Send a call without waiting for an answer."""
        self._require_open()
        fields = {"namespace": namespace, "name": name, "id": call_id, "args": args}
        try:
            await self._outbox.put(_encoder.encode(fields), self._channel.write)
        except trio.ClosedResourceError as error:
            raise SessionEnded(self._over) from error

    async def log_in(self, key: OwnKey, daemon: DaemonKey | None) -> None:
        """Do both halves of `auth_ssl`; encrypted from the second one on if `daemon` is given."""
        half = ClientHalf(key.checksum) if daemon else None
        first: dict[str, object] = {"md5_key": key.checksum}
        if half is not None:
            first["sealing"] = half.offer
        answer = await self._login_call(first)
        if not isinstance(answer, Mapping):
            raise NotAuthenticated("cannot log in: this is no answer to the first half of auth_ssl")
        if half is not None and daemon is not None:
            agreement = await trio.to_thread.run_sync(half.agree, answer, daemon)
            self._channel = Sealed(agreement)
            signature = await trio.to_thread.run_sync(agreement.sign_as_client, key.private)
        else:
            self._channel = Encoded()
            signature = await trio.to_thread.run_sync(key.sign_text, _text_in(answer))
        await self._login_call({"encrypted_string": signature})

    def deliver(self, payload: str) -> None:
        """Take what the daemon has sent."""
        if self._over:
            return
        try:
            message = _decoder.decode(self._channel.read(payload))
            call_id, space = message.get("id"), message.get("namespace")
        except (NotAuthenticated, msgspec.MsgspecError, AttributeError) as error:
            self.end(f"the daemon's messages cannot be read any more: {error}")
            return
        if call_id in self._answers:
            self._answers.pop(call_id).send_nowait(message)
        elif space == "events" and len(self._events) < EVENTS:
            self._events.append((str(message.get("name")), message.get("args")))
            self._tell()
        elif space == "events":
            self.end(f"more than {EVENTS} events were not taken")
        elif message.get("name") == "error":
            self.end(f"the daemon has ended it: {message.get('args')}")

    def end(self, reason: str, *, must_flush: bool = False) -> None:
        """Be over; those who wait hear the reason. With `must_flush` what was said is still sent."""
        if not self._over:
            self._over = f"the session with the daemon is over: {reason}"
            if not must_flush:
                self._outbox.close()
            for waiting in self._answers.values():
                waiting.close()
            self._answers.clear()
            self._tell()

    async def _login_call(self, args: object) -> Any:
        try:
            return await self.call("auth_ssl", args)
        except CallRefused as error:
            raise NotAuthenticated(f"the daemon does not let us in: {error.sentence}") from error

    async def _ask(self, name: str, args: object, namespace: str) -> dict[str, Any]:
        self._last += 1
        call_id = str(self._last)
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._answers[call_id] = send
        try:
            await self.say(name, args, namespace, call_id)
            return await receive.receive()
        except trio.EndOfChannel:
            raise SessionEnded(self._over) from None
        finally:
            self._answers.pop(call_id, None)

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _require_open(self) -> None:
        if self._over:
            raise SessionEnded(self._over)


def _text_in(answer: Mapping[str, object]) -> str:
    value = answer.get("test_string")
    try:
        return decode_base64(value).decode("ascii") if isinstance(value, str) else ""
    except ValueError:
        return ""
