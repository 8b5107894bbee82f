"""Which class a job's events belong to, by the beginning of the job's key, and what the class adds.

A package adds classes of its own by entry points of the group `dispatcher.sysadm_events`, each an
`EventClass`. The built-in ones come first. A plug-in that cannot be loaded is logged and left out.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

import msgspec

from dispatcher.api.sysadm.class_extras import fetch_extras, pkg_extras
from dispatcher.api.sysadm.told import Told
from dispatcher.core.model import Value

GROUP = "dispatcher.sysadm_events"
FIXED = frozenset({"event_system", "state", "process_details"})

_log = logging.getLogger("dispatcher.sysadm")


def no_extras(_told: Told) -> Mapping[str, object]:
    """Add nothing."""
    return {}


class EventClass(Value, frozen=True):
    """How events of jobs whose key begins with `prefix` are wrapped.

    `system` is the `event_system`. `log_key` names the increment of the job's log, if it has one.
    `extras` gives further fields; it runs between other events, so it must be quick and wait for
    nothing. Of a finished job's last command it gets up to `finished_bytes` of output, if that is more
    than events show anyway.
    """

    prefix: str
    system: str
    log_key: str = ""
    extras: Callable[[Told], Mapping[str, object]] = no_extras
    finished_bytes: int = 0


# In the order in which they are looked at. An audit's answer is read from all of its output.
BUILT_IN = (
    EventClass("sysadm_iohyve", "sysadm/iohyve", extras=fetch_extras),
    EventClass("sysadm_update_runupdates::", "sysadm/update", log_key="update_log"),
    EventClass("sysadm_pkg_audit", "sysadm/pkg", "pkg_log", pkg_extras, finished_bytes=8 * 1024 * 1024),
    EventClass("sysadm_pkg", "sysadm/pkg", "pkg_log", pkg_extras),
    EventClass("sysadm_sourcectl_", "sysadm/sourcectl", log_key="update_log"),
)


class EventClasses:
    """The classes in the order in which they are looked at."""

    def __init__(self, classes: Sequence[EventClass] = BUILT_IN) -> None:
        self._classes = tuple(classes)
        self._failed: set[str] = set()

    def find(self, key: str) -> EventClass | None:
        """Give the class of a job's key; None if its events are told as flat records."""
        return next((one for one in self._classes if key.startswith(one.prefix)), None)

    def fields(self, found: EventClass, told: Told) -> dict[str, object]:
        """Give the fields that stand beside the record; extras that fail are left out, and logged once."""
        try:
            extras = dict(found.extras(told))
            msgspec.json.encode(extras)
        except Exception:  # noqa: BLE001 (a plug-in's fault must not end everybody's events)
            if found.prefix not in self._failed:
                self._failed.add(found.prefix)
                _log.exception("cannot make the extras of %s events: they are left out", found.system)
            extras = {}
        kept = {name: value for name, value in extras.items() if name not in FIXED}
        return kept | {"event_system": found.system, "state": told.state.value}


def load_event_classes(found: Iterable[EntryPoint] | None = None) -> EventClasses:
    """Give the built-in classes and those of installed plug-ins."""
    classes = list(BUILT_IN)
    for entry in entry_points(group=GROUP) if found is None else found:
        try:
            loaded = entry.load()
        except Exception:  # noqa: BLE001 (whatever it is, the daemon starts without it)
            _log.exception("cannot load the event class %s (%s): it is left out", entry.name, entry.value)
            continue
        if not isinstance(loaded, EventClass) or not loaded.prefix or not loaded.system:
            _log.error(
                "cannot use the event class %s (%s): it is no EventClass with prefix and system; left out",
                entry.name,
                entry.value,
            )
            continue
        classes.append(loaded)
    return EventClasses(classes)


__all__ = ["BUILT_IN", "GROUP", "EventClass", "EventClasses", "Told", "load_event_classes"]
