"""Whose process holds the other end of a loopback connection, asked of the kernel.

Only an established connection has an owner: what is closing belongs to nobody, and Linux would say
root. Reads a table that may be long: to be called in a thread.
"""

import ctypes
import ipaddress
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from dispatcher.net.peer import XUCRED, parse_xucred

End = tuple[str, int]  # address and port
Sysctl = Callable[[str, bytes, int], bytes]  # name, new value, bytes of the answer -> answer

ESTABLISHED = "01"  # <net/tcp_states.h>
# struct sockaddr_in and sockaddr_in6 of FreeBSD: length, family, port (network order), then the address.
SOCKADDR_IN = struct.Struct("=BB2s4s8x")
SOCKADDR_IN6 = struct.Struct("=BB2s4x16s4x")
AF_INET, AF_INET6 = 2, 28  # of FreeBSD


def owner_of(peer: End, ours: End) -> int | None:
    """Give the uid of who opened the connection from `peer` to `ours`; None if that cannot be told."""
    if sys.platform == "linux":
        return linux_owner(peer, ours)
    try:
        return freebsd_owner(peer, ours, _sysctl)
    except OSError:
        return None


def linux_owner(peer: End, ours: End, tables: Path = Path("/proc/net")) -> int | None:
    """Look the peer's socket up in the tables of proc(5); its local end is the peer's."""
    wanted = _normal(peer), _normal(ours)
    for name in ("tcp", "tcp6"):
        try:
            with (tables / name).open(encoding="ascii") as table:
                next(table, None)
                for line in table:
                    _, local, remote, state, _, _, _, uid, *_ = line.split()
                    if state == ESTABLISHED and (_read_end(local), _read_end(remote)) == wanted:
                        return int(uid)
        except (OSError, ValueError):
            continue  # no IPv6 here, or a table in a form that is not known
    return None


def freebsd_owner(peer: End, ours: End, sysctl: Sysctl) -> int | None:
    """Ask net.inet.tcp.getcred (tcp(4), netinet/tcp_subr.c): the local end first, then the foreign one."""
    is_six = ":" in peer[0]
    name = "net.inet6.tcp6.getcred" if is_six else "net.inet.tcp.getcred"
    uid, _ = parse_xucred(sysctl(name, _sockaddr(*peer) + _sockaddr(*ours), XUCRED.size))
    return uid


def _normal(end: End) -> tuple[bytes, int]:
    """Make ends comparable: an IPv4 address may be written as an IPv6 one."""
    address = ipaddress.ip_address(end[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed, end[1]


def _read_end(text: str) -> tuple[bytes, int]:
    """Read `0100007F:1F90`: words of the address in the byte order of the machine, then the port."""
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return _normal((str(ipaddress.ip_address(packed)), int(port, 16)))


def _sockaddr(address: str, port: int) -> bytes:
    packed = ipaddress.ip_address(address.partition("%")[0]).packed
    if len(packed) == 4:
        return SOCKADDR_IN.pack(SOCKADDR_IN.size, AF_INET, port.to_bytes(2), packed)
    return SOCKADDR_IN6.pack(SOCKADDR_IN6.size, AF_INET6, port.to_bytes(2), packed)


def _sysctl(name: str, new: bytes, size: int) -> bytes:
    libc = ctypes.CDLL(None, use_errno=True)
    answer = ctypes.create_string_buffer(size)
    length = ctypes.c_size_t(size)
    if libc.sysctlbyname(name.encode(), answer, ctypes.byref(length), new, ctypes.c_size_t(len(new))) != 0:
        raise OSError(ctypes.get_errno(), f"cannot ask {name}")
    return answer.raw[: length.value]
