"""The settings as the program sees them: frozen, complete and already checked.

`config.py` makes them from queues.yaml. Each default here is also the one in the docs.
"""

from pathlib import Path

from dispatcher.classes.declaration import ClassFile
from dispatcher.core.model import Leftovers, OnDuplicate, Queue, Value
from dispatcher.core.routing import Routes
from dispatcher.tasks.declaration import TaskDeclaration

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
    connections_per_address: int = 256
    login_bytes: int = 64 * 1024
    login_time: float = 30.0
    idle_time: float = 1800.0
    ping_time: float = 30.0
    outbox_bytes: int = 4 * 1024 * 1024
    send_timeout: float = 30.0
    download_time: float = 60.0
    log_cap_bytes: int = 64 * 1024 * 1024
    log_tail_bytes: int = 1024 * 1024
    event_log_bytes: int = 64 * 1024
    event_bytes: int = 256 * 1024
    password_line: int = 100
    keep_days: float = 30.0


class Auth(Value, frozen=True):
    """Who gets in, and how: ways to check a password, levels of groups, and what guessing costs."""

    methods: tuple[str, ...] = ("accounts", "pam")
    full_groups: tuple[str, ...] = ("wheel",)
    read_groups: tuple[str, ...] = ("operator",)
    loopback: str = "owner"
    token_time: float = 900.0
    failures: int = 5
    window: float = 600.0
    block: float = 3600.0


class Tls(Value, frozen=True):
    """A configured certificate; without one a self-signed one is made in the state directory."""

    certificate: Path
    key: Path


class Sysadm(Value, frozen=True):
    """How SysAdm's protocol is spoken where its documents and its clients disagree."""

    event_names: str = "auto"  # or both, hyphen, underscore


class SystemStateWatch(Value, frozen=True):
    """When the state of the system is looked at and told. Seconds."""

    enabled: bool = True
    first: float = 60.0
    every: float = 900.0
    look: float = 30.0
    updates: tuple[str, ...] = ()  # the command that knows whether there are updates


class LifePreserverWatch(Value, frozen=True):
    """Whether and where the log of life-preserver is followed."""

    enabled: bool = True
    log: Path = Path("/var/log/lpreserver/lpreserver.log")


class Watch(Value, frozen=True):
    """What is watched besides jobs."""

    system_state: SystemStateWatch = SystemStateWatch()
    life_preserver: LifePreserverWatch = LifePreserverWatch()


class Bridge(Value, frozen=True):
    """What `dispatcher bridge serve` has of its own; a relative state_dir is below the daemon's."""

    listen: tuple[Listener, ...] = (Listener(address="*", port=12149),)
    state_dir: Path = Path("bridge")


class BridgeAddress(Value, frozen=True):
    """A bridge that the daemon connects to; `fingerprint` is the SHA-256 of its certificate, or ""."""

    name: str
    url: str
    fingerprint: str = ""


class Bridges(Value, frozen=True):
    """The bridges that the daemon connects to, the key for that, and whether sessions must be sealed.

    Without a key one is made in the state directory.
    """

    require_encryption: bool = False
    key: Path | None = None
    to: tuple[BridgeAddress, ...] = ()


class AuditFiles(Value, frozen=True):
    """How much of the audit is kept: the newest file, and `files` older ones."""

    file_bytes: int = 10 * 1024 * 1024
    files: int = 5


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
    auth: Auth = Auth()
    limits: Limits = Limits()
    tls: Tls | None = None
    sysadm: Sysadm = Sysadm()
    watch: Watch = Watch()
    audit: AuditFiles = AuditFiles()
    bridge: Bridge = Bridge()
    bridges: Bridges = Bridges()
    classes: ClassFile | None = None
    tasks: tuple[TaskDeclaration, ...] = ()
    log: str = "stderr"  # or syslog, or file
    log_file: Path = Path("dispatcher.log")

    @property
    def socket(self) -> Path:
        """The Unix socket that the command line talks to: the first one listed."""
        return next((one.path for one in self.listen if one.path), self.state_dir / "dispatcher.sock")


__all__ = [
    "DEFAULT_PATH",
    "DEFAULT_QUEUES",
    "AuditFiles",
    "Auth",
    "Bridge",
    "BridgeAddress",
    "Bridges",
    "ClassFile",
    "Leftovers",
    "LifePreserverWatch",
    "Limits",
    "Listener",
    "OnDuplicate",
    "Queue",
    "Routes",
    "Settings",
    "Sysadm",
    "SystemStateWatch",
    "Tls",
    "Watch",
]
