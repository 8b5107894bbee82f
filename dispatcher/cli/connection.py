"""Find the daemon's socket, connect, and stay connected over a restart of the daemon."""

# ruff: noqa: PLC0415 - what only some calls need is imported only there: a call must be quick

from __future__ import annotations

import os
import re
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
_MAY_NAME = (b"unix", b"state_dir", b"\\", b"!")
_PLAIN_STATE_DIR = re.compile(rb"state_dir: *(/[A-Za-z0-9_./-]*[A-Za-z0-9_-])")


def socket_path(arguments: argparse.Namespace) -> str:
    """Give the path of the socket: from --socket, else from the settings."""
    if arguments.socket:
        return str(arguments.socket)
    # Reading the settings as the daemon does takes longer than the call itself.
    found = _socket_at_a_glance(arguments.config or default_file())
    if found is not None:
        return found
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
    return f"{_system_state_dir()}/dispatcher.sock"


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


def _socket_at_a_glance(file: str) -> str | None:
    """Give the socket if the lines of a settings file leave no doubt; None if it must be read as a whole.

    No doubt is: nothing names it but, at most, one plain `state_dir: /path`.
    """
    try:
        with open(file, "rb") as read:  # noqa: PTH123 - importing pathlib takes longer than this
            text = read.read()
    except FileNotFoundError:
        return default_socket() if file == default_file() else None
    except OSError:
        return None
    lines = [
        line.rstrip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(b"#")
    ]
    named = [at for at, line in enumerate(lines) if any(word in line for word in _MAY_NAME)]
    if not named:
        return default_socket()
    plain = _PLAIN_STATE_DIR.fullmatch(lines[named[0]])
    goes_on = lines[named[0] + 1 : named[0] + 2]
    if len(named) > 1 or plain is None or (goes_on and goes_on[0][:1].isspace()):
        return None
    state_dir = plain[1].decode()
    return None if state_dir == _system_state_dir() else f"{state_dir}/dispatcher.sock"


def _system_state_dir() -> str:
    return f"{'/var/db' if _is_freebsd() else '/var/lib'}/dispatcher"


def _is_freebsd() -> bool:
    return sys.platform.startswith("freebsd")
