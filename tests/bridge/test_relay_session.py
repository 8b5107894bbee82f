"""A peer's session with a socket that is none: its clocks, its order, and what it does without room."""

import json
import logging
from types import SimpleNamespace

import pytest
import trio

from dispatcher.access.challenge import SECONDS
from dispatcher.access.failures import AddressRefused, Failures
from dispatcher.bridge import relay_frames as frames
from dispatcher.bridge.relay import Kind
from dispatcher.bridge.relay_gate import RelayGate
from dispatcher.bridge.relay_keys import TrustedKey
from dispatcher.bridge.relay_session import Parts, PeerSession, serve_peer
from dispatcher.net.peer import Peer
from dispatcher.net.websocket import SocketClosed
from dispatcher.settings import Auth, Limits

PEER = Peer("10.0.0.1", 5, None, None, is_tls=True, may_send_password=True)
OPEN_NETWORK = Peer("10.0.0.1", 5, None, None, is_tls=False, may_send_password=False)
RIGHT = {"encrypted_string": "cmlnaHQ="}
WRONG = {"encrypted_string": "d3Jvbmc="}


class Keys:
    """Trusted keys, where the signature `right` is that of the first."""

    def __init__(self, *keys):
        self.keys = keys

    def refresh(self):
        return False

    def all(self):
        return self.keys

    def sums_of(self, nick):
        return frozenset(key.checksum for key in self.keys if key.nick == nick)

    def find(self, signature, challenge, checksum=""):
        del challenge
        found = [key for key in self.keys if checksum in {"", key.checksum}]
        return found[0] if signature == b"right" and found else None


class Socket:
    """Takes what is sent, as far as there is room, and gives what the test says."""

    def __init__(self):
        self.said = []
        self.room = 1000
        self.end = None
        self.limit = self.outbox_limit = 0
        self.on_drained = lambda: None
        self._closed = trio.Event()
        self.put, self._messages = trio.open_memory_channel(100)
        self._has_room = trio.Event()
        self._waiting = 0
        self._has_said = trio.Event()

    async def heard(self, count):
        """Return when so many messages were sent: keys are looked for in a thread."""
        with trio.fail_after(20):
            while len(self.said) < count:
                self._has_said = trio.Event()
                await self._has_said.wait()

    async def receive(self):
        try:
            return await self._messages.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise SocketClosed from None

    async def send(self, message):
        await trio.lowlevel.checkpoint()
        if self.end is not None:
            raise SocketClosed
        while self.room <= 0:
            self._waiting += 1
            await self._has_room.wait()
            self._waiting -= 1
        self._take(message)

    def offer(self, frame):
        if self.room <= 0:
            return False
        size = frame[1]
        self._take(frame[2:] if size < 126 else frame[4:] if size == 126 else frame[10:])
        return True

    def _take(self, message):
        self.room -= 1
        text = message.decode() if isinstance(message, bytes) else message
        self._has_said.set()
        self.said.append(json.loads(text) if text.startswith("{") else text)

    def make_room(self):
        """Have room; as at the real one, who waits for it comes before what was refused."""
        self.room = 1000
        self._has_room.set()
        if not self._waiting:
            self.on_drained()

    def limit_messages(self, limit_bytes):
        self.limit = limit_bytes

    def limit_outbox(self, limit_bytes):
        self.outbox_limit = limit_bytes

    async def close(self, code, reason=""):
        if self.end is None:
            self.end = (code, reason)
        self._messages.close()
        await trio.lowlevel.checkpoint()

    def ask(self, name, args):
        self.put.send_nowait(json.dumps({"namespace": "rpc", "name": name, "id": "1", "args": args}))

    def answer(self, to, args):
        self.put.send_nowait(json.dumps({"namespace": "rpc", "name": "response", "id": to, "args": args}))


@pytest.fixture
def key():
    return TrustedKey("web", "some pem", None, "")


@pytest.fixture
def parts(key, tmp_path):
    failures = Failures(tmp_path / "refused.json", Auth(failures=3), trio.current_time)
    return Parts(RelayGate(Keys(key), failures), Limits(login_time=60.0), 900.0)  # type: ignore[arg-type]


def present(parts, key, kind, sums):
    """A session that has its place already; what it says is not read."""
    socket = Socket()
    session = PeerSession(parts, socket, SimpleNamespace(peer=PEER))  # type: ignore[arg-type]
    session.key, session._kind, session._sums = key, kind, frozenset(sums)
    parts.sessions.add(session)
    session.check_keys()
    return session, socket


async def serve(parts, socket, nursery, peer=PEER):
    nursery.start_soon(serve_peer, parts, socket, SimpleNamespace(peer=peer))
    await trio.testing.wait_all_tasks_blocked()


async def answers(socket):
    await trio.testing.wait_all_tasks_blocked()
    said, socket.said = socket.said, []
    return said


async def test_a_test_string_is_good_for_30_seconds(parts, autojump_clock, nursery):
    socket = Socket()
    await serve(parts, socket, nursery)
    socket.ask("auth_ssl", "")
    await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(SECONDS + 0.1)
    await answers(socket)
    socket.ask("auth_ssl", RIGHT)
    (answer,) = await answers(socket)

    assert (answer["name"], answer["args"]) == ("error", "unauthorized")
    assert SECONDS == 30
    nursery.cancel_scope.cancel()


async def test_who_has_not_logged_in_is_closed_after_the_time_for_it(parts, autojump_clock, nursery):
    socket = Socket()
    await serve(parts, socket, nursery)
    await trio.sleep(59)
    assert socket.end is None
    await trio.sleep(2)

    assert socket.end == (1000, "")
    assert parts.sessions == set()


async def test_who_has_logged_in_stays(parts, autojump_clock, nursery):
    socket = Socket()
    await serve(parts, socket, nursery)
    (session,) = parts.sessions
    session.key = parts.gate.keys.all()[0]
    await trio.sleep(3600)

    assert socket.end is None
    nursery.cancel_scope.cancel()


async def test_who_has_logged_in_may_say_more_and_keys_told_before_do_not_count(parts, key, nursery):
    socket = Socket()
    await serve(parts, socket, nursery)
    assert socket.limit == Limits().login_bytes
    socket.answer(frames.IDENTIFY_ID, {"type": "client"})
    socket.answer(frames.LIST_KEYS_ID, {"md5_keys": [key.checksum]})
    socket.ask("auth_ssl", "")
    socket.ask("auth_ssl", RIGHT)
    await socket.heard(4)

    assert [one["id"] for one in socket.said] == [frames.IDENTIFY_ID, "1", "1", frames.LIST_KEYS_ID]
    assert socket.limit == Limits().message_bytes
    assert socket.outbox_limit == Limits().outbox_bytes + Limits().message_bytes
    next(iter(parts.sessions)).check_keys()
    assert parts.present == {}
    socket.answer(frames.LIST_KEYS_ID, {"md5_keys": [key.checksum]})
    await trio.testing.wait_all_tasks_blocked()
    assert [session.key for session in parts.present.values()] == [key]
    nursery.cancel_scope.cancel()


async def test_a_login_anew_that_fails_is_the_end_whatever_follows(parts, key, nursery):
    socket = Socket()
    await serve(parts, socket, nursery)
    for args in ("", RIGHT, "", WRONG, "", RIGHT):
        socket.ask("auth_ssl", args)
    await socket.heard(6)
    await trio.testing.wait_all_tasks_blocked()

    assert socket.end == (1008, "its new login has failed")
    assert socket.said[-1]["args"] == "unauthorized"
    assert parts.sessions == set()


async def wrong_proofs(parts, nursery, count, named, peer):
    socket = Socket()
    await serve(parts, socket, nursery, peer)
    for _ in range(count):
        socket.ask("auth_ssl", {"md5_key": named} if named else "")
        socket.ask("auth_ssl", WRONG)
    await socket.heard(1 + 2 * count)
    assert {one["args"] for one in socket.said if one["name"] == "error"} == {"unauthorized"}


def peer_at(address):
    return Peer(address, 1, None, None, is_tls=True, may_send_password=True)


async def test_wrong_proofs_count_for_the_address_and_for_the_key_that_was_named(parts, key, nursery):
    for number in range(3):
        await wrong_proofs(parts, nursery, 1, key.checksum, peer_at(f"10.0.1.{number}"))
        await wrong_proofs(parts, nursery, 1, "no trusted key", peer_at(f"10.0.2.{number}"))
    await wrong_proofs(parts, nursery, 3, "", peer_at("10.0.3.3"))
    gate = parts.gate

    assert gate.failures.is_refused("10.0.3.3")
    assert not gate.failures.is_refused("10.0.1.0")
    assert gate.failures.is_refused(f"key {key.checksum}")
    assert not gate.failures.is_refused("key no trusted key")
    with pytest.raises(Exception, match="too many proofs of the key that it names have failed"):
        await gate.admit(RIGHT, "x", key.checksum, PEER)
    # Nobody can lock another out by naming its key.
    assert await gate.admit(RIGHT, "x", "", PEER) == key
    nursery.cancel_scope.cancel()


async def test_a_refused_address_is_not_listened_to_even_with_the_right_key(parts, key):
    assert await parts.gate.admit(RIGHT, "x", "", PEER) == key
    for _ in range(3):
        await parts.gate.failures.count(PEER.address)

    with pytest.raises(AddressRefused):
        await parts.gate.admit(RIGHT, "x", "", PEER)


async def test_a_proof_over_an_open_network_is_not_looked_at(parts, nursery, caplog):
    caplog.set_level(logging.WARNING)
    socket = Socket()
    await serve(parts, socket, nursery, OPEN_NETWORK)
    socket.ask("auth_ssl", "")
    socket.ask("auth_ssl", RIGHT)

    assert (await answers(socket))[-1]["args"] == "unauthorized"
    assert "this connection is not encrypted" in caplog.text
    nursery.cancel_scope.cancel()


async def test_a_key_that_is_removed_during_the_proof_does_not_count(parts, key):
    class Emptied(Keys):
        def all(self):
            return ()

    gate = RelayGate(Emptied(key), parts.gate.failures)  # type: ignore[arg-type]

    with pytest.raises(Exception, match="no trusted key has signed"):
        await gate.admit(RIGHT, "x", "", PEER)


async def test_a_peer_without_room_is_told_the_newest_list_once_there_is(parts, key):
    server, heard = present(parts, key, Kind.SERVER, ["k"])
    heard.room = 0
    own = key.checksum
    first, _ = present(parts, key, Kind.CLIENT, [own])
    parts.pairing.place(server.id, Kind.SERVER, [own])
    server.show()
    second, _ = present(parts, key, Kind.CLIENT, [own])
    first.leave()
    assert heard.said == []
    heard.make_room()

    assert [one["args"]["available_connections"] for one in heard.said] == [[second.id]]


async def test_a_server_hears_of_a_client_before_it_hears_the_client(parts, key, nursery):
    own = key.checksum
    server, heard = present(parts, key, Kind.SERVER, [own])
    heard.room = 0
    client, _ = present(parts, key, Kind.CLIENT, [own])
    nursery.start_soon(server.take, f"{client.id}\nhello")
    await trio.testing.wait_all_tasks_blocked()
    heard.make_room()
    await trio.testing.wait_all_tasks_blocked()

    assert heard.said[0]["args"] == {"available_connections": [client.id]}
    assert heard.said[-1] == f"{client.id}\nhello"


async def test_a_client_without_room_is_ended_and_a_server_is_waited_for(parts, key, nursery):
    own = key.checksum
    server, at_server = present(parts, key, Kind.SERVER, [own])
    client, at_client = present(parts, key, Kind.CLIENT, [own])
    other, _ = present(parts, key, Kind.CLIENT, [own])
    at_client.room = at_server.room = 0
    await client.take("x\ny")
    nursery.start_soon(server.take, f"{other.id}\nz")
    await trio.testing.wait_all_tasks_blocked()

    assert client.id not in parts.present
    assert parts.pairing.visible(server.id) == (other.id,)
    assert server.id in parts.present
    at_server.make_room()
    await trio.testing.wait_all_tasks_blocked()
    assert at_server.said[-1] == f"{other.id}\nz"


async def test_what_is_for_a_server_that_is_gone_ends_nobody(parts, key):
    server, socket = present(parts, key, Kind.SERVER, ["k"])
    socket.end = (1000, "")
    await server.take("x\ny")

    assert socket.said == []
