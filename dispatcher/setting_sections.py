"""Read the parts of queues.yaml that name things: queues, routes, listeners, variables and groups."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from dispatcher.core.model import AfterLost, Leftovers, OnDuplicate, Queue
from dispatcher.core.routing import Routes
from dispatcher.setting_keys import AUTH, LISTEN, QUEUE, ROUTES
from dispatcher.setting_values import read_section, read_socket_path
from dispatcher.settings import DEFAULT_QUEUES, Auth, Listener
from dispatcher.yaml_reader import Entry, suggest

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)
_PROGRAM = re.compile(r"[^\s/\0]+\Z")
_DEFAULT_TCP = (
    Listener(address="*", port=12150),
    Listener(address="*", port=12151),
    Listener(address="127.0.0.1", port=12180, tls=False),
    Listener(address="::1", port=12180, tls=False),
)
# Each command's mark; with another's value its processes could be taken for another job's.
_RESERVED = "DISPATCHER_JOB"
_METHODS = ("accounts", "pam")
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  their names, not a choice of ours


def read_queues(entry: Entry | None) -> tuple[Queue, ...]:
    """Read the queues over the built-in ones: what is written about one replaces only those keys."""
    queues = {queue.name: queue for queue in DEFAULT_QUEUES}
    for name, key, value in entry.pairs("a mapping of queue names") if entry else ():
        if not _QUEUE_NAME.match(name):
            raise key.wrong(
                f"{name[:80]!r} cannot name a queue", "use 1 to 64 letters, digits, '_', '-' or '.' of ASCII"
            )
        values, _ = read_section(value, QUEUE)
        if "on_duplicate" in values:
            values["on_duplicate"] = OnDuplicate(str(values["on_duplicate"]))
        if "leftovers" in values:
            values["leftovers"] = Leftovers(str(values["leftovers"]))
        if "after_lost" in values:
            values["after_lost"] = AfterLost(str(values["after_lost"]))
        queues[name] = msgspec.structs.replace(queues.get(name, Queue(name)), **values)
    return tuple(queues.values())


def read_routes(entry: Entry | None, queues: Sequence[str]) -> Routes:
    """Read the routes over the built-in ones; `look_through` is replaced as a whole."""
    routes = Routes()
    if entry is None:
        return routes
    _, entries = read_section(entry, ROUTES)
    programs = dict(routes.programs)
    if "programs" in entries:
        for name, key, value in entries["programs"].pairs("a mapping such as 'pkg: pkg_queue'"):
            _check_program(key, name)
            queue = value.text("the name of a queue")
            if queue not in queues:
                raise value.wrong(f"there is no queue {queue[:80]!r}", suggest(queue, queues, "they are"))
            programs[name] = queue
    look_through = routes.look_through
    if "look_through" in entries:
        names = []
        for element in entries["look_through"].elements("a list such as [env, sudo]"):
            name = element.text("the name of a program")
            _check_program(element, name)
            if name in names:
                raise element.wrong(f"{name!r} is written twice", "keep one of the two")
            names.append(name)
        look_through = tuple(names)
    return Routes(tuple(programs.items()), look_through)


def read_listeners(entry: Entry | None, default_socket: Path) -> tuple[Listener, ...]:
    """Read the sockets; without a Unix socket among them the default one comes first."""
    if entry is None or entry.is_empty:
        return (Listener(path=default_socket), *_DEFAULT_TCP)
    listeners = list(read_each_listener(entry))
    if not any(listener.path for listener in listeners):
        listeners.insert(0, Listener(path=default_socket))
    return tuple(listeners)


def read_each_listener(entry: Entry, default_port: int | None = None) -> tuple[Listener, ...]:
    """Read a list of sockets, no two of which are the same; a port must be written if none is given."""
    listeners: list[Listener] = []
    for element in entry.elements("a list; each element begins with '- '"):
        listener = _read_listener(element, default_port)
        for number, other in enumerate(listeners, 1):
            if _is_same(listener, other):
                raise element.wrong(
                    f"it is already listened to by element {number}", "remove one or change its port or path"
                )
        listeners.append(listener)
    return tuple(listeners)


def read_environment(entry: Entry | None, defaults: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Read the variables of commands over the built-in ones."""
    variables = dict(defaults)
    for name, key, value in entry.pairs("a mapping such as 'LANG: C.UTF-8'") if entry else ():
        if not name or "=" in name or "\0" in name:
            raise key.wrong(f"{name!r} cannot name a variable", "use a name without '=' and NUL")
        if name == _RESERVED:
            raise key.wrong(f"{_RESERVED} is set by the dispatcher for each command", "remove it")
        text = value.text('a text; an empty one is ""')
        if "\0" in text:
            raise value.wrong("a variable cannot hold a NUL character", "remove it")
        variables[name] = text
    return tuple(variables.items())


def read_auth(entry: Entry | None) -> Auth:
    """Read who gets in; each list is replaced as a whole."""
    if entry is None:
        return Auth()
    values, entries = read_section(entry, AUTH)
    if "methods" in entries:
        methods = _read_words(entries["methods"], "[accounts, pam]")
        for element, word in zip(entries["methods"].elements("a list"), methods, strict=True):
            if word not in _METHODS:
                raise element.wrong(f"{word[:40]!r} is not known", suggest(word, _METHODS, "write one of"))
        if not methods:
            raise entries["methods"].wrong("nobody could log in", "write [accounts], [pam] or both")
        values["methods"] = methods
    for name in ("full_groups", "read_groups"):
        if name in entries:
            values[name] = _read_words(entries[name], "[wheel]")
    return msgspec.structs.replace(Auth(), **values)


def _read_words(entry: Entry, example: str) -> tuple[str, ...]:
    words: list[str] = []
    for element in entry.elements(f"a list such as {example}"):
        word = element.text("a name")
        if not word or not word.isprintable() or word != word.strip():
            raise element.wrong(f"{word[:40]!r} is no name", f"write a list such as {example}")
        if word in words:
            raise element.wrong(f"{word!r} is written twice", "keep one of the two")
        words.append(word)
    return tuple(words)


def _check_program(place: Entry, name: str) -> None:
    if not _PROGRAM.match(name):
        raise place.wrong(
            f"{name[:80]!r} cannot name a program",
            "write it without directories and blanks, such as pkg",
        )


def _read_listener(element: Entry, default_port: int | None) -> Listener:
    values, entries = read_section(element, LISTEN)
    if "unix" in entries:
        others = [name for name in entries if name != "unix"]
        if others:
            raise entries[others[0]].wrong(
                f"a Unix socket has no {others[0]}", "write 'unix:' alone, and another element for the rest"
            )
        return Listener(path=read_socket_path(entries["unix"]))
    if "port" not in values and default_port is not None:
        values["port"] = default_port
    if "port" not in values:
        raise element.wrong(
            "there is neither a port nor a Unix socket",
            "write such as {address: 127.0.0.1, port: 12180, tls: false} or {unix: /run/dispatcher.sock}",
        )
    return msgspec.structs.replace(Listener(address="*"), **values)


def _is_same(one: Listener, other: Listener) -> bool:
    """Whether the second could not be bound while the first is."""
    if one.path or other.path:
        return one.path == other.path
    if one.port != other.port or one.port == 0:
        return False
    # A wildcard takes the port on every address of its family.
    return any(
        (":" in a) == (":" in b) and (a == b or not _WILDCARDS.isdisjoint((a, b)))
        for a in _bound(one.address)
        for b in _bound(other.address)
    )


def _bound(address: str) -> frozenset[str]:
    return _WILDCARDS if address == "*" else frozenset({address})
