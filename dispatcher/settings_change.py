"""What new settings change while the daemon runs, and what of them has to wait for a restart."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from dispatcher.core.model import Queue
from dispatcher.settings import Limits, Settings

# What was built from these at the start keeps them: sockets, files, and the limits of connections.
AT_START = (
    "state_dir",
    "log_dir",
    "accounts",
    "listen",
    "tls",
    "auth",
    "watch",
    "audit",
    "bridge",
    "bridges",
    "log",
    "log_file",
)
AT_ONCE = ("routes", "environment", "sysadm", "classes", "tasks")
LIMITS_AT_ONCE = ("commands_per_job", "download_time", "log_cap_bytes", "log_tail_bytes", "keep_days")


def merge(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Give the settings that are in force from now on, and a sentence for each difference."""
    limits = replace(old.limits, **{name: getattr(new.limits, name) for name in LIMITS_AT_ONCE})
    kept = {name: getattr(old, name) for name in AT_START}
    return replace(new, limits=limits, **kept), [*_differences(old, new)]


def _differences(old: Settings, new: Settings) -> Iterator[str]:
    yield from _queues(old.queues, new.queues)
    yield from (f"{name}: changed, in force now" for name in AT_ONCE if _differ(old, new, name))
    for name in Limits.__struct_fields__:
        if _differ(old.limits, new.limits, name):
            when = "in force now" if name in LIMITS_AT_ONCE else "this takes a restart"
            yield f"limits: {name} changed, {when}"
    yield from (f"{name}: changed, this takes a restart" for name in AT_START if _differ(old, new, name))


def _queues(old: Sequence[Queue], new: Sequence[Queue]) -> Iterator[str]:
    before, after = ({queue.name: queue for queue in queues} for queues in (old, new))
    for name, queue in after.items():
        if name not in before:
            yield f"queue {name} is new"
        elif before[name] != queue:
            yield f"queue {name} changed, in force now"
    yield from (f"queue {name} is gone" for name in before if name not in after)


def _differ(old: object, new: object, name: str) -> bool:
    return bool(getattr(old, name) != getattr(new, name))
