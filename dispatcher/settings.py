"""The settings as the program sees them: frozen, complete and already checked.

`config.py` makes them from queues.yaml. Each default here is also the one in the docs.
"""

from pathlib import Path

from dispatcher.core.model import Leftovers, OnDuplicate, Queue, Value
from dispatcher.core.routing import Routes

DEFAULT_PATH = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class Listener(Value, frozen=True):
    """One socket to listen on: a Unix path, or an address and port with or without TLS."""

    path: Path | None = None
    address: str = ""
    port: int = 0
    tls: bool = True
    allow_plain_login: bool = False


class Limits(Value, frozen=True):
    """Bounds that keep one client from hurting the others. Bytes, seconds and counts."""

    message_bytes: int = 8 * 1024 * 1024
    commands_per_job: int = 1000
    list_jobs: int = 10_000
    connections: int = 4096
    outbox_bytes: int = 4 * 1024 * 1024
    send_timeout: float = 30.0
    log_cap_bytes: int = 64 * 1024 * 1024
    log_tail_bytes: int = 1024 * 1024
    event_log_bytes: int = 64 * 1024
    event_bytes: int = 256 * 1024
    password_line: int = 100
    keep_days: float = 30.0


class Tls(Value, frozen=True):
    """A configured certificate; without one a self-signed one is made in the state directory."""

    certificate: Path
    key: Path


DEFAULT_QUEUES = (
    Queue("no_queue", concurrency=256),
    Queue("pkg_queue", concurrency=1, grace=120.0),
    Queue("iocage_queue", concurrency=1, grace=120.0),
)


class Settings(Value, frozen=True):
    """Everything from queues.yaml. `source` is the file it came from, or None for the defaults."""

    source: Path | None
    state_dir: Path
    log_dir: Path
    accounts: Path
    listen: tuple[Listener, ...]
    queues: tuple[Queue, ...] = DEFAULT_QUEUES
    routes: Routes = Routes()
    environment: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    tls: Tls | None = None

    @property
    def socket(self) -> Path:
        """The Unix socket that the command line talks to: the first one listed."""
        return next((one.path for one in self.listen if one.path), self.state_dir / "dispatcher.sock")


__all__ = [
    "DEFAULT_PATH",
    "DEFAULT_QUEUES",
    "Leftovers",
    "Limits",
    "Listener",
    "OnDuplicate",
    "Queue",
    "Routes",
    "Settings",
    "Tls",
]
