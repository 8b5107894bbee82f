"""Say which settings are in force, and what in them deserves a second look."""

import ipaddress
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import yaml

from dispatcher.core.model import Value
from dispatcher.setting_keys import (
    AUDIT,
    AUTH,
    LIFE_PRESERVER,
    LIMITS,
    QUEUE,
    SYSADM,
    SYSTEM_STATE,
    Key,
    Kind,
)
from dispatcher.setting_values import write_size
from dispatcher.settings import Bridges, Listener, Settings

_LINE_ENDS = frozenset("\x85\u2028\u2029")


def describe(settings: Settings) -> str:
    """Write all settings, defaults included, as a file that `load` reads back to the same ones."""
    written: dict[str, object] = {
        "state_dir": str(settings.state_dir),
        "log_dir": str(settings.log_dir),
        "log": settings.log,
        "log_file": str(settings.log_file),
        "accounts": str(settings.accounts),
        "listen": [_describe_listener(listener) for listener in settings.listen],
        "queues": {queue.name: _describe_table(queue, QUEUE) for queue in settings.queues},
        "routes": {
            "programs": dict(settings.routes.programs),
            "look_through": list(settings.routes.look_through),
        },
        "environment": dict(settings.environment),
        "auth": _describe_table(settings.auth, AUTH),
        "limits": _describe_table(settings.limits, LIMITS),
        "sysadm": _describe_table(settings.sysadm, SYSADM),
        "watch": {
            "system_state": _describe_table(settings.watch.system_state, SYSTEM_STATE),
            "life_preserver": _describe_table(settings.watch.life_preserver, LIFE_PRESERVER),
        },
        "audit": _describe_table(settings.audit, AUDIT),
        "bridge": {
            "listen": [_describe_listener(listener) for listener in settings.bridge.listen],
            "state_dir": str(settings.bridge.state_dir),
        },
        "bridges": _describe_bridges(settings.bridges),
    }
    written["tasks"] = {task.name: msgspec.json.decode(task.written) for task in settings.tasks}
    if settings.classes:
        written["classes"] = str(settings.classes.path)
    if settings.tls:
        written["tls"] = {"certificate": str(settings.tls.certificate), "key": str(settings.tls.key)}
    body: str = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=10_000)
    if not _LINE_ENDS.isdisjoint(body):
        # PyYAML writes these as they are, and YAML folds them into a blank when read.
        body = yaml.safe_dump(written, sort_keys=False, width=10_000)
    return f"# {settings.source or 'built-in settings'}\n{body}"


def warnings(settings: Settings) -> list[str]:
    """Give one sentence for each thing that is allowed and may not be meant."""
    found = listener_warnings(settings.listen) + listener_warnings(settings.bridge.listen, "bridge: listen")
    found += [
        f"queues: {queue.name} runs {queue.concurrency} jobs at once, and they work on the same database; "
        "write concurrency: 1"
        for queue in settings.queues
        if queue.name in ("pkg_queue", "iocage_queue") and queue.concurrency > 1
    ]
    found += [
        f"environment: PATH holds {directory!r}, which is looked up in the job's own directory; "
        "write whole paths only"
        for directory in dict(settings.environment).get("PATH", "").split(":")
        if not Path(directory).is_absolute()
    ]
    if settings.bridges.to and not settings.bridges.require_encryption:
        found.append(
            "bridges: whoever runs a bridge can read sessions without encryption, and act as their clients; "
            "write require_encryption: true, unless clients need it that offer no encryption"
        )
    return found


def listener_warnings(listeners: Sequence[Listener], key: str = "listen") -> list[str]:
    """Give one sentence for each listener at which others may read along; `key` is where they stand."""
    found = []
    for listener in listeners:
        if listener.path or _is_loopback(listener.address):
            continue
        where = f"{listener.address} port {listener.port}"
        if listener.tls:
            if listener.allow_plain_login:
                found.append(f"{key}: allow_plain_login does nothing at {where}, which has tls; remove it")
        elif listener.allow_plain_login:
            found.append(
                f"{key}: {where} takes passwords without tls, so anybody on the way can read them; "
                "write tls: true"
            )
        else:
            found.append(
                f"{key}: {where} is open to other machines without tls, so anybody on the way can read "
                "and change what is sent; write tls: true"
            )
    return found


def _describe_bridges(bridges: Bridges) -> dict[str, object]:
    described: dict[str, object] = {"require_encryption": bridges.require_encryption}
    if bridges.key:
        described["key"] = str(bridges.key)
    return described | {
        "to": [
            {"name": one.name, "url": one.url} | ({"fingerprint": one.fingerprint} if one.fingerprint else {})
            for one in bridges.to
        ]
    }


def _describe_listener(listener: Listener) -> dict[str, object]:
    if listener.path:
        return {"unix": str(listener.path)}
    described: dict[str, object] = {"address": listener.address, "port": listener.port, "tls": listener.tls}
    if listener.allow_plain_login:
        described["allow_plain_login"] = True
    return described


def _describe_table(values: Value, keys: tuple[Key, ...]) -> dict[str, object]:
    return {key.name: _describe_value(getattr(values, key.name), key) for key in keys}


def _describe_value(value: object, key: Key) -> object:
    match value:
        case int() | float() if key.kind is Kind.SIZE:
            return write_size(value)
        case float():
            # Never 1e-05, which is no number to YAML 1.1 and none to us.
            plain = format(Decimal(repr(value)).normalize(), "f")
            if key.kind is Kind.DURATION:
                return f"{plain} s"
            return int(value) if value.is_integer() else plain
        case tuple():
            return list(value)
        case str() | Path():
            return str(value)
        case _:
            return value


def _is_loopback(address: str) -> bool:
    return address != "*" and ipaddress.ip_address(address).is_loopback
