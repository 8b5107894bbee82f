"""Levels of access, and who is calling."""

from enum import IntEnum

from dispatcher.core.model import Value
from dispatcher.errors import Forbidden, NotAuthenticated


class Level(IntEnum):
    """What a caller may do; each level includes the ones below it."""

    NOBODY = 0
    READ = 1  # list, events, logs
    FULL = 2  # run, kill, pause, reload


class Caller(Value, frozen=True):
    """Who sent a request: the account, its level, and where it came from (for the audit).

    `key` is the checksum of the registered key by which it logged in, "" if by something else.
    `lacks` says to a user of this machine who is nobody what would make somebody of it.
    """

    name: str
    level: Level
    origin: str = ""
    protocol: str = ""
    key: str = ""
    lacks: str = ""


NOBODY = Caller("", Level.NOBODY)


class NoGroup(NotAuthenticated):
    """A user at the Unix socket is in no group that may do anything; the sentence names them."""


def require(caller: Caller, level: Level) -> None:
    """Raise NotAuthenticated for nobody and Forbidden for a level that is too low."""
    if caller.level >= level:
        return
    if caller.level is Level.NOBODY and caller.lacks:
        raise NoGroup(caller.lacks)
    if caller.level is Level.NOBODY:
        raise NotAuthenticated("not logged in: log in first")
    raise Forbidden(
        f"account {caller.name!r} may only read: this needs level full (dispatcher passwd NAME --level full)"
    )
