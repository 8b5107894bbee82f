"""Make settings of queues.yaml: read, checked as a whole, and complete, or not at all.

Each complaint is a SettingsError with one sentence: file, line, column, what is wrong and what
would be right. The keys themselves stand in `setting_keys.py`.
"""

import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from dispatcher.classes.declaration import ClassFile
from dispatcher.classes.reading import read_class_file
from dispatcher.errors import SettingsError, UnusableStateDir
from dispatcher.setting_bridge import read_bridge
from dispatcher.setting_bridges import read_bridges
from dispatcher.setting_keys import LIMITS, TLS, TOP
from dispatcher.setting_sections import (
    read_auth,
    read_environment,
    read_listeners,
    read_queues,
    read_routes,
)
from dispatcher.setting_values import is_too_long, read_section
from dispatcher.setting_watch import read_audit, read_sysadm, read_watch
from dispatcher.settings import DEFAULT_PATH, Limits, Settings, Tls
from dispatcher.settings_report import describe, warnings
from dispatcher.tasks.declaration import TaskDeclaration
from dispatcher.tasks.reading import read_tasks
from dispatcher.yaml_reader import Entry, Source, parse, read_file

__all__ = ["default_file", "describe", "load", "sample", "warnings"]

_OVERRIDES = ("state_dir", "log_dir", "accounts")


def load(path: Path | None = None, overrides: Mapping[str, str | Path] = {}) -> Settings:
    """Read a settings file, or without a name the system's one, or without that the built-in one.

    `overrides` replace `state_dir`, `log_dir` and `accounts`; their relative paths start at the
    working directory. Raises SettingsError.
    """
    for name, value in overrides.items():
        if name not in _OVERRIDES or not str(value) or "\0" in str(value):
            raise SettingsError(
                f"cannot set {name} to {str(value)!r}: give one of {', '.join(_OVERRIDES)} a path"
            )
    if path is None and default_file().exists():
        path = default_file()
    if path is None:
        root = parse(sample().encode(), Source("built-in queues.yaml", Path("/")))
    else:
        root = read_file(path)
    return _settings(path, root, {name: Path(value).absolute() for name, value in overrides.items()})


def default_file() -> Path:
    """Give the place where the system keeps the settings."""
    prefix = "/usr/local" if _is_freebsd() else ""
    return Path(f"{prefix}/etc/dispatcher/queues.yaml")


def sample() -> str:
    """Give the commented queues.yaml that comes with the program; it says what holds without a file."""
    packaged = Path(__file__).with_name("queues.yaml")
    # In a checkout it stands at the top, where the packager takes it from.
    place = packaged if packaged.exists() else Path(__file__).parent.parent / "queues.yaml"
    return place.read_text(encoding="utf-8")


def _settings(path: Path | None, root: Entry | None, given: Mapping[str, Path]) -> Settings:
    written, sections = read_section(root, TOP) if root else ({}, {})
    paths = {**{name: value for name, value in written.items() if isinstance(value, Path)}, **given}
    state_dir = paths.get("state_dir", _system_state_dir())
    if is_too_long(state_dir / "dispatcher.sock"):
        what = f"state_dir {state_dir} is too long for the Unix sockets in it"
        remedy = "use at most 87 bytes, directories included"
        if "state_dir" in sections and "state_dir" not in given:
            raise UnusableStateDir(sections["state_dir"].wrong(what, remedy).sentence)
        raise UnusableStateDir(f"{what}; {remedy}")
    # The system's directories belong to the one daemon that has the system's state.
    is_system = state_dir == _system_state_dir() and os.geteuid() == 0
    queues = read_queues(sections.get("queues"))
    log_dir = paths.get("log_dir", Path("/var/log/dispatcher") if is_system else state_dir / "log")
    return Settings(
        source=path,
        state_dir=state_dir,
        log_dir=log_dir,
        log=str(written.get("log", "stderr")),
        log_file=paths.get("log_file", log_dir / "dispatcher.log"),
        accounts=paths.get("accounts", state_dir / "accounts"),
        listen=read_listeners(
            sections.get("listen"), _system_socket() if is_system else state_dir / "dispatcher.sock"
        ),
        queues=queues,
        routes=read_routes(sections.get("routes"), [queue.name for queue in queues]),
        environment=read_environment(sections.get("environment"), _default_environment()),
        auth=read_auth(sections.get("auth")),
        limits=_read_limits(sections.get("limits")),
        tls=_read_tls(sections.get("tls")),
        sysadm=read_sysadm(sections.get("sysadm")),
        watch=read_watch(sections.get("watch")),
        audit=read_audit(sections.get("audit")),
        bridge=read_bridge(sections.get("bridge"), state_dir),
        bridges=read_bridges(sections.get("bridges")),
        classes=_read_classes(sections.get("classes"), paths.get("classes")),
        tasks=_read_tasks(sections.get("tasks"), [queue.name for queue in queues]),
    )


def _read_tasks(entry: Entry | None, queues: Sequence[str]) -> tuple[TaskDeclaration, ...]:
    if entry is not None and not entry.is_empty:
        return read_tasks(entry, queues)
    return _built_in_tasks()


@cache
def _built_in_tasks() -> tuple[TaskDeclaration, ...]:
    root = parse(sample().encode(), Source("built-in queues.yaml", Path("/")))
    sections = read_section(root, TOP)[1] if root else {}
    return read_tasks(sections["tasks"], ())


def _read_classes(entry: Entry | None, path: Path | None) -> ClassFile | None:
    if entry is None or path is None:
        return None
    if not path.is_file():
        raise entry.wrong(f"there is no file {path}", "name a YAML file with classes in it")
    return read_class_file(path)


def _read_limits(entry: Entry | None) -> Limits:
    if entry is None:
        return Limits()
    values, entries = read_section(entry, LIMITS)
    limits = msgspec.structs.replace(Limits(), **values)
    for small, large in (("log_tail_bytes", "log_cap_bytes"), ("event_log_bytes", "event_bytes")):
        if getattr(limits, small) > getattr(limits, large):
            place = entries.get(large) or entries[small]
            raise place.wrong(
                f"{small} ({getattr(limits, small)}) is more than {large} ({getattr(limits, large)})",
                f"write both, {small} the smaller one",
            )
    return limits


def _read_tls(entry: Entry | None) -> Tls | None:
    if entry is None or entry.is_empty:
        return None
    values, entries = read_section(entry, TLS)
    certificate, key = values.get("certificate"), values.get("key")
    if not isinstance(certificate, Path) or not isinstance(key, Path):
        there, missing = ("certificate", "key") if certificate else ("key", "certificate")
        raise entries.get(there, entry).wrong(
            f"there is no {missing} beside it", "write both 'certificate:' and 'key:', or no 'tls:' at all"
        )
    return Tls(certificate=certificate, key=key)


def _default_environment() -> dict[str, str]:
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        home = "/"
    return {"PATH": DEFAULT_PATH, "HOME": home, "LANG": "C.UTF-8", "TERM": "dumb"}


def _system_state_dir() -> Path:
    return Path("/var/db/dispatcher" if _is_freebsd() else "/var/lib/dispatcher")


def _system_socket() -> Path:
    return Path("/var/run/dispatcher/dispatcher.sock" if _is_freebsd() else "/run/dispatcher/dispatcher.sock")


def _is_freebsd() -> bool:
    return sys.platform.startswith("freebsd")
