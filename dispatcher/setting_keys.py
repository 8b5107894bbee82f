"""The one table of everything that queues.yaml may say.

Reading, "did you mean" and the reference page come from it. A default of None is explained in
the meaning. `low` and `high` are in the unit of the value: bytes, seconds, days or a count.
"""

from enum import Enum, auto

from dispatcher.core.model import AfterLost, Leftovers, OnDuplicate, Queue, Value
from dispatcher.settings import (
    AuditFiles,
    Auth,
    Bridge,
    Bridges,
    LifePreserverWatch,
    Limits,
    Listener,
    Sysadm,
    SystemStateWatch,
)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


class Kind(Enum):
    """What a value is, and so how it is read."""

    COUNT = auto()  # a whole number
    DAYS = auto()  # a number, perhaps with a fraction
    DURATION = auto()  # seconds, or "10 s", "2 min", "1 h"
    SIZE = auto()  # bytes, or "64 MiB"
    FLAG = auto()  # true or false
    CHOICE = auto()  # one of a few words
    PATH = auto()  # a file or directory; relative ones start at the settings file
    ADDRESS = auto()  # an IP address or "*"
    SECTION = auto()  # a mapping or a list with a table or a rule of its own


class Key(Value, frozen=True):
    """One key: its name, what it may hold, what it is when not written, and what it means."""

    name: str
    kind: Kind
    meaning: str
    default: object = None
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()


_QUEUE = Queue("")
_LIMITS = Limits()
_AUTH = Auth()
_LISTENER = Listener()
_STATE = SystemStateWatch()
_PRESERVER = LifePreserverWatch()
_AUDIT = AuditFiles()

TOP = (
    Key("queues", Kind.SECTION, "the queues, by name; no_queue, pkg_queue and iocage_queue always exist"),
    Key("routes", Kind.SECTION, "which queue a job belongs to if it names none"),
    Key("listen", Kind.SECTION, "the sockets; what stands here replaces the built-in TCP sockets"),
    Key("environment", Kind.SECTION, "what commands get, added to PATH, HOME, LANG and TERM"),
    Key("state_dir", Kind.PATH, "the store, locks and journals; a directory of the system by default"),
    Key("log_dir", Kind.PATH, "the logs of jobs; a directory of the system by default"),
    Key(
        "log",
        Kind.CHOICE,
        "where the daemon says what it does: stderr, syslog, or the file log_file",
        "stderr",
        choices=("stderr", "syslog", "file"),
    ),
    Key("log_file", Kind.PATH, "the file of `log: file`; by default log_dir/dispatcher.log"),
    Key("accounts", Kind.PATH, "the file with accounts; by default state_dir/accounts"),
    Key("auth", Kind.SECTION, "who gets in, and what guessing costs"),
    Key("tls", Kind.SECTION, "a certificate of your own; by default a self-signed one is made and kept"),
    Key("sysadm", Kind.SECTION, "SysAdm's protocol, where its documents and its clients disagree"),
    Key("watch", Kind.SECTION, "what is watched besides jobs, for SysAdm's events"),
    Key(
        "classes",
        Kind.PATH,
        "a file with classes that are added to the built-in ones or replace them",
    ),
    Key("tasks", Kind.SECTION, "named lists of commands that programs call as methods"),
    Key("audit", Kind.SECTION, "how much is kept of the audit, log_dir/audit.log"),
    Key("bridge", Kind.SECTION, "where `dispatcher bridge serve` listens, and keeps what it knows"),
    Key("bridges", Kind.SECTION, "the bridges to connect to, so that clients behind them reach this daemon"),
    Key("limits", Kind.SECTION, "bounds that keep one client from hurting the others"),
)
QUEUE = (
    Key("concurrency", Kind.COUNT, "jobs that run at once", _QUEUE.concurrency, 1, 10_000),
    Key("grace", Kind.DURATION, "time between TERM and KILL when a job is stopped", _QUEUE.grace, 0, 86_400),
    Key(
        "on_duplicate",
        Kind.CHOICE,
        "a key that is already pending or running: refuse it, or attach to the job that waits",
        _QUEUE.on_duplicate,
        choices=tuple(str(word) for word in OnDuplicate),
    ),
    Key("max_pending", Kind.COUNT, "jobs that may wait", _QUEUE.max_pending, 1, 100_000_000),
    Key(
        "leftovers",
        Kind.CHOICE,
        "background processes of a command that has ended: keep them, or stop them",
        _QUEUE.leftovers,
        choices=tuple(str(word) for word in Leftovers),
    ),
    Key(
        "after_lost",
        Kind.CHOICE,
        "when a job is lost, because the machine or its worker went down: go on, or pause until resumed",
        _QUEUE.after_lost,
        choices=tuple(str(word) for word in AfterLost),
    ),
)
ROUTES = (
    Key("programs", Kind.SECTION, "program (its name without directories) -> queue"),
    Key("look_through", Kind.SECTION, "programs that only start another one, which decides"),
)
LISTEN = (
    Key("unix", Kind.PATH, "a Unix socket; stands alone"),
    Key("address", Kind.ADDRESS, 'an IP address, or "*" for all IPv4 and all IPv6', "*"),
    Key("port", Kind.COUNT, "the TCP port; 0 takes a free one", None, 0, 65_535),
    Key("tls", Kind.FLAG, "encrypted", _LISTENER.tls),
    Key(
        "allow_plain_login",
        Kind.FLAG,
        "take passwords without tls from other machines too",
        _LISTENER.allow_plain_login,
    ),
)
TLS = (
    Key("certificate", Kind.PATH, "PEM file of the certificate and its chain"),
    Key("key", Kind.PATH, "PEM file of the private key"),
)
AUTH = (
    Key("methods", Kind.SECTION, "how passwords are checked, in this order: accounts, pam, or both"),
    Key("full_groups", Kind.SECTION, "users of the system in these groups may do all; root may always"),
    Key("read_groups", Kind.SECTION, "users of the system in these groups may list, listen and read logs"),
    Key(
        "loopback",
        Kind.CHOICE,
        "let a local user in as itself without a password, over loopback and the Unix socket, or not",
        _AUTH.loopback,
        choices=("owner", "off"),
    ),
    Key("token_time", Kind.DURATION, "how long a token lives without use", _AUTH.token_time, 1, 86_400),
    Key("failures", Kind.COUNT, "failed logins after which an address is refused", _AUTH.failures, 1, 10**6),
    Key("window", Kind.DURATION, "failures further apart than this do not add up", _AUTH.window, 1, 86_400),
    Key("block", Kind.DURATION, "how long such an address is refused", _AUTH.block, 1, 30 * 86_400),
)
LIMITS = (
    # 8 MiB is also the longest line between supervisor and worker.
    Key("message_bytes", Kind.SIZE, "one message or request", _LIMITS.message_bytes, 4 * KIB, 8 * MIB),
    Key("commands_per_job", Kind.COUNT, "commands in one job", _LIMITS.commands_per_job, 1, 100_000),
    Key("list_jobs", Kind.COUNT, "jobs of a queue in one list", _LIMITS.list_jobs, 1, 1_000_000),
    Key("connections", Kind.COUNT, "clients at once", _LIMITS.connections, 1, 1_000_000),
    Key(
        "connections_per_address",
        Kind.COUNT,
        "clients at once from one address",
        _LIMITS.connections_per_address,
        1,
        1_000_000,
    ),
    Key("login_bytes", Kind.SIZE, "one message before the login", _LIMITS.login_bytes, KIB, 8 * MIB),
    Key("login_time", Kind.DURATION, "time to log in (SysAdm)", _LIMITS.login_time, 0.1, 3600),
    Key(
        "idle_time",
        Kind.DURATION,
        "how long a client may be silent, pongs included (SysAdm)",
        _LIMITS.idle_time,
        0.1,
        86_400,
    ),
    Key(
        "ping_time",
        Kind.DURATION,
        "time between pings, and until a pong is missed",
        _LIMITS.ping_time,
        0.1,
        600,
    ),
    Key("outbox_bytes", Kind.SIZE, "what waits for one slow client", _LIMITS.outbox_bytes, 4 * KIB, GIB),
    Key("send_timeout", Kind.DURATION, "how long a client may not read", _LIMITS.send_timeout, 0.1, 3600),
    Key(
        "download_time",
        Kind.DURATION,
        "time to begin the download of what a job writes (TrueNAS)",
        _LIMITS.download_time,
        0.1,
        3600,
    ),
    Key("log_cap_bytes", Kind.SIZE, "log kept of one command", _LIMITS.log_cap_bytes, KIB, 1024 * GIB),
    Key("log_tail_bytes", Kind.SIZE, "end of a log that is over the cap", _LIMITS.log_tail_bytes, KIB, GIB),
    Key(
        "event_log_bytes", Kind.SIZE, "log of one command in an event", _LIMITS.event_log_bytes, KIB, 8 * MIB
    ),
    Key("event_bytes", Kind.SIZE, "log of all commands in an event", _LIMITS.event_bytes, KIB, 8 * MIB),
    Key("password_line", Kind.COUNT, "password checks that may wait", _LIMITS.password_line, 1, 10_000),
    Key(
        "keep_days",
        Kind.DAYS,
        "days that finished jobs and their logs are kept",
        _LIMITS.keep_days,
        0,
        36_500,
    ),
)
SYSADM = (
    Key(
        "event_names",
        Kind.CHOICE,
        "life-preserver or life_preserver: as the client needs it, both, or always one of the two",
        Sysadm().event_names,
        choices=("auto", "both", "hyphen", "underscore"),
    ),
)
WATCH = (
    Key("system_state", Kind.SECTION, "host name, pools and updates"),
    Key("life_preserver", Kind.SECTION, "snapshots and replications"),
)
SYSTEM_STATE = (
    Key("enabled", Kind.FLAG, "watch at all", _STATE.enabled),
    Key("first", Kind.DURATION, "from the start of the daemon to the first event", _STATE.first, 0, 86_400),
    Key("every", Kind.DURATION, "from one event to the next", _STATE.every, 1, 86_400),
    Key(
        "look",
        Kind.DURATION,
        "from one look to the next; another host name or health of a pool is told at once",
        _STATE.look,
        1,
        86_400,
    ),
    Key("updates", Kind.SECTION, "the command that says whether there are updates; none by default"),
)
LIFE_PRESERVER = (
    Key("enabled", Kind.FLAG, "watch at all", _PRESERVER.enabled),
    Key("log", Kind.PATH, "the log of life-preserver", _PRESERVER.log),
)
AUDIT = (
    Key("file_bytes", Kind.SIZE, "one file of the audit", _AUDIT.file_bytes, 4 * KIB, GIB),
    Key("files", Kind.COUNT, "older files that are kept", _AUDIT.files, 0, 1000),
)
BRIDGE = (
    Key("listen", Kind.SECTION, f"the sockets; all addresses, port {Bridge().listen[0].port}, by default"),
    Key("state_dir", Kind.PATH, "the bridge's keys and certificate; by default state_dir/bridge"),
)
BRIDGES = (
    Key(
        "require_encryption",
        Kind.FLAG,
        "take only sessions that the bridge cannot read",
        Bridges().require_encryption,
    ),
    Key("key", Kind.PATH, "PEM file of a private RSA key; by default state_dir/bridge.key, which is made"),
    Key("to", Kind.SECTION, "the bridges"),
)
BRIDGE_ADDRESS = (
    Key("name", Kind.SECTION, "what the log and the audit call it"),
    Key("url", Kind.SECTION, "such as wss://bridge.example:12149"),
    Key("fingerprint", Kind.SECTION, "the SHA-256 of its certificate; without it any is taken"),
)

# In the order of the reference page; NAME and N stand for what the file chooses.
TABLES = {
    "/": TOP,
    "/queues/NAME": QUEUE,
    "/routes": ROUTES,
    "/listen/N": LISTEN,
    "/auth": AUTH,
    "/tls": TLS,
    "/limits": LIMITS,
    "/sysadm": SYSADM,
    "/watch": WATCH,
    "/watch/system_state": SYSTEM_STATE,
    "/watch/life_preserver": LIFE_PRESERVER,
    "/audit": AUDIT,
    "/bridge": BRIDGE,
    "/bridges": BRIDGES,
    "/bridges/to/N": BRIDGE_ADDRESS,
}
