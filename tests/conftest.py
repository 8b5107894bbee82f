"""Fixtures for every folder of tests: a real daemon, ready made or made to order."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.daemon import Daemon, running, write_accounts

MakeDaemon = Callable[..., Daemon]


@pytest.fixture(scope="session")
def accounts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An accounts file with `admin` (full) and `reader` (read), made once: scrypt is slow on purpose."""
    return write_accounts(tmp_path_factory.mktemp("accounts"))


@pytest.fixture
def make_daemon(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeDaemon]:
    """A function that starts a daemon: make_daemon({"queues": ...}) replaces top-level settings."""
    with contextlib.ExitStack() as stack:

        def make(settings: Mapping[str, object] | None = None) -> Daemon:
            # A short name: the path of a Unix socket may have no more than 104 bytes on FreeBSD.
            folder = tmp_path_factory.mktemp("d")
            return stack.enter_context(running(Daemon(folder, accounts_file, settings)))

        yield make


@pytest.fixture
def daemon(make_daemon: MakeDaemon) -> Daemon:
    """A running daemon with the default queues, on a Unix socket, a TLS and a plain port."""
    return make_daemon()
