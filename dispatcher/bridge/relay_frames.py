"""What peers say to a bridge and hear from it: text in, parts out; parts in, text out. Pure.

A message that begins with `{` is for the bridge itself; every other one is to be passed on, its
first line being the id of a peer. The bridge looks at nothing behind that line.
"""

from collections.abc import Sequence

from dispatcher.api.sysadm.codec import Malformed, decode_object, encode
from dispatcher.core.model import Value

IDENTIFY_ID = "sysadm_bridge_request_ident"
LIST_KEYS_ID = "bridge_request_list_keys"
MOST_SUMS, MOST_SUM = 10_000, 64  # sums in one list, characters of one


class Passed(Value, frozen=True):
    """A message to another peer; `rest` begins with the end of the first line."""

    to: str
    rest: str


class Asked(Value, frozen=True):
    """A request to the bridge; `id` is given back as it came, whatever it is."""

    namespace: str
    name: str
    id: object
    args: object


class Answered(Value, frozen=True):
    """The reply to a request of the bridge."""

    id: object
    args: object


def read(message: str | bytes) -> Passed | Asked | Answered | None:
    """Read one message; None if it is none of these, or an error: those get no reply."""
    try:
        text = message if isinstance(message, str) else message.decode()
    except UnicodeDecodeError:
        return None
    if not text.startswith("{"):
        to, line_end, _ = text.partition("\n")
        return Passed(to, text[len(to) :]) if line_end else None
    try:
        fields = decode_object(text)
    except Malformed:
        return None
    if not fields.keys() >= {"namespace", "name", "id", "args"}:
        return None
    namespace, name = fields["namespace"], fields["name"]
    if name == "response":
        return Answered(fields["id"], fields["args"])
    if name == "error" or not isinstance(namespace, str) or not isinstance(name, str):
        return None
    return Asked(namespace, name, fields["id"], fields["args"])


def read_sums(args: object) -> frozenset[str] | None:
    """Read the sums of keys in a reply; None if it is no list of them, or one that is too long."""
    sums = args.get("md5_keys") if isinstance(args, dict) else None
    if not isinstance(sums, list) or len(sums) > MOST_SUMS:
        return None
    return frozenset(one for one in sums if isinstance(one, str) and 0 < len(one) <= MOST_SUM)


def reply(asked: Asked, args: object, *, is_error: bool = False) -> str:
    """Answer a request. An error keeps the namespace of the request here, unlike a server's."""
    name = "error" if is_error else "response"
    return encode({"args": args, "id": asked.id, "name": name, "namespace": asked.namespace})


def ask_identity() -> str:
    """Ask a peer what it is."""
    return encode({"args": "", "id": IDENTIFY_ID, "name": "identify", "namespace": "rpc"})


def ask_keys() -> str:
    """Ask a peer for the sums of the keys that it knows."""
    args = {"action": "list_ssl_checksums"}
    return encode({"args": args, "id": LIST_KEYS_ID, "name": "settings", "namespace": "rpc"})


def event(visible: Sequence[str]) -> str:
    """Tell a peer whom it sees now: all of them, not the difference."""
    args = {"available_connections": visible}
    return encode({"args": args, "id": "", "name": "bridge", "namespace": "events"})
