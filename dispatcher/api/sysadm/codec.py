"""SysAdm's envelope: text in, call out; reply, error or event in, text out. Pure.

A call is `{"namespace", "name", "id", "args"}`. Namespace and the names of subsystems are compared
without regard to case; `identify`, `auth...`, `subscribe` and `unsubscribe` are not. An error says
"error" in `name` and in `namespace`, because clients read either; its codes are strings.
"""

import msgspec

from dispatcher.core.model import Value
from dispatcher.errors import (
    DispatcherError,
    Forbidden,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    Refused,
)

MESSAGES = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "500": "Internal Server Error",
}
_CODES: tuple[tuple[type[DispatcherError], str], ...] = (
    (InvalidRequest, "400"),
    (Refused, "400"),
    (NotAuthenticated, "401"),
    (Forbidden, "403"),
    (NotFound, "404"),
)
# Keys are sorted, as the original's are; no client needs that, but answers become comparable.
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


class Malformed(InvalidRequest):
    """A message that is no call; `id` is its id as far as it could be read."""

    def __init__(self, sentence: str, call_id: str = "") -> None:
        super().__init__(sentence)
        self.id = call_id


class Call(Value, frozen=True):
    """One request. Without `args` the whole object stands for them (`has_args` False)."""

    namespace: str
    name: str
    id: str
    args: object
    has_args: bool = True

    @property
    def space(self) -> str:
        """The namespace as it is compared."""
        return self.namespace.lower()

    @property
    def is_identify(self) -> bool:
        """Whether it asks who the server is, which anybody may."""
        return self.space == "rpc" and self.name == "identify"

    @property
    def is_auth(self) -> bool:
        """Whether it is about a login; unknown `auth...` names are too."""
        return self.space == "rpc" and self.name.startswith("auth")

    @property
    def subsystem(self) -> str:
        """`namespace/name` as subsystems are compared."""
        return f"{self.space}/{self.name.lower()}"


def decode(message: str | bytes) -> Call:
    """Read one message; Malformed if it is no call."""
    fields = decode_object(message)
    call_id = _text(fields.get("id"))
    namespace, name = _text(fields.get("namespace")), _text(fields.get("name"))
    if not namespace or not name:
        raise Malformed("cannot tell what is asked: give `namespace` and `name` as strings", call_id)
    return Call(namespace, name, call_id, fields.get("args", fields), "args" in fields)


def decode_object(message: str | bytes) -> dict[str, object]:
    """Read a JSON object; Malformed if it is none."""
    try:
        fields = _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"cannot read the message: {error}; send one JSON object in UTF-8") from error
    except RecursionError as error:
        raise Malformed("cannot read the message: it is nested too deeply") from error
    if not isinstance(fields, dict):
        raise Malformed("cannot read the message: it is no JSON object; send {...}")
    return fields


def encode_reply(call: Call, args: object) -> str:
    """Answer a call. Without an id the reply carries the request's name, as the original's does."""
    name = "response" if call.id else call.name
    return encode({"args": args, "id": call.id, "name": name, "namespace": call.namespace})


def encode_error(call_id: str, code: str, reason: str = "") -> str:
    """Refuse a call."""
    return encode(error_fields(call_id, code, reason))


def error_fields(call_id: str, code: str, reason: str = "") -> dict[str, object]:
    """Give the parts of an error; `reason` is our sentence beside the protocol's message."""
    args = {"code": code, "message": MESSAGES[code]}
    if reason:
        args["reason"] = reason
    return {"args": args, "id": call_id, "name": "error", "namespace": "error"}


def code_of(error: DispatcherError) -> str:
    """Give SysAdm's code for an error of ours."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), "500")


def encode_event(record: bytes, seq: int | None = None) -> bytes:
    """Wrap an encoded job record; `seq` only for sessions that asked for numbered events."""
    tail = b"" if seq is None else b',"seq":%d' % seq
    return b'{"args":' + record + b',"id":"none","name":"dispatcher","namespace":"events"' + tail + b"}"


def encode_record(record: dict[str, object]) -> bytes:
    """Encode a job record, the `args` of its event."""
    return _encoder.encode(record)


def encode(fields: dict[str, object]) -> str:
    """Encode an object as compact JSON."""
    return _encoder.encode(fields).decode()


def encode_indented(fields: dict[str, object]) -> bytes:
    """Encode an object for people, four blanks a level."""
    return msgspec.json.format(_encoder.encode(fields), indent=4)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
