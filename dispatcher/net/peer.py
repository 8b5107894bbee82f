"""Who is at the other end of a connection: its address, or over a Unix socket its user.

What is told here decides about access, so it comes from the kernel and never from the client.
"""

import ipaddress
import socket
import struct
import sys

import msgspec
import trio

from dispatcher import settings

# unix(4) and <sys/ucred.h> of FreeBSD: struct xucred, which getsockopt(LOCAL_PEERCRED) fills in.
# Version, user, number of groups, two bytes of padding, 16 groups (the first is the effective one),
# padding and a union that holds the pid.
XUCRED = struct.Struct("=IIh2x16I4x8x")
XUCRED_VERSION = 0
SOL_LOCAL = 0
LOCAL_PEERCRED = 1

UCRED = struct.Struct("=iII")  # unix(7) of Linux: pid, uid, gid


class Peer(msgspec.Struct, frozen=True):
    """The other end: `address` is "" and `uid` known over a Unix socket, and the other way round.

    `may_send_password` is whether nobody can read along: TLS, a Unix socket, loopback, or a
    plain listener for which the settings allow it.
    """

    address: str
    port: int
    uid: int | None
    gid: int | None
    is_tls: bool
    may_send_password: bool
    local: tuple[str, int] = ("", 0)  # our own end: address and port
    end_point: bytes = b""  # the hash of the certificate that it was shown, if one is defined


def peer_of(stream: trio.SocketStream, listener: settings.Listener) -> Peer:
    """Ask the kernel who is connected. Raises OSError if the client is gone already."""
    if listener.path is not None:
        uid, gid = credentials(stream.socket)
        return Peer("", 0, uid, gid, is_tls=False, may_send_password=True)
    address, port = stream.socket.getpeername()[:2]
    is_private = listener.tls or listener.allow_plain_login or is_loopback(address)
    local = stream.socket.getsockname()[:2]
    return Peer(address, port, None, None, listener.tls, is_private, (local[0], local[1]))


def is_loopback(address: str) -> bool:
    """Tell whether an address never leaves this machine."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def credentials(peer: trio.socket.SocketType) -> tuple[int, int]:
    """Give the uid and gid that the other end of a Unix socket had when it connected."""
    if sys.platform == "linux":
        _, uid, gid = UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
        return uid, gid
    return parse_xucred(peer.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED.size))


def parse_xucred(data: bytes) -> tuple[int, int]:
    """Read uid and gid out of FreeBSD's `struct xucred`; OSError if it is not what we know."""
    if len(data) != XUCRED.size:
        raise OSError(f"the kernel's xucred has {len(data)} bytes, not {XUCRED.size}")
    version, uid, count, gid, *_ = XUCRED.unpack(data)
    if version != XUCRED_VERSION or count < 1:
        raise OSError(f"the kernel's xucred has version {version} and {count} groups; this is not known here")
    return uid, gid
