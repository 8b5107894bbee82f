"""The program that holds a port: named where it can be seen, and else not."""

import os
import socket

import psutil
import pytest

from dispatcher.net.holder import holder_of


def test_who_listens_on_a_port_is_named_and_who_only_talks_through_it_is_not():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            own = client.getsockname()[1]

            assert holder_of(port) == f"{psutil.Process().name()} (pid {os.getpid()})"
            assert holder_of(own) == ""


@pytest.mark.parametrize("error", [psutil.AccessDenied(), PermissionError(), NotImplementedError()])
def test_what_may_not_be_seen_is_no_reason_to_fail(monkeypatch, error):
    def fail(_kind):
        raise error

    monkeypatch.setattr(psutil, "net_connections", fail)

    assert holder_of(80) == ""
