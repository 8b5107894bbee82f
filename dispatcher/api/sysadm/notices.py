"""Events that are not about jobs, and how this protocol writes them. Pure.

The documents call them `life_preserver` and `system_state`; the real client knows only the names with
a hyphen. The two forms differ in the priority of life-preserver's events, too: "7 - Critical", which
the client cuts at the first blank, and "7/Critical".
"""

from enum import Enum

import msgspec

from dispatcher.core.model import Value
from dispatcher.watch.pools import Pool
from dispatcher.watch.preserver_lines import PreserverEvent
from dispatcher.watch.system_state import SystemState

_encoder = msgspec.json.Encoder(order="deterministic")
_CLIENTS = ("sysadm-client", "sysadm_client")


class Topic(Enum):
    """What can be subscribed to besides jobs; the value is its name with a hyphen."""

    LIFE_PRESERVER = "life-preserver"
    SYSTEM_STATE = "system-state"


class Spelling(Enum):
    """How a topic's name is written; the value is what stands between its words."""

    HYPHEN = "-"
    UNDERSCORE = "_"


class Notice(Value, frozen=True):
    """One event: its `args` in each spelling, encoded."""

    topic: Topic
    hyphen: bytes
    underscore: bytes

    def args(self, spelling: Spelling) -> bytes:
        """Give the encoded args in one spelling."""
        return self.hyphen if spelling is Spelling.HYPHEN else self.underscore

    def frame(self, spelling: Spelling) -> bytes:
        """Give the whole event as text."""
        name = self.topic.value.replace("-", spelling.value).encode()
        args = self.args(spelling)
        return b'{"args":%b,"id":"none","name":"%b","namespace":"events"}' % (args, name)


def topic_of(name: str) -> Topic | None:
    """Find a topic by either spelling of its name."""
    return next((topic for topic in Topic if topic.value == name.replace("_", "-")), None)


def spellings(setting: str, *, is_stock: bool) -> tuple[Spelling, ...]:
    """Say which forms a session gets; `is_stock` if it has shown itself as the real client."""
    match setting:
        case "both":
            return (Spelling.HYPHEN, Spelling.UNDERSCORE)
        case "hyphen":
            return (Spelling.HYPHEN,)
        case "underscore":
            return (Spelling.UNDERSCORE,)
        case _:
            return (Spelling.HYPHEN,) if is_stock else (Spelling.UNDERSCORE,)


def is_stock_origin(origin: str) -> bool:
    """Tell the real client by the Origin that it sends."""
    return origin == _CLIENTS[0]


def is_stock_id(call_id: str) -> bool:
    """Tell the real client by the id of a request of its own."""
    return call_id.startswith(_CLIENTS)


def state_notice(state: SystemState) -> Notice:
    """Write the state of the system; absent is what could not be found out."""
    args: dict[str, object] = {"hostname": state.hostname, "priority": _priority(state.priority)}
    if state.hostname_changed:
        args["hostnamechanged"] = "true"
    if state.pools is not None:
        args["zpools"] = {pool.name: _pool(pool) for pool in state.pools}
    if state.updates is not None:
        args["updates"] = dict(state.updates.more) | {"status": state.updates.status}
    encoded = _encoder.encode(args)
    return Notice(Topic.SYSTEM_STATE, encoded, encoded)


def preserver_notice(event: PreserverEvent) -> Notice:
    """Write an event of life-preserver."""
    args = {"class": event.kind, "message": event.message}
    priority = _priority(event.priority)
    return Notice(
        Topic.LIFE_PRESERVER,
        _encoder.encode(args | {"priority": priority}),
        _encoder.encode(args | {"priority": priority.replace(" - ", "/")}),
    )


def _pool(pool: Pool) -> dict[str, str]:
    return {
        "alloc": pool.allocated,
        "altroot": pool.altroot,
        "capacity": pool.capacity,
        "dedup": pool.dedupratio,
        "expandsz": pool.expandsize,
        "frag": pool.fragmentation,
        "free": pool.free,
        "health": pool.health,
        "priority": _priority(pool.priority),
        "size": pool.size,
    }


def _priority(number: int) -> str:
    for below, word in ((3, "Information"), (6, "Warning"), (9, "Critical")):
        if number < below:
            return f"{number} - {word}"
    return f"{number} - Urgent"
