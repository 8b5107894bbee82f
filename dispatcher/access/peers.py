"""Who a connection's other end is, before any login: told by the kernel or by its address."""

import pwd
from typing import Protocol

from dispatcher.access.roles import Caller, Level


class Peer(Protocol):
    """What this needs of a connection: `address` is "" and `uid` known for a Unix socket."""

    @property
    def address(self) -> str:
        """The IP address, or "" for a Unix socket."""
        ...

    @property
    def port(self) -> int:
        """The TCP port."""
        ...

    @property
    def uid(self) -> int | None:
        """The user of the process that connected to the Unix socket."""
        ...


def caller_of(peer: Peer, daemon_uid: int, protocol: str = "") -> Caller:
    """Give the caller of a connection without a login.

    Over the Unix socket root and the daemon's own user have full access; everybody else,
    and everybody over TCP, is nobody until a login.
    """
    if peer.uid is None or peer.address:
        return Caller("", Level.NOBODY, origin_of(peer), protocol)
    level = Level.FULL if peer.uid in (0, daemon_uid) else Level.NOBODY
    return Caller(_user_name(peer.uid), level, origin_of(peer), protocol)


def origin_of(peer: Peer) -> str:
    """Name the other end for the audit and the log."""
    if peer.uid is not None and not peer.address:
        return f"unix uid {peer.uid}"
    if ":" in peer.address:
        return f"[{peer.address}]:{peer.port}"
    return f"{peer.address}:{peer.port}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
