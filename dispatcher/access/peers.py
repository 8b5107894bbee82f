"""Who a connection's other end is, before any login: told by the kernel or by its address."""

import pwd
from typing import Protocol

from dispatcher.access.roles import Caller, Level
from dispatcher.settings import Auth


class Peer(Protocol):
    """What this needs of a connection: `address` is "" and `uid` known for a Unix socket."""

    @property
    def address(self) -> str:
        """The IP address, "" for a Unix socket, or of a client behind a bridge what counts as one."""
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


def lacking(peer: Peer, auth: Auth) -> str:
    """Say to a user at the Unix socket who is nobody which group is missing."""
    if peer.uid is None or peer.address:
        return ""
    name = _user_name(peer.uid)
    if auth.loopback != "owner" or not (auth.full_groups or auth.read_groups):
        return f"{name} may not use this daemon's socket: call as root or as the daemon's user, or log in"
    groups = [f"{_either(auth.full_groups)}, who may do all"] if auth.full_groups else []
    groups += [f"{_either(auth.read_groups)}, who may look"] if auth.read_groups else []
    return (
        f"{name} may not use this daemon's socket: it is not in the group {', or '.join(groups)}; "
        "have root add it to one, or log in"
    )


def _either(groups: tuple[str, ...]) -> str:
    return " or ".join(repr(one) for one in groups)


def origin_of(peer: Peer) -> str:
    """Name the other end for the audit and the log."""
    if peer.uid is not None and not peer.address:
        return f"unix uid {peer.uid}"
    if not peer.port:
        return peer.address  # a client behind a bridge, which has no port
    if ":" in peer.address:
        return f"[{peer.address}]:{peer.port}"
    return f"{peer.address}:{peer.port}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
