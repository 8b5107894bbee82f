"""What the daemon says while it starts: what it found, where it listens, who can use it.

Each is one sentence, and `Lines` puts the level in front where a line is not just news.
"""

import logging
import os
import pwd
from collections import Counter
from collections.abc import Sequence

from dispatcher.access.accounts import Accounts
from dispatcher.core.model import Pending, Running
from dispatcher.errors import SettingsError
from dispatcher.net.tls import Certificate, dotted
from dispatcher.settings import Listener, Settings
from dispatcher.store.port import Restored


class Lines(logging.Formatter):
    """Lines without a time, which daemon(8) and the journal write in front of each themselves."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; `ready` and other news stand there as they are."""
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def found(restored: Restored) -> str:
    """Say which jobs were there."""
    running, waiting = len(restored.active), sum(restored.waiting.values())
    if not running and not waiting:
        return "no jobs from before"
    return f"jobs from before: {running} to take over, {waiting} pending"


def drained(settings: Settings, restored: Restored) -> list[str]:
    """Say which queues are no longer in the settings and have jobs all the same."""
    running = Counter(job.queue for job in restored.active if isinstance(job.phase, Running))
    waiting = Counter(job.queue for job in restored.active if isinstance(job.phase, Pending))
    waiting.update(restored.waiting)
    names = {name for name in (*running, *waiting) if running[name] or waiting[name]}
    return [
        f"queue {name} is no longer in the settings: its jobs "
        f"({running[name]} running, {waiting[name]} pending) go on to their end, and it takes no others"
        for name in sorted(names - {queue.name for queue in settings.queues})
    ]


def sentences(
    settings: Settings, found: str, certificate: Certificate | None, bound: Sequence[Listener]
) -> list[str]:
    """Give all that is to be told once the daemon listens."""
    told = [found]
    if certificate is not None:
        told.append(certificate_line(certificate))
    told += map(_listening, bound)
    hint = _who_may(settings)
    return [*told, hint] if hint else told


def _listening(listener: Listener) -> str:
    if listener.path:
        return f"listening on {listener.path}"
    return (
        f"listening on {listener.address} port {listener.port}, {'with' if listener.tls else 'without'} TLS"
    )


def certificate_line(one: Certificate) -> str:
    """Say which certificate is shown, with its fingerprint."""
    return f"certificate {one.certificate}, SHA-256 {dotted(one)}"


def _who_may(settings: Settings) -> str | None:
    """Say how to add an account if there is none; None if there are some, or if that cannot be told."""
    accounts = Accounts(settings.accounts)
    try:
        accounts.load()
    except SettingsError:
        return None  # the reader of the accounts complains itself
    if accounts.names():
        return None
    option = f" --config {settings.source}" if settings.source else ""
    if "pam" in settings.auth.methods:
        groups = "' or '".join((*settings.auth.full_groups, *settings.auth.read_groups))
        return (
            "no accounts yet: only root and members of "
            f"'{groups}' may log in, with their passwords of the system; "
            f"add one with: dispatcher passwd NAME --level full{option}"
        )
    return (
        f"no accounts yet: only local {_owners()} may use this dispatcher, over its Unix socket; "
        f"add one with: dispatcher passwd NAME --level full{option}"
    )


def _owners() -> str:
    uid = os.geteuid()
    if uid == 0:
        return "root"
    try:
        return f"root and {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"root and uid {uid}"
