"""Whose process holds the other end of a connection: by the kernel's own tables, and by recorded ones."""

import os
import socket
import sys

import pytest

from dispatcher.net.owner import freebsd_owner, linux_owner, owner_of
from dispatcher.net.peer import XUCRED

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: {} {} {} 00000000:00000000 00:00000000 00000000  {}        0 12345 1 0000000000000000 20\n"
PEER, OURS = ("127.0.0.1", 40000), ("127.0.0.1", 12150)
PEER_HEX, OURS_HEX = "0100007F:9C40", "0100007F:2F76"
SIX = "00000000000000000000000001000000"
MAPPED = "0000000000000000FFFF00000100007F"


@pytest.fixture
def tables(tmp_path):
    def write(name, *rows):
        (tmp_path / name).write_text(HEAD + "".join(ROW.format(*row) for row in rows))
        return tmp_path

    return write


def test_the_owner_is_that_of_the_row_whose_local_end_is_the_peers(tables):
    folder = tables(
        "tcp",
        (OURS_HEX, PEER_HEX, "01", 0),  # our own end of the same connection
        ("0100007F:9C41", OURS_HEX, "01", 7),
        (PEER_HEX, "0100007F:2F77", "01", 8),
        (PEER_HEX, OURS_HEX, "01", 1000),
    )

    assert linux_owner(PEER, OURS, folder) == 1000


@pytest.mark.parametrize("state", ["06", "08", "04", "05", "0B"])
def test_what_is_closing_has_no_owner(state, tables):
    # The kernel shows such a socket as root's when its process has let it go.
    assert linux_owner(PEER, OURS, tables("tcp", (PEER_HEX, OURS_HEX, state, 0))) is None


def test_ipv6_is_read_and_an_ipv4_address_written_as_one_too(tables):
    folder = tables(
        "tcp6", (f"{SIX}:9C40", f"{SIX}:2F76", "01", 5), (f"{MAPPED}:9C40", f"{MAPPED}:2F76", "01", 6)
    )

    assert linux_owner(("::1", 40000), ("::1", 12150), folder) == 5
    assert linux_owner(PEER, OURS, folder) == 6
    assert linux_owner(("::ffff:127.0.0.1", 40000), OURS, folder) == 6


def test_no_table_and_a_strange_one_tell_nothing(tmp_path, tables):
    assert linux_owner(PEER, OURS, tmp_path / "none") is None
    (tmp_path / "tcp").write_text("a\nb c d e f g h i j\n")
    assert linux_owner(PEER, OURS, tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own table")
@pytest.mark.parametrize(
    ("family", "address", "server_family"),
    [
        (socket.AF_INET, "127.0.0.1", socket.AF_INET),
        (socket.AF_INET6, "::1", socket.AF_INET6),
        (socket.AF_INET6, "::ffff:127.0.0.1", socket.AF_INET),
    ],
)
def test_the_kernel_tells_our_own_connection(family, address, server_family):
    with socket.socket(server_family) as server, socket.socket(family) as client:
        server.bind(("127.0.0.1" if server_family == socket.AF_INET else "::1", 0))
        server.listen()
        client.connect((address, server.getsockname()[1]))
        accepted, peer = server.accept()
        with accepted:
            assert owner_of(peer[:2], accepted.getsockname()[:2]) == os.geteuid()
            client.close()
            assert owner_of(peer[:2], accepted.getsockname()[:2]) is None


def test_freebsd_is_asked_for_the_peers_socket_in_the_form_of_its_kernel():
    asked = []

    def sysctl(name, new, size):
        asked.append((name, new, size))
        return XUCRED.pack(0, 1001, 1, 1001, *[0] * 15)

    assert freebsd_owner(PEER, OURS, sysctl) == 1001
    assert freebsd_owner(("::1", 40000), ("::1", 12150), sysctl) == 1001
    # Two struct sockaddr_in: 16 bytes each, length first, family 2, port in network order.
    four = b"\x10\x02\x9c\x40\x7f\0\0\1" + bytes(8) + b"\x10\x02\x2f\x76\x7f\0\0\1" + bytes(8)
    assert asked[0] == ("net.inet.tcp.getcred", four, XUCRED.size)
    # Two struct sockaddr_in6: 28 bytes each, family 28, flow information, address, scope.
    six = [
        b"\x1c\x1c" + port + bytes(4) + bytes(15) + b"\1" + bytes(4) for port in (b"\x9c\x40", b"\x2f\x76")
    ]
    assert asked[1] == ("net.inet6.tcp6.getcred", six[0] + six[1], XUCRED.size)


def test_freebsd_tells_nothing_if_the_kernel_refuses(monkeypatch):
    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr("dispatcher.net.owner._sysctl", refuse)

    assert owner_of(PEER, OURS) is None


def refuse(name, new, size):
    raise PermissionError(1, "Operation not permitted")
