"""Find the daemon's socket, connect, and stay connected over a restart of the daemon."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

import os
import sys
import time

from dispatcher.cli.client import Client
from dispatcher.cli.exits import ConnectionLost, NoDaemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

RESTART_SECONDS = 60.0
_PAUSE_SECONDS = 0.2


def socket_path(arguments: argparse.Namespace) -> str:
    """Give the path of the socket: from --socket, else from the settings."""
    if arguments.socket:
        return str(arguments.socket)
    # Reading the settings as the daemon does takes ten times as long as the call itself.
    if not _may_name_socket(arguments.config or default_file()):
        return default_socket()
    from pathlib import Path

    from dispatcher.config import load

    return str(load(Path(arguments.config) if arguments.config else None).socket)


def default_file() -> str:
    """Give the system's settings file, as `dispatcher.config` does."""
    return f"{'/usr/local' if _is_freebsd() else ''}/etc/dispatcher/queues.yaml"


def default_socket() -> str:
    """Give the socket of a daemon whose settings name neither it nor its directory, as `config` does."""
    if os.geteuid() == 0:
        return f"{'/var/run' if _is_freebsd() else '/run'}/dispatcher/dispatcher.sock"
    return f"{'/var/db' if _is_freebsd() else '/var/lib'}/dispatcher/dispatcher.sock"


def connect(arguments: argparse.Namespace) -> Client:
    """Connect to the daemon."""
    return Client(socket_path(arguments))


def stay_connected(arguments: argparse.Namespace, client: Client, watch: Callable[[Client], T]) -> T:
    """Call `watch` until it returns, each time with a new connection after the daemon was restarted.

    Jobs go on over a restart, so whoever watches one wants to go on, too. Raises the error of the
    first lost connection if the daemon does not come back in time.
    """
    path = socket_path(arguments)
    while True:
        try:
            with client:
                return watch(client)
        except ConnectionLost as lost:
            client = _reconnect(path, lost)


def _reconnect(path: str, lost: ConnectionLost) -> Client:
    deadline = time.monotonic() + RESTART_SECONDS
    while time.monotonic() < deadline:
        # Nothing tells when a daemon starts again; asking for its socket is all that can be done.
        time.sleep(_PAUSE_SECONDS)
        try:
            return Client(path)
        except NoDaemon:
            continue
    raise lost


def _may_name_socket(file: str) -> bool:
    """Tell whether these words stand in a settings file outside of whole-line comments."""
    try:
        with open(file, "rb") as lines:  # noqa: PTH123 - importing pathlib takes longer than this
            return any(
                (b"unix" in line or b"state_dir" in line or b"\\" in line or b"!" in line)
                and not line.lstrip().startswith(b"#")
                for line in lines
            )
    except FileNotFoundError:
        return file != default_file()
    except OSError:
        return True


def _is_freebsd() -> bool:
    return sys.platform.startswith("freebsd")
