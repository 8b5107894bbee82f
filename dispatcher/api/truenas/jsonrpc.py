"""The envelope of JSON-RPC 2.0 and its errors, as TrueNAS clients know them: text in, call out.

Pure: nothing here waits. The rules are those of the specification with three exceptions that those
clients expect: `params` is a list (or null), batches are refused, and an error's `data` has always
the same keys. An id is any JSON string, number or null and goes back as it came, character by
character. Error numbers are Linux's on every system, because clients compare them with literals.
"""

import re
from enum import IntEnum

import msgspec

from dispatcher.core.model import Value
from dispatcher.errors import DispatcherError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TOO_MANY_CALLS = -32000
CALL_FAILED = -32001

_NULL = b"null"
_ID = re.compile(rb'["\-0-9]|null')


class Errno(IntEnum):
    """Error numbers on this wire; FreeBSD's own differ from some of them."""

    ENOENT = 2
    EIO = 5
    EACCES = 13
    EFAULT = 14
    EBUSY = 16
    EINVAL = 22
    ENOTAUTHENTICATED = 207


_ERRNO_OF = {
    "invalid": Errno.EINVAL,
    "not_found": Errno.ENOENT,
    "refused": Errno.EBUSY,
    "not_authenticated": Errno.ENOTAUTHENTICATED,
    "forbidden": Errno.EACCES,
    "store_failed": Errno.EIO,
    "settings": Errno.EINVAL,
}


class Call(Value, frozen=True):
    """One request. `id` is the JSON text of its id; None for a notification, which gets no reply."""

    method: str
    params: list[object]
    id: bytes | None


class Mistake(Value, frozen=True, array_like=True):
    """What is wrong with one parameter; the parameter is None if it is about the whole call."""

    parameter: str | None
    sentence: str
    error: int = Errno.EINVAL


class ErrorData(Value, frozen=True):
    """The `data` of an error; clients read every key without asking whether it is there."""

    error: int
    errname: str
    reason: str
    trace: None = None
    extra: tuple[Mistake, ...] = ()
    py_exception: str = ""


class Problem(Exception):
    """A call that gets an error for its answer; `call_id` is set when the envelope itself was wrong."""

    def __init__(
        self, code: int, message: str, data: ErrorData | None = None, call_id: bytes | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.call_id = call_id


class _Envelope(msgspec.Struct):
    jsonrpc: object = None
    method: object = None
    params: object = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Error(msgspec.Struct, omit_defaults=True):
    code: int
    message: str
    data: ErrorData | None = None


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
    if call_id is not None and not _ID.match(call_id):
        raise Problem(INVALID_REQUEST, "'id' must be a string, a number or null", call_id=_NULL)
    params = [] if envelope.params is None else envelope.params
    if envelope.jsonrpc != "2.0":
        raise Problem(INVALID_REQUEST, "'jsonrpc' must be \"2.0\"", call_id=call_id)
    if not isinstance(envelope.method, str) or not envelope.method:
        raise Problem(INVALID_REQUEST, "'method' must be a string that is not empty", call_id=call_id)
    if not isinstance(params, list):
        raise Problem(INVALID_REQUEST, "'params' must be a list", call_id=call_id)
    return Call(envelope.method, params, call_id)


def result(call_id: bytes, value: object) -> bytes:
    """Encode the answer of a call; an error in its place if the value cannot be written as JSON."""
    try:
        encoded = _encoder.encode(value)
    except (TypeError, ValueError) as error:
        sentence = "Failed to JSON serialize server message"
        return failure(call_id, Problem(INTERNAL_ERROR, sentence, _data(Errno.EINVAL, str(error))))
    return b'{"jsonrpc":"2.0","id":' + call_id + b',"result":' + encoded + b"}"


def failure(call_id: bytes, problem: Problem) -> bytes:
    """Encode the error that a call gets."""
    encoded = _encoder.encode(_Error(problem.code, problem.message, problem.data))
    return b'{"jsonrpc":"2.0","id":' + call_id + b',"error":' + encoded + b"}"


def notification(method: str, params: object) -> bytes:
    """Encode a message that asks for no answer."""
    encoded = _encoder.encode(params)
    return b'{"jsonrpc":"2.0","method":' + _encoder.encode(method) + b',"params":' + encoded + b"}"


def problem_of(error: DispatcherError) -> Problem:
    """Turn an error of the house into the one on the wire."""
    number = _ERRNO_OF.get(error.code, Errno.EFAULT)
    if error.code == "invalid":
        data = _data(number, error.sentence, (Mistake(None, error.sentence),))
        return Problem(INVALID_PARAMS, "Invalid params", data)
    # Clients look for these very words to know that they must log in again.
    sentence = "Not authenticated" if number is Errno.ENOTAUTHENTICATED else error.sentence
    return Problem(CALL_FAILED, "method call error", _data(number, sentence))


def unexpected() -> Problem:
    """Answer for a fault of ours; what it was stands in the log only."""
    sentence = "the dispatcher made a mistake here; its log says more"
    return Problem(CALL_FAILED, "method call error", _data(Errno.EINVAL, sentence))


def invalid_params(mistakes: tuple[Mistake, ...]) -> Problem:
    """Report everything that is wrong with the parameters of a call at once."""
    lines = "".join(f"[{Errno(one.error).name}] {one.parameter}: {one.sentence}\n" for one in mistakes)
    data = ErrorData(Errno.EINVAL, Errno.EINVAL.name, lines, extra=mistakes)
    return Problem(INVALID_PARAMS, "Invalid params", data)


def _data(number: Errno, sentence: str, mistakes: tuple[Mistake, ...] = ()) -> ErrorData:
    return ErrorData(number, number.name, f"[{number.name}] {sentence}", extra=mistakes)
