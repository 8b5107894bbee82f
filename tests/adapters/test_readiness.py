"""The word to the service manager, sd_notify(3): one datagram, to those who asked."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.readiness import tell_ready


@pytest.fixture
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path_factory.mktemp("d") / "notify"))
        made.settimeout(5)
        yield made


def test_the_manager_is_told_once_and_no_child_can_tell_it_again(manager, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())

    tell_ready()
    tell_ready()

    assert manager.recv(100) == b"READY=1"
    assert "NOTIFY_SOCKET" not in os.environ
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="abstract sockets are Linux's")
def test_a_socket_of_the_abstract_kind_is_found(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"dispatcher-test-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

        tell_ready()

        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("place", ["", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(monkeypatch, place):
    monkeypatch.setenv("NOTIFY_SOCKET", place)

    tell_ready()

    assert "NOTIFY_SOCKET" not in os.environ
