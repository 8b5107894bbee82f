"""Watch the state of the system: host name, pools, updates.

Told first some time after the start, then at every interval, and at once when the host name or the
health of a pool is another one. The last host name is kept, so a change over a restart is told, too.
"""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import trio

from dispatcher.core.model import Value
from dispatcher.settings import SystemStateWatch
from dispatcher.watch.notes import read_note, write_note
from dispatcher.watch.pools import COMMAND, Pool, read_pools
from dispatcher.watch.programs import ProgramFailed, Programs

NOTE = "system_state.json"
HOSTNAME_PRIORITY = 3
# A sleep may end a rounding error early; without this a loop would turn until the clock moves on.
_SOON = 0.001
_UPDATE_PRIORITIES = {
    "noupdates": 0,
    "updatesavailable": 2,
    "updaterunning": 2,
    "checkingforupdates": 2,
    "rebootrequired": 9,
}

_log = logging.getLogger("dispatcher.watch")


class Updates(Value, frozen=True):
    """What the updates command said: a status word, and whatever else it wants clients to know."""

    status: str
    more: tuple[tuple[str, object], ...] = ()

    @property
    def priority(self) -> int:
        """From 0 (nothing to do) to 10."""
        return _UPDATE_PRIORITIES.get(self.status, 2)


class SystemState(Value, frozen=True):
    """The state as it was found; None is what could not be found out."""

    hostname: str
    hostname_changed: bool = False
    pools: tuple[Pool, ...] | None = None
    updates: Updates | None = None

    @property
    def priority(self) -> int:
        """The highest one of its parts."""
        found = [HOSTNAME_PRIORITY if self.hostname_changed else 0]
        found += [pool.priority for pool in self.pools or ()]
        if self.updates is not None:
            found.append(self.updates.priority)
        return max(found)


class _Note(Value, frozen=True):
    hostname: str


class StateWatch:
    """`run` is the task. `tell` is awaited with each state that is to be told."""

    def __init__(
        self,
        settings: SystemStateWatch,
        state_dir: Path,
        programs: Programs,
        tell: Callable[[SystemState], Awaitable[None]],
        hostname: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._note = state_dir / NOTE
        self._programs = programs
        self._tell = tell
        self._hostname = hostname
        self._known: str | None = None  # the host name that was told last
        self._healths: Mapping[str, str] | None = None
        self._complaints: dict[str, str] = {}

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        note = await trio.to_thread.run_sync(read_note, self._note, _Note)
        self._known = note.hostname if note else None
        await trio.sleep(self._settings.first)
        due = -math.inf
        updates: Updates | None = None
        while True:
            is_due = trio.current_time() >= due - _SOON
            hostname, pools = self._hostname(), await self._pools()
            if is_due or self._is_other(hostname, pools):
                if is_due:
                    updates = await self._updates()
                    due = trio.current_time() + self._settings.every
                await self._tell_state(hostname, pools, updates)
            await trio.sleep(max(0.0, min(self._settings.look, due - trio.current_time())))

    def _is_other(self, hostname: str, pools: tuple[Pool, ...] | None) -> bool:
        # Pools that could not be listed are no news, only a line in the log.
        return hostname != self._known or (pools is not None and _healths(pools) != self._healths)

    async def _tell_state(
        self, hostname: str, pools: tuple[Pool, ...] | None, updates: Updates | None
    ) -> None:
        is_new = self._known is not None and hostname != self._known
        await self._tell(SystemState(hostname, is_new, pools, updates))
        if pools is not None:
            self._healths = _healths(pools)
        if hostname != self._known:
            self._known = hostname
            await trio.to_thread.run_sync(write_note, self._note, _Note(hostname))

    async def _pools(self) -> tuple[Pool, ...] | None:
        if not self._programs.has(COMMAND[0]):
            return None
        try:
            pools = read_pools(await self._programs.output(COMMAND))
        except (ProgramFailed, ValueError) as error:
            self._complain("pools", str(error))
            return None
        self._complain("pools", "")
        return pools

    async def _updates(self) -> Updates | None:
        if not self._settings.updates:
            return None
        try:
            updates = read_updates(await self._programs.output(self._settings.updates))
        except (ProgramFailed, ValueError) as error:
            self._complain("updates", str(error))
            return None
        self._complain("updates", "")
        return updates

    def _complain(self, about: str, reason: str) -> None:
        """Say once what is wrong; again when it is wrong in another way, or was right in between."""
        if reason and self._complaints.get(about) != reason:
            _log.warning("cannot tell the state of the %s: %s", about, reason)
        self._complaints[about] = reason


def read_updates(written: str) -> Updates:
    """Read what the updates command wrote: a status word, or a JSON object with `status`."""
    text = written.strip()
    fields: object = {"status": text}
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = {}
    status = fields.get("status") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(status, str) or status not in _UPDATE_PRIORITIES:
        raise ValueError(
            f"the command wrote {text[:60]!r}; it must write {', '.join(_UPDATE_PRIORITIES)},"
            ' or an object with one of them as "status"'
        )
    return Updates(status, tuple((name, value) for name, value in fields.items() if name != "status"))


def _healths(pools: tuple[Pool, ...]) -> dict[str, str]:
    return {pool.name: pool.health for pool in pools}
