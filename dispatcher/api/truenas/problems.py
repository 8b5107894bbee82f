"""The errors that TrueNAS clients know: codes, error numbers, and the object that explains one. Pure.

The numbers are Linux's on every system, because clients compare them with literals. Clients read
every key of an error's `data` without asking whether it is there.
"""

from collections.abc import Sequence
from enum import IntEnum
from traceback import FrameSummary

import msgspec

from dispatcher.access.roles import NoGroup
from dispatcher.core.model import Value
from dispatcher.errors import DispatcherError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
TOO_MANY_CALLS = -32000
CALL_FAILED = -32001

CALL_ERROR = "CallError"
VALIDATION = "ValidationErrors"


class Errno(IntEnum):
    """Error numbers on this wire; FreeBSD's own differ from some of them. From 201 on: TrueNAS's."""

    EPERM = 1
    ENOENT = 2
    EIO = 5
    EAGAIN = 11
    EACCES = 13
    EFAULT = 14
    EBUSY = 16
    EINVAL = 22
    EPIPE = 32
    ECONNABORTED = 103
    ETOOMANYREFS = 109
    ETIMEDOUT = 110
    ECANCELED = 125
    ENOMETHOD = 201
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


class Mistake(Value, frozen=True, array_like=True):
    """What is wrong with one parameter; the parameter is None if it is about the whole call."""

    parameter: str | None
    sentence: str
    error: int = Errno.EINVAL


class Frame(Value, frozen=True):
    """One step of a traceback; never with the values of arguments."""

    filename: str
    lineno: int
    method: str
    line: str


class Trace(Value, frozen=True, rename={"kind": "class"}):
    """Where an error came from; `frames` only for those with full access."""

    kind: str
    frames: tuple[Frame, ...]
    formatted: str
    repr: str


class ErrorData(Value, frozen=True):
    """The `data` of an error. `py_exception` is left out for a client that would unpickle it."""

    error: int
    errname: str
    reason: str
    trace: Trace | None = None
    extra: tuple[Mistake, ...] = ()
    py_exception: str | msgspec.UnsetType = ""


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


def call_error(
    number: Errno, sentence: str, *, kind: str = CALL_ERROR, frames: Sequence[Frame] = ()
) -> Problem:
    """Report a call that failed, as `[EBUSY] sentence`."""
    return Problem(CALL_FAILED, "method call error", _data(number, sentence, kind=kind, frames=frames))


def failed(number: int, reason: str, kind: str = CALL_ERROR) -> Problem:
    """Report a call whose job failed, in the words that are kept with the job."""
    trace = _trace(kind, reason)
    data = ErrorData(number, name_of(number), reason, trace, (), _repr(kind, reason))
    return Problem(CALL_FAILED, "method call error", data)


def not_found(sentence: str) -> Problem:
    """Report that what a call names does not exist."""
    return invalid_params((Mistake(None, sentence, Errno.ENOENT),))


def no_match() -> Problem:
    """Report that `get` found nothing: clients look for these very words."""
    reason = "MatchNotFound()"
    trace = Trace("MatchNotFound", (), reason, reason)
    return Problem(
        CALL_FAILED,
        "method call error",
        ErrorData(Errno.EINVAL, Errno.EINVAL.name, reason, trace, py_exception=reason),
    )


def problem_of(error: DispatcherError) -> Problem:
    """Turn an error of the house into the one on the wire."""
    number = _ERRNO_OF.get(error.code, Errno.EFAULT)
    if error.code == "invalid":
        return invalid_params((Mistake(None, error.sentence),))
    # Clients look for these very words to know that they must log in again.
    sentence = "Not authenticated" if number is Errno.ENOTAUTHENTICATED else error.sentence
    problem = call_error(number, sentence)
    if isinstance(error, NoGroup) and problem.data is not None:
        hint = (Mistake(None, error.sentence, number),)
        problem.data = msgspec.structs.replace(problem.data, extra=hint)
    return problem


def unexpected(kind: str = "Exception", steps: Sequence[FrameSummary] = ()) -> Problem:
    """Answer for a fault of ours; what it was stands in the log only."""
    sentence = "the dispatcher made a mistake here; its log says more"
    frames = tuple(Frame(one.filename, one.lineno or 0, one.name, one.line or "") for one in steps)
    return call_error(Errno.EINVAL, sentence, kind=kind, frames=frames)


def invalid_params(mistakes: tuple[Mistake, ...]) -> Problem:
    """Report everything that is wrong with the parameters of a call at once."""
    lines = "".join(f"[{name_of(one.error)}] {one.parameter or ''}: {one.sentence}\n" for one in mistakes)
    data = ErrorData(
        Errno.EINVAL,
        Errno.EINVAL.name,
        lines,
        _trace(VALIDATION, lines.strip()),
        mistakes,
        _repr(VALIDATION, lines),
    )
    return Problem(INVALID_PARAMS, "Invalid params", data)


def not_encoded(sentence: str) -> ErrorData:
    """Explain an answer that could not be written as JSON."""
    return _data(Errno.EINVAL, sentence, kind="TypeError")


def name_of(number: int) -> str:
    """Give the name of an error number."""
    try:
        return Errno(number).name
    except ValueError:
        return "EUNKNOWN"


def seen_by(data: ErrorData, *, has_full_access: bool, unpickles: bool) -> ErrorData:
    """Leave out of an error what this client may not see or would choke on."""
    changes: dict[str, object] = {}
    if not has_full_access and data.trace is not None and data.trace.frames:
        changes["trace"] = msgspec.structs.replace(data.trace, frames=())
    if unpickles:
        changes["py_exception"] = msgspec.UNSET
    return msgspec.structs.replace(data, **changes) if changes else data


def _data(
    number: Errno,
    sentence: str,
    mistakes: tuple[Mistake, ...] = (),
    *,
    kind: str,
    frames: Sequence[Frame] = (),
) -> ErrorData:
    reason = f"[{number.name}] {sentence}"
    return ErrorData(number, number.name, reason, _trace(kind, reason, frames), mistakes, _repr(kind, reason))


def _trace(kind: str, reason: str, frames: Sequence[Frame] = ()) -> Trace:
    return Trace(kind, tuple(frames), f"{kind}: {reason}\n", _repr(kind, reason))


def _repr(kind: str, reason: str) -> str:
    return f"{kind}({reason.strip()!r})"
