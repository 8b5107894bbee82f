"""What a bridge says to a daemon, and what the daemon answers: text in, parts out. Pure.

A message that begins with `{` is the bridge's own; of every other one the first line is the id of the
client that has sent the rest.
"""

from collections.abc import Sequence

import msgspec

from dispatcher.core.model import Value

LOGIN_ID = "server_to_bridge_auth"
KEYS_ID = "bridge_request_list_keys"

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(order="deterministic")


class Mail(Value, frozen=True):
    """What a client has sent."""

    peer: str
    payload: str


class Heard(Value, frozen=True):
    """What the bridge itself says: a request, or the answer to one.

    `asks` is the request that we know, `present` are the ids in an event about who is there.
    """

    id: str
    namespace: str
    args: object
    asks: str = ""
    present: tuple[str, ...] | None = None
    is_error: bool = False

    @property
    def is_login(self) -> bool:
        """Whether it answers our login."""
        return self.id == LOGIN_ID


def read(message: str | bytes) -> Mail | Heard | None:
    """Read a message; None if it is none of these."""
    try:
        text = message if isinstance(message, str) else message.decode()
        if not text.startswith("{"):
            peer, line_end, payload = text.partition("\n")
            return Mail(peer, payload) if line_end and peer else None
        fields = _decoder.decode(text)
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        return None
    name, args = fields.get("name"), fields.get("args")
    heard_id, space = _text(fields.get("id")), _text(fields.get("namespace"))
    if name == "bridge" and space == "events":
        return Heard(heard_id, space, args, present=_present(args))
    asks = "identify" if name == "identify" else ""
    if name == "settings" and isinstance(args, dict):
        asks = _text(args.get("action"))
    return Heard(heard_id, space, args, asks=asks, is_error=name == "error")


def ask_login(args: object) -> str:
    """Ask to be let in: first with "", then with the signed test string."""
    return _write({"args": args, "id": LOGIN_ID, "name": "auth_ssl", "namespace": "rpc"})


def reply(heard: Heard, args: object) -> str:
    """Answer a request of the bridge."""
    return _write({"args": args, "id": heard.id, "name": "response", "namespace": heard.namespace})


def reply_keys(checksums: Sequence[str]) -> str:
    """Say by which sums the keys of clients are known; also when that has changed."""
    args = {"md5_keys": checksums}
    return _write({"args": args, "id": KEYS_ID, "name": "response", "namespace": "rpc"})


def _present(args: object) -> tuple[str, ...]:
    listed = args.get("available_connections") if isinstance(args, dict) else None
    return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _write(fields: dict[str, object]) -> str:
    return _encoder.encode(fields).decode()
