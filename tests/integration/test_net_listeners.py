"""Listening: everything or nothing, one sentence when it cannot be, and who the kernel says is calling."""

import contextlib
import errno
import logging
import os
import socket
import stat
import struct
from pathlib import Path

import psutil
import pytest
import trio

from dispatcher import settings
from dispatcher.errors import StartupError
from dispatcher.net.listeners import PATH_BYTES, bind, serve
from dispatcher.net.peer import Peer, is_loopback, parse_xucred
from tests.integration.net_server import LOCAL, PLAIN, SECURE, Site, rest_of, running, talk

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.contextmanager
def bound(*listeners):
    opened = bind(listeners)
    try:
        yield [one for _, one in opened]
    finally:
        for _, one in opened:
            one.close()


@contextlib.contextmanager
def taken_port():
    with socket.create_server((LOCAL, 0)) as other:
        yield other.getsockname()[1]


def has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def test_a_taken_port_is_told_with_address_port_and_setting():
    with taken_port() as port, pytest.raises(StartupError) as told:
        bind([settings.Listener(address=LOCAL, port=port, tls=False)])

    assert told.value.sentence == (
        f"cannot listen on {LOCAL} port {port}: {psutil.Process().name()} (pid {os.getpid()}) listens there; "
        "stop it or change listen: in queues.yaml"
    )


def test_one_taken_port_leaves_nothing_bound_and_no_socket_file(tmp_path):
    path = tmp_path / "socket"
    with socket.create_server((LOCAL, 0)) as probe:
        free = probe.getsockname()[1]
    with taken_port() as port:
        wanted = [
            settings.Listener(path=path),
            settings.Listener(address=LOCAL, port=free),
            settings.Listener(address=LOCAL, port=port),
        ]
        with pytest.raises(StartupError, match=f"port {port}:"):
            bind(wanted)

    assert not path.exists()
    with bound(settings.Listener(address=LOCAL, port=free)):
        pass  # else: this port had stayed bound


def test_a_socket_path_that_cannot_be_leaves_no_port_bound(tmp_path):
    with socket.create_server((LOCAL, 0)) as probe:
        free = probe.getsockname()[1]
    (tmp_path / "socket").write_text("precious")
    with pytest.raises(StartupError, match="no socket"):
        bind([settings.Listener(address=LOCAL, port=free), settings.Listener(path=tmp_path / "socket")])

    with bound(settings.Listener(address=LOCAL, port=free)):
        assert (tmp_path / "socket").read_text() == "precious"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_a_star_is_two_sockets_and_the_ipv6_one_takes_no_ipv4():
    with bound(settings.Listener(address="*", port=0)) as (four, six):
        assert (four.family, six.family) == (socket.AF_INET, socket.AF_INET6)
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        assert four.getsockname()[0] == "0.0.0.0"
        assert six.getsockname()[0] == "::"


def without_ipv6(monkeypatch):
    real = socket.socket

    def refuse(family=socket.AF_INET, *rest):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", refuse)


def test_a_machine_without_ipv6_listens_on_ipv4_and_says_so(monkeypatch, caplog):
    without_ipv6(monkeypatch)
    wanted = [settings.Listener(address=one, port=0) for one in ("*", "::1")]
    with bound(*wanted) as sockets:
        families = [one.family for one in sockets]

    assert families == [socket.AF_INET]
    assert [one.levelno for one in caplog.records] == [logging.WARNING] * 2
    assert "no IPv6" in caplog.text


def test_an_ipv6_address_that_was_asked_for_is_not_left_out_in_silence(monkeypatch):
    without_ipv6(monkeypatch)
    with pytest.raises(StartupError, match="2001:db8::1 port 1: this machine has no such address"):
        bind([settings.Listener(address="2001:db8::1", port=1)])


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.name.invalid"])
def test_an_address_that_is_not_ours_is_told(address):
    with pytest.raises(StartupError, match=f"cannot listen on {address} port 1: "):
        bind([settings.Listener(address=address, port=1)])


def test_no_listener_at_all_is_told():
    with pytest.raises(StartupError, match="cannot listen anywhere"):
        bind([])


async def test_tls_without_a_certificate_is_told():
    with pytest.raises(StartupError, match="there is no certificate"):
        await serve([SECURE], Site(), settings.Limits(), None)


def test_a_socket_file_is_open_to_all_below_readable_directories(tmp_path):
    path = tmp_path / "run" / "deep" / "socket"
    mask = os.umask(0o077)
    try:
        with bound(settings.Listener(path=path)):
            modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)]
    finally:
        os.umask(mask)

    assert modes == [0o666, 0o755, 0o755]


def test_a_directory_that_is_there_keeps_its_mode(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    with bound(settings.Listener(path=folder / "socket")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_stale_socket_file_is_replaced_and_ours_stays_at_the_end(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with running(settings.Listener(path=path)) as server:
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(GET)
            await stream.send_eof()
            answer = await rest_of(stream)
        await server.stop()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert path.is_socket()


def test_a_path_that_is_too_long_is_told_with_both_lengths(tmp_path):
    path = tmp_path / ("x" * PATH_BYTES)
    with pytest.raises(
        StartupError, match=f"may have {PATH_BYTES} bytes here, and this has {len(str(path))}"
    ):
        bind([settings.Listener(path=path)])


def test_a_path_of_just_the_allowed_length_can_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "x" * PATH_BYTES
    with bound(settings.Listener(path=Path(name))):
        assert (tmp_path / name).is_socket()


def test_our_sockets_do_not_reach_the_programs_we_start(tmp_path):
    with bound(PLAIN, settings.Listener(path=tmp_path / "socket")) as sockets:
        assert [one.get_inheritable() for one in sockets] == [False, False]


async def test_every_path_is_served_on_every_listener_and_told_in_order(tmp_path):
    path = tmp_path / "socket"
    async with running(PLAIN, settings.Listener(path=path), PLAIN) as server:
        answers = [await talk(port, GET) for port in (server.bound[0].port, server.bound[1].port)]
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(GET)
            await stream.send_eof()
            answers.append(await rest_of(stream))

    assert [one.path or one.address for one in server.bound] == [LOCAL, LOCAL, path]
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    tcp, _, unix = server.site.peers
    assert (tcp.address, tcp.uid, tcp.is_tls, tcp.may_send_password) == (LOCAL, None, False, True)
    assert unix == Peer("", 0, os.getuid(), os.getgid(), is_tls=False, may_send_password=True)


async def test_an_accept_without_descriptors_left_is_tried_again(monkeypatch, caplog):
    real = trio.SocketListener.accept
    failures = iter([errno.EMFILE, errno.ECONNABORTED])

    async def accept(self):
        for number in failures:
            if number == errno.EMFILE:
                raise OSError(number, os.strerror(number))
        return await real(self)

    monkeypatch.setattr(trio.SocketListener, "accept", accept)
    async with running() as server:
        answer = await talk(server.port, GET)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert "EMFILE" in caplog.text


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("fe80::1%em0", False), ("10.0.0.1", False)],
)
def test_loopback_is_told_from_the_rest(address, is_local):
    assert is_loopback(address) is is_local


# As FreeBSD's kernel would fill it in on a 64-bit machine: cr_version, cr_uid, cr_ngroups, padding,
# cr_groups[16], padding to the pointer, cr_pid.
XUCRED = struct.pack("=IIhH16IIII", 0, 1001, 2, 0, 20, 5, *([0] * 14), 0, 4711, 0)


def test_freebsds_peer_credentials_are_user_and_first_group():
    assert len(XUCRED) == 88
    assert parse_xucred(XUCRED) == (1001, 20)


@pytest.mark.parametrize(
    "data", [XUCRED[:-8], b"", b"\x01" + XUCRED[1:], XUCRED[:8] + bytes(2) + XUCRED[10:]]
)
def test_peer_credentials_of_another_shape_make_nobody_root(data):
    with pytest.raises(OSError, match="xucred"):
        parse_xucred(data)
