"""What clients ask about the machine before they go on: `system.version` and `system.info`."""

import socket
import time

from dispatcher.access.roles import Level
from dispatcher.api.truenas.client import Client
from dispatcher.api.truenas.method import row
from dispatcher.api.truenas.parameters import Nothing
from dispatcher.api.truenas.wrapped import instant
from dispatcher.core.model import Value

# The version of TrueNAS whose methods about jobs these are: clients refuse to talk to an older one.
VERSION = "TrueNAS-25.10.1"

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))


class SystemInfo(Value, frozen=True):
    """The machine: how long it is up, in words and in seconds, its name, and its clock."""

    version: str
    uptime: str
    uptime_seconds: float
    hostname: str
    datetime: dict[str, int]


async def _version(_: Client, __: Nothing) -> str:
    return VERSION


async def _info(_: Client, __: Nothing) -> SystemInfo:
    # Imported here: a start needs it for nothing else.
    import psutil  # noqa: PLC0415

    now = time.time()
    seconds = max(0.0, now - psutil.boot_time())
    return SystemInfo(VERSION, in_words(seconds), round(seconds, 3), socket.gethostname(), instant(now))


def in_words(seconds: float) -> str:
    """Say how long something is, in its largest unit: "15 days", "1 hour"."""
    for unit, length in _UNITS:
        count = int(seconds // length)
        if count:
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{int(seconds)} seconds"


SYSTEM_ROWS = (
    row("system.version", Nothing, Level.READ, _version, "Name the version of the protocol."),
    row("system.info", Nothing, Level.READ, _info, "Describe the machine."),
)
