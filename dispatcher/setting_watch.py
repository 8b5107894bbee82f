"""Read what queues.yaml says about watching the system and keeping the audit."""

from typing import TypeVar

import msgspec

from dispatcher.core.model import Value
from dispatcher.setting_keys import AUDIT, LIFE_PRESERVER, SYSADM, SYSTEM_STATE, WATCH, Key
from dispatcher.setting_values import read_section
from dispatcher.settings import AuditFiles, LifePreserverWatch, Sysadm, SystemStateWatch, Watch
from dispatcher.yaml_reader import Entry

_V = TypeVar("_V", bound=Value)


def read_watch(entry: Entry | None) -> Watch:
    """Read what is watched over what is built in."""
    if entry is None:
        return Watch()
    _, entries = read_section(entry, WATCH)
    state = entries.get("system_state")
    return Watch(
        SystemStateWatch() if state is None else _read_state(state),
        _over(LifePreserverWatch(), entries.get("life_preserver"), LIFE_PRESERVER),
    )


def read_sysadm(entry: Entry | None) -> Sysadm:
    """Read how SysAdm's protocol is spoken."""
    return _over(Sysadm(), entry, SYSADM)


def read_audit(entry: Entry | None) -> AuditFiles:
    """Read how much of the audit is kept."""
    return _over(AuditFiles(), entry, AUDIT)


def _read_state(entry: Entry) -> SystemStateWatch:
    values, entries = read_section(entry, SYSTEM_STATE)
    if "updates" in entries:
        updates = entries["updates"]
        words = updates.elements("a command as a list, such as [/usr/local/bin/updates, --status]")
        argv = tuple(word.text("a word of the command") for word in words)
        if any("\0" in word for word in argv) or (argv and not argv[0]):
            raise updates.wrong("this is no command", "write a program and its arguments, without NUL")
        values["updates"] = argv
    return msgspec.structs.replace(SystemStateWatch(), **values)


def _over(built_in: _V, entry: Entry | None, keys: tuple[Key, ...]) -> _V:
    """Replace what is written about something that is built in."""
    if entry is None:
        return built_in
    values, _ = read_section(entry, keys)
    return msgspec.structs.replace(built_in, **values)
