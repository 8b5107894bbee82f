"""Which boot of the machine this is: no process outlives one, and pids mean nothing across two.

Not the time of boot: that moves when the clock is set.
"""

import sys
from pathlib import Path

from dispatcher.errors import StartupError

LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)


def boot_id(path: Path = LINUX_BOOT_ID) -> str:
    """Name this boot: the same text until the machine restarts, then another. Raises StartupError.

    On FreeBSD it is kern.boot_id, and `path` is not used.
    """
    if sys.platform.startswith("freebsd"):
        from dispatcher.runner import processes_freebsd  # noqa: PLC0415 (its twin is never loaded elsewhere)

        return processes_freebsd.boot_id()
    try:
        named = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise StartupError(f"cannot tell this boot from the last one: {error}; mount /proc") from error
    if not named:
        raise StartupError(f"cannot tell this boot from the last one: {path} is empty; mount /proc")
    return named
