"""Every socket that the dispatcher listens on, and the server behind them.

Either all of them are bound or none. They are never unlinked at the end: by then the next
supervisor may have bound its own at the same path.
"""

import errno
import logging
import os
import socket
import ssl
import stat
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import trio

from dispatcher import settings
from dispatcher.errors import StartupError
from dispatcher.net.connection import serve_connection
from dispatcher.net.holder import holder_of
from dispatcher.net.http import Routes

BACKLOG = 1024
PATH_BYTES = 107 if sys.platform == "linux" else 103  # sun_path without its final zero
NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT}
SORRY = b"cannot serve you: too many connections are open; try again, or raise limits: %b\n"
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\n"
    b"content-length: %d\r\n\r\n%b"
)

log = logging.getLogger("dispatcher.net")


async def serve(
    listeners: Sequence[settings.Listener],
    routes: Routes,
    limits: settings.Limits,
    tls: ssl.SSLContext | Callable[[], ssl.SSLContext | None] | None,
    *,
    is_refused: Callable[[str], bool] = lambda _address: False,
    task_status: trio.TaskStatus[list[settings.Listener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and serve until cancelled; tell `task_status` what was bound, with the ports that were chosen.

    `tls` may be asked anew for each connection. A connection from an address that `is_refused`
    is closed before a byte of it is read.
    Raises StartupError, and leaves nothing bound, if one of them cannot be. Cancelled, it
    closes each WebSocket with 1001 and returns within about 3 s.
    """
    current = tls if callable(tls) else lambda: tls
    if current() is None and any(one.tls and one.path is None for one in listeners):
        raise StartupError("cannot listen with TLS: there is no certificate; set tls: in queues.yaml")
    bound = bind(listeners)
    door = _Door(routes, limits, current, is_refused)
    async with trio.open_nursery() as nursery:
        for listener, one in bound:
            accept = trio.SocketListener(trio.socket.from_stdlib_socket(one))
            nursery.start_soon(
                partial(
                    trio.serve_listeners, partial(door.admit, listener), [accept], handler_nursery=nursery
                )
            )
        task_status.started([_name(listener, one) for listener, one in bound])


class _Door:
    """Lets connections in, up to the limits, from addresses that are not refused."""

    def __init__(
        self,
        routes: Routes,
        limits: settings.Limits,
        tls: Callable[[], ssl.SSLContext | None],
        is_refused: Callable[[str], bool],
    ) -> None:
        self._routes = routes
        self._limits = limits
        self._tls = tls
        self._is_refused = is_refused
        self._inside = 0
        self._by_address: Counter[str] = Counter()

    async def admit(self, listener: settings.Listener, stream: trio.SocketStream) -> None:
        """Serve one connection, or turn it away if there are too many."""
        tls = self._tls() if listener.tls and listener.path is None else None
        try:
            address = "" if listener.path is not None else stream.socket.getpeername()[0]
        except OSError:
            return  # it is gone already
        if address and self._is_refused(address):
            return
        full = self._full(address)
        if full:
            many = self._inside if full == "connections" else self._by_address[address]
            log.warning("turned a client away: %d connections are open (limits: %s)", many, full)
            if tls is None:
                await _turn_away(stream, full)
            return
        self._inside += 1
        self._by_address[address] += 1
        try:
            await serve_connection(stream, listener, self._routes, self._limits, tls)
        finally:
            self._inside -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _full(self, address: str) -> str:
        """Name the limit that is reached, "" if none is. Who comes over a Unix socket has no address."""
        if self._inside >= self._limits.connections:
            return "connections"
        if address and self._by_address[address] >= self._limits.connections_per_address:
            return "connections_per_address"
        return ""


async def _turn_away(stream: trio.SocketStream, limit: str) -> None:
    sorry = SORRY % limit.encode()
    try:
        with trio.move_on_after(1):
            await stream.send_all(FULL % (len(sorry), sorry))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


def bind(listeners: Sequence[settings.Listener]) -> list[tuple[settings.Listener, socket.socket]]:
    """Bind and listen on everything, or raise StartupError with nothing bound.

    A Unix socket's file is replaced; only the holder of the state directory's lock may call this.
    """
    bound: list[tuple[settings.Listener, socket.socket]] = []
    try:
        for listener in listeners:
            if listener.path is None:
                bound.extend((listener, one) for one in _bind_address(listener))
        # Paths come last: a taken port then leaves the socket file of another daemon alone.
        for listener in listeners:
            if listener.path is not None:
                one = _bind_path(listener.path)
                bound.append((listener, one))
    except BaseException:
        for _, one in bound:
            one.close()
        raise
    if not bound:
        raise StartupError("cannot listen anywhere: name an address of this machine under listen:")
    return bound


def _bind_address(listener: settings.Listener) -> list[socket.socket]:
    # FreeBSD's IPv6 sockets take no IPv4, so "all addresses" is two sockets everywhere.
    addresses = ("0.0.0.0", "::") if listener.address == "*" else (listener.address,)  # noqa: S104
    sockets: list[socket.socket] = []
    for address in addresses:
        try:
            sockets.append(_listen(address, listener.port))
        except OSError as error:
            if error.errno in NO_IPV6 and (listener.address in {"*", "::1"}) and ":" in address:
                log.warning("not listening on %s port %d: no IPv6 on this machine", address, listener.port)
                continue
            for one in sockets:
                one.close()
            raise StartupError(_why_not(f"{address} port {listener.port}", error, listener.port)) from error
    return sockets


def _listen(address: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(where)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _bind_path(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > PATH_BYTES:
        raise StartupError(
            f"cannot listen on {path}: a socket's path may have {PATH_BYTES} bytes here, and this has "
            f"{len(os.fsencode(path))}; choose a shorter one under listen:"
        )
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_parents(path.parent)
        if os.path.lexists(path):
            _unlink_stale(path)
        one.bind(os.fspath(path))
        path.chmod(0o666)  # who may do what is decided by the peer's user, not here
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise StartupError(_why_not(str(path), error)) from error
    except StartupError:
        one.close()
        raise
    return one


def _make_parents(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_parents(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # our umask of 077 would shut everybody out


def _unlink_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise StartupError(
            f"cannot listen on {path}: a file that is no socket is there; remove it or choose another path"
        )
    path.unlink()


def _why_not(where: str, error: OSError, port: int = 0) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            other = (holder_of(port) if port else "") or "another program"
            why = f"{other} listens there; stop it or change listen: in queues.yaml"
        case errno.EACCES | errno.EPERM:
            why = "this user may not; start as root or change listen: in queues.yaml"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            why = "this machine has no such address; change listen: in queues.yaml"
        case _:
            why = f"{error.strerror or error}; change listen: in queues.yaml"
    return f"cannot listen on {where}: {why}"


def _name(listener: settings.Listener, one: socket.socket) -> settings.Listener:
    if listener.path is not None:
        return listener
    address, port = one.getsockname()[:2]
    return msgspec.structs.replace(listener, address=address, port=port)
