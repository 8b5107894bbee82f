"""The older protocol of TrueNAS, on `/websocket`: every message is an object with `msg`. Pure."""

from collections.abc import Mapping

import msgspec

from dispatcher.api.truenas.dialect import Answer, Broken, Call
from dispatcher.api.truenas.problems import (
    INVALID_PARAMS,
    TOO_MANY_CALLS,
    UNKNOWN_METHOD,
    Errno,
    ErrorData,
    Mistake,
    Problem,
    Trace,
    call_error,
    invalid_params,
    name_of,
    seen_by,
)
from dispatcher.api.truenas.wrapped import is_harmful

VERSION = "1"
SUBSCRIBE = "core.subscribe"
UNSUBSCRIBE = "core.unsubscribe"

_encode = msgspec.json.encode


class _Message(msgspec.Struct):
    msg: object = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: object = msgspec.UNSET
    params: object = None
    name: object = None
    version: object = None


class _Error(msgspec.Struct):
    error: int
    errname: str
    type: str | None
    reason: str
    trace: Trace | None
    extra: tuple[Mistake, ...]
    py_exception: str | msgspec.UnsetType


_decoder = msgspec.json.Decoder(_Message)


class Legacy:
    """The dialect of one connection; `session_id` is told to the client that connects."""

    is_legacy = True

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._is_connected = False

    def read(self, text: str) -> Call:
        """Read one message. Raises Problem, Answer or Broken."""
        try:
            message = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Broken(1007, f"not a JSON object: {error}"[:120]) from None
        if message.msg is None:
            raise Broken(1011, "a message has no 'msg'")
        call_id = None if isinstance(message.id, msgspec.UnsetType) else bytes(message.id)
        if message.msg == "connect":
            raise Answer(self._connect(message.version))
        if not self._is_connected:
            raise Answer(_FAILED)
        match message.msg:
            case "ping":
                raise Answer(_object({"msg": "pong"} | ({} if call_id is None else {"id": message.id})))
            case "method":
                return _method(message, call_id or b"null")
            case "sub":
                return Call(SUBSCRIBE, [message.name], call_id or b"null", text_of(call_id))
            case "unsub":
                return Call(UNSUBSCRIBE, [text_of(call_id)], None)
            case _:
                known = "connect, method, sub, unsub, ping"
                raise Answer(_object({"msg": "error", "reason": f"unknown 'msg'; known are: {known}"}))

    def result(self, call: Call, value: object) -> bytes:
        """Write the answer of a call."""
        call_id = call.id or b"null"
        if call.subscription is not None:
            return b'{"msg":"ready","subs":[' + call_id + b"]}"
        try:
            encoded = _encode(value)
        except (TypeError, ValueError) as error:
            problem = call_error(Errno.EINVAL, f"cannot write the answer as JSON: {error}")
            return self.failure(call_id, problem, has_full_access=False, unpickles=False)
        return b'{"msg":"result","id":' + call_id + b',"result":' + encoded + b"}"

    def failure(self, call_id: bytes, problem: Problem, *, has_full_access: bool, unpickles: bool) -> bytes:
        """Write the error that a call gets."""
        error = _error(problem, has_full_access=has_full_access, unpickles=unpickles)
        return b'{"msg":"result","id":' + call_id + b',"error":' + _encode(error) + b"}"

    def unsubscribed(self, collection: str, problem: Problem) -> bytes:
        """Write that the server has ended a subscription."""
        error = _error(problem, has_full_access=False, unpickles=False)
        return _object({"msg": "nosub", "collection": collection, "error": error})

    def _connect(self, version: object) -> bytes:
        if version != VERSION:
            return _FAILED
        self._is_connected = True
        return _object({"msg": "connected", "session": self._session_id})


def text_of(call_id: bytes | None) -> str:
    """Give an id as text, by which a subscription is found again: its JSON."""
    return "null" if call_id is None else call_id.decode()


def _method(message: _Message, call_id: bytes) -> Call:
    params = [] if message.params is None else message.params
    if message.method is msgspec.UNSET:
        raise _malformed("Message is malformed: 'method' is absent.", call_id)
    if not isinstance(message.method, str) or not message.method:
        raise _malformed("Message is malformed: 'method' is no name.", call_id)
    if not isinstance(params, list):
        raise _malformed("`params` must be a list.", call_id)
    if is_harmful(params):
        raise _malformed("a wrapped value such as $date cannot be unwrapped", call_id)
    return Call(message.method, params, call_id)


def _malformed(sentence: str, call_id: bytes) -> Problem:
    problem = invalid_params((Mistake(None, sentence),))
    problem.call_id = call_id
    return problem


def _error(problem: Problem, *, has_full_access: bool, unpickles: bool) -> _Error:
    data = _data(problem)
    is_validation = problem.code == INVALID_PARAMS
    number = data.error
    if is_validation and data.extra:
        number = data.extra[0].error if len(data.extra) == 1 else Errno.EAGAIN
    data = seen_by(data, has_full_access=has_full_access, unpickles=unpickles)
    return _Error(
        number,
        name_of(number),
        "VALIDATION" if is_validation else None,
        data.reason,
        data.trace,
        data.extra,
        data.py_exception,
    )


def _data(problem: Problem) -> ErrorData:
    """Give the data of an error, which JSON-RPC leaves out where its code says enough."""
    if problem.data is not None:
        return problem.data
    number = {UNKNOWN_METHOD: Errno.ENOMETHOD, TOO_MANY_CALLS: Errno.ETOOMANYREFS}.get(
        problem.code, Errno.EINVAL
    )
    explained = call_error(number, problem.message).data
    if explained is None:
        raise AssertionError(problem)
    return explained


def _object(value: Mapping[str, object]) -> bytes:
    return _encode(value)


_FAILED = _object({"msg": "failed", "version": VERSION})
