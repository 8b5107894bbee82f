"""The envelope of JSON-RPC 2.0 as TrueNAS clients know it: text in, call out. Pure.

The rules are those of the specification with three exceptions that those clients expect: `params` is
a list (or null), batches are refused, and an error's `data` has always the same keys. An id is any
JSON string, number or null and goes back as it came, character by character.
"""

import msgspec

from dispatcher.api.truenas.dialect import Call
from dispatcher.api.truenas.problems import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    Problem,
    not_encoded,
    seen_by,
)
from dispatcher.api.truenas.wrapped import is_harmful

LONGEST_ID = 256  # bytes; the id of a call that makes a job is told to every client

_NULL = b"null"


class _Envelope(msgspec.Struct):
    jsonrpc: object = None
    method: object = None
    params: object = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Error(msgspec.Struct, omit_defaults=True):
    code: int
    message: str
    data: ErrorData | None = None


class _Unsubscribed(msgspec.Struct):
    collection: str
    error: ErrorData | None


_decoder = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder()


def read(text: str | bytes) -> Call:
    """Read one message. Raises Problem; nothing is to be answered if its call_id is None."""
    try:
        envelope = _decoder.decode(text)
    except msgspec.ValidationError:
        kind = text.lstrip()[:1]
        sentence = (
            "Batch messages are not supported at this time"
            if kind in ("[", b"[")
            else "Invalid Message Format"
        )
        raise Problem(PARSE_ERROR, sentence, call_id=_NULL) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Problem(PARSE_ERROR, str(error), call_id=_NULL) from None
    except RecursionError:
        raise Problem(PARSE_ERROR, "JSON is nested too deeply", call_id=_NULL) from None
    call_id = None if isinstance(envelope.id, msgspec.UnsetType) else bytes(envelope.id)
    if call_id is not None and not _is_id(call_id):
        sentence = f"'id' must be a string, a number or null, of at most {LONGEST_ID} bytes"
        raise Problem(INVALID_REQUEST, sentence, call_id=_NULL)
    params = [] if envelope.params is None else envelope.params
    if envelope.jsonrpc != "2.0":
        raise Problem(INVALID_REQUEST, "'jsonrpc' must be \"2.0\"", call_id=call_id)
    if not isinstance(envelope.method, str) or not envelope.method:
        raise Problem(INVALID_REQUEST, "'method' must be a string that is not empty", call_id=call_id)
    if not isinstance(params, list):
        raise Problem(INVALID_REQUEST, "'params' must be a list", call_id=call_id)
    if is_harmful(params):
        # What a job is given is told to every client, and one that cannot read it would lose the message.
        raise Problem(PARSE_ERROR, "a wrapped value such as $date cannot be unwrapped", call_id=_NULL)
    return Call(envelope.method, params, call_id)


def _is_id(call_id: bytes) -> bool:
    if len(call_id) > LONGEST_ID:
        return False
    try:
        # It is kept as it came, unread until now: half of a surrogate pair, or 1e999, is no value.
        return isinstance(msgspec.json.decode(call_id), str | int | float | None) and call_id[:1] not in b"tf"
    except msgspec.DecodeError:
        return False


def result(call_id: bytes, value: object) -> bytes:
    """Encode the answer of a call; an error in its place if the value cannot be written as JSON."""
    try:
        encoded = _encoder.encode(value)
    except (TypeError, ValueError) as error:
        sentence = "Failed to JSON serialize server message"
        return failure(call_id, Problem(INTERNAL_ERROR, sentence, not_encoded(str(error))))
    return b'{"jsonrpc":"2.0","id":' + call_id + b',"result":' + encoded + b"}"


def failure(call_id: bytes, problem: Problem) -> bytes:
    """Encode the error that a call gets."""
    encoded = _encoder.encode(_Error(problem.code, problem.message, problem.data))
    return b'{"jsonrpc":"2.0","id":' + call_id + b',"error":' + encoded + b"}"


def notification(method: str, params: object) -> bytes:
    """Encode a message that asks for no answer."""
    encoded = _encoder.encode(params)
    return b'{"jsonrpc":"2.0","method":' + _encoder.encode(method) + b',"params":' + encoded + b"}"


class JsonRpc:
    """The dialect of `/api/current`."""

    is_legacy = False

    def read(self, text: str) -> Call:
        """Read one message. Raises Problem."""
        return read(text)

    def result(self, call: Call, value: object) -> bytes:
        """Write the answer of a call that has an id."""
        return result(call.id or _NULL, value)

    def failure(self, call_id: bytes, problem: Problem, *, has_full_access: bool, unpickles: bool) -> bytes:
        """Write the error that a call gets."""
        if problem.data is not None:
            data = seen_by(problem.data, has_full_access=has_full_access, unpickles=unpickles)
            problem = Problem(problem.code, problem.message, data)
        return failure(call_id, problem)

    def unsubscribed(self, collection: str, problem: Problem) -> bytes:
        """Write that the server has ended a subscription."""
        return notification("notify_unsubscribed", _Unsubscribed(collection, problem.data))
