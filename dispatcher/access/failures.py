"""Failed logins by address, over all its connections; who fails too often is refused for a while.

Addresses are compared whole, never in part. A refusal survives a restart; it lies in a small file
that is replaced in one go. The Unix socket has no address and is never refused.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import trio

from dispatcher.access.files import replace_file
from dispatcher.errors import NotAuthenticated
from dispatcher.settings import Auth

KEPT = 10_000  # addresses; the oldest are forgotten first

log = logging.getLogger("dispatcher.access")


class WrongLogin(NotAuthenticated):
    """A login that failed because of what the client gave: it counts."""


class AddressRefused(NotAuthenticated):
    """No login is looked at: too many failed from this address, "" if that is not known."""

    def __init__(self, sentence: str, address: str = "") -> None:
        super().__init__(sentence)
        self.address = address


class Failures:
    """Counts and refusals. `clock` gives wall time, which goes on over a restart."""

    def __init__(self, path: Path, auth: Auth, clock: Callable[[], float]) -> None:
        self._path = path
        self._auth = auth
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}  # how many, and when the last
        self._refused_until = _read(path)
        self._limiter = trio.CapacityLimiter(1)
        self.on_refused: Callable[[str], None] = lambda _address: None  # told of each new refusal

    def is_refused(self, address: str) -> bool:
        """Tell whether connections and logins from there are refused now."""
        until = self._refused_until.get(address)
        if until is None:
            return False
        # A clock that was set back must not make an hour longer than an hour.
        if 0 < until - self._clock() <= self._auth.block:
            return True
        del self._refused_until[address]
        return False

    def require_open(self, address: str) -> None:
        """Raise AddressRefused if logins from there are refused now."""
        if self.is_refused(address):
            raise AddressRefused(
                "cannot log in: too many logins from this address have failed (auth: failures);"
                f" try again in {self._auth.block / 60:g} minutes, or use the Unix socket",
                address,
            )

    async def count(self, address: str) -> None:
        """Note a failed login; return when a refusal that follows from it is on disk."""
        if not address or self.is_refused(address):
            return
        now = self._clock()
        before, last = self._counts.pop(address, (0, now))
        many = before + 1 if now - last <= self._auth.window else 1
        if many < self._auth.failures:
            self._counts[address] = (many, now)
            _shorten(self._counts)
            return
        log.warning("refusing %s for %g min: %d failed logins", address, self._auth.block / 60, many)
        self._refused_until.pop(address, None)
        self._refused_until[address] = now + self._auth.block
        self.on_refused(address)
        _shorten(self._refused_until)
        await self._save()

    def forget(self, address: str) -> None:
        """Note a login that succeeded."""
        self._counts.pop(address, None)

    async def lift(self) -> None:
        """Forget every count and refusal: those who failed may have been given what they lacked."""
        self._counts.clear()
        if self._refused_until:
            self._refused_until.clear()
            await self._save()

    async def _save(self) -> None:
        now = self._clock()
        text = json.dumps({one: until for one, until in self._refused_until.items() if until > now})
        try:
            # Shielded: who hangs up, or stops the daemon, must not get out of it. One small write.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(replace_file, self._path, text, limiter=self._limiter)
        except OSError as error:
            log.warning("cannot save refused addresses in %s: %s; make room in state_dir", self._path, error)


def _shorten(entries: dict[str, tuple[int, float]] | dict[str, float]) -> None:
    while len(entries) > KEPT:
        del entries[next(iter(entries))]


def _read(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("cannot read refused addresses in %s: %s; they are let in again", path, error)
        return {}
    if not isinstance(found, dict):
        return {}
    return {one: float(until) for one, until in found.items() if isinstance(until, int | float)}
