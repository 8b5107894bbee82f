"""What bad clients send to a real daemon costs them, and never another client."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed

from tests.acceptance.sysadm_client import PATIENCE, Client, call, golden
from tests.daemon import FULL, READ, Daemon, running

MESSAGE_BYTES = 64 * 1024
OUTBOX_BYTES = 64 * 1024
SEND_TIMEOUT = 1.0
LISTS = 1000
LIST = json.dumps(call("dispatcher", {"action": "list"}))
UNREAD = "a client has read nothing for 1 s: its connection is closed"


@pytest.fixture(scope="module")
def daemon(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    limits = {"message_bytes": MESSAGE_BYTES, "outbox_bytes": OUTBOX_BYTES, "send_timeout": SEND_TIMEOUT}
    one = Daemon(tmp_path_factory.mktemp("d"), accounts_file, {"limits": limits})
    with running(one):
        yield one


def send_what_is_refused(daemon: Daemon) -> None:
    """Say everything that is wrong on one connection: each is answered, and the connection stays."""
    with Client(daemon) as client:
        for case in golden("refused.json"):
            answer = client.ask(case["say"])

            reason = answer["args"].pop("reason")
            assert answer == {
                "args": {"code": "400", "message": "Bad Request"},
                "id": case["id"],
                "name": "error",
                "namespace": "error",
            }, case
            assert case["reason"] in reason, case
            assert reason.startswith(("cannot ", "there is no")), case
        assert client.list_jobs() == {"jobs": {}}


def send_what_is_too_large(daemon: Daemon) -> None:
    """A message of exactly the limit is taken; one byte more closes with 1009, in one frame or in many."""
    padding = " " * (MESSAGE_BYTES - len(LIST))
    with Client(daemon) as client:
        assert client.ask(padding + LIST)["args"] == {"jobs": {}}
    for message in (" " + padding + LIST, [" " * 1024] * 65, "é" * (MESSAGE_BYTES // 2 + 1), b" " * 100_000):
        with Client(daemon) as client:
            with contextlib.suppress(ConnectionClosed):  # the rest of it may find the door shut
                client.socket.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                client.answer()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009, message[:10]


def stop_reading(daemon: Daemon) -> None:
    """Ask and ask, read nothing: the connection ends after the send timeout, and not before."""
    question = masked(json.dumps(call("identify", "", call_id="x" * 20_000)))  # comes back with the answer
    closed_before = daemon.stderr.count(UNREAD)
    with connected_by_hand(daemon) as raw:
        begun = time.monotonic()
        raw.settimeout(0.2)
        # The daemon takes no more requests when its answers have no room: then our sending stops, too.
        with contextlib.suppress(TimeoutError):
            while time.monotonic() - begun < PATIENCE:
                raw.sendall(question)
        wait_for_the_close(daemon, closed_before)
        waited = time.monotonic() - begun

        # On a busy machine the daemon is still answering some time after our sending has stopped.
        assert SEND_TIMEOUT <= waited < SEND_TIMEOUT + 5
        raw.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while raw.recv(65536):  # what was on the way, and then the end
                pass


def wait_for_the_close(daemon: Daemon, closed_before: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while daemon.stderr.count(UNREAD) == closed_before:
        assert time.monotonic() < deadline, daemon.stderr
        time.sleep(0.01)


@contextlib.contextmanager
def connected_by_hand(daemon: Daemon) -> Iterator[socket.socket]:
    """Give a WebSocket without a library, which would read whatever comes."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", daemon.plain_port))
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        read_until(raw, b"\r\n\r\n")
        yield raw


def read_until(raw: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        piece = raw.recv(1)
        assert piece, data
        data += piece
    return data


def masked(text: str) -> bytes:
    """One text frame of a client, with a mask of zeros."""
    size = len(text)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
    return b"\x81" + length + bytes(4) + text.encode()


@pytest.mark.parametrize("misbehave", [send_what_is_refused, send_what_is_too_large, stop_reading])
def test_a_bad_client_hears_what_is_wrong_or_is_closed(misbehave, daemon):
    misbehave(daemon)


def test_a_thousand_lists_succeed_while_others_misbehave(daemon):
    listed = threading.Event()
    rounds = {send_what_is_refused: 0, send_what_is_too_large: 0, stop_reading: 0}

    def go_on_with(misbehave) -> None:
        while not listed.is_set():
            misbehave(daemon)
            rounds[misbehave] += 1

    def list_and_list() -> tuple[int, float]:
        count, slowest = 0, 0.0
        try:
            with Client(daemon, READ) as client:
                # All the while: at least a thousand, and until each of the others has come to its end once.
                while count < LISTS or not all(rounds.values()):
                    begun = time.monotonic()
                    assert client.ask(LIST) == {
                        "args": {"jobs": {}},
                        "id": "1",
                        "name": "response",
                        "namespace": "rpc",
                    }
                    slowest = max(slowest, time.monotonic() - begun)
                    count += 1
                    assert not any(bad.done() for bad in others), "a bad client failed"
            return count, slowest
        finally:
            listed.set()

    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(go_on_with, misbehave) for misbehave in rounds]
        good = pool.submit(list_and_list)
        for one in others:
            one.result(60)
        count, slowest = good.result(60)
    print(f"{count} lists, the slowest {slowest:.3f} s, beside {sorted(rounds.values())} rounds")

    assert count >= LISTS
    assert slowest < SEND_TIMEOUT, "a good client waited for a bad one"
    assert daemon.is_running
    assert "Traceback" not in daemon.stderr


def test_events_reach_a_listener_while_another_reads_none(daemon):
    daemon.script("much", "head -c 60000 /dev/zero | tr '\\0' x")
    closed_before = daemon.stderr.count(UNREAD)
    with connected_by_hand(daemon) as raw, Client(daemon) as client:
        raw.sendall(masked(json.dumps(call("auth", {"username": FULL.name, "password": FULL.password}))))
        read_until(raw, b"}")
        raw.sendall(masked(json.dumps(call("subscribe", "dispatcher", namespace="events"))))
        read_until(raw, b'"events"}')
        client.subscribe()
        count = 0
        deadline = time.monotonic() + PATIENCE
        while daemon.stderr.count(UNREAD) == closed_before:
            assert time.monotonic() < deadline, daemon.stderr
            client.run_jobs(k="much")
            assert len(client.finished("k")["much"]) == 60_000
            count += 1

    assert count > 1
