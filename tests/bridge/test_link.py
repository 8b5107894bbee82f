"""The daemon's connection to a bridge, against a fake one over loopback."""

import contextlib
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio_websocket
from cryptography.hazmat.primitives.asymmetric import rsa

from dispatcher.access.client_keys import has_signed
from dispatcher.bridge import link as link_module
from dispatcher.bridge.dialing import BridgeUnreachable
from dispatcher.bridge.link import Link
from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.post import PeerOutbox
from dispatcher.bridge.sealing import decode_base64
from dispatcher.settings import BridgeAddress, Limits

PATIENCE = 20
LIMITS = Limits()
TEXT = "aB3" * 20
TOKEN = ["token", 900]
EVENT = {"id": "", "name": "bridge", "namespace": "events"}

Fields = dict[str, Any]


@pytest.fixture(scope="module")
def key() -> OwnKey:
    return OwnKey(rsa.generate_private_key(65537, 2048))


class Echo:
    """A client that gets back what it says, in capitals."""

    def __init__(self, house: "FakeHouse", outbox: PeerOutbox) -> None:
        self._house = house
        self._outbox = outbox
        self._send, self._receive = trio.open_memory_channel[str](100)

    def deliver(self, payload: str) -> None:
        self._send.send_nowait(payload)

    async def serve(self) -> None:
        self._house.alive += 1
        try:
            while True:
                payload = await self._receive.receive()
                if payload == "fail":
                    raise ValueError("a fault of this client's session")
                await self._outbox.put(payload.upper().encode(), bytes.decode)
        finally:
            self._house.alive -= 1
            self._outbox.close()
            self._house.changed.set()
            self._house.changed = trio.Event()


class FakeHouse:
    """The daemon, as the link sees it."""

    def __init__(self) -> None:
        self.alive = 0
        self.changed = trio.Event()
        self.sums = ["sum1"]

    def hostname(self) -> str:
        return "box"

    def checksums(self) -> list[str]:
        return self.sums

    def receive(self, outbox: PeerOutbox) -> Echo:
        return Echo(self, outbox)

    async def until_alive(self, count: int) -> None:
        with trio.fail_after(PATIENCE):
            while self.alive != count:
                await self.changed.wait()


class FakeBridge:
    """One connection from the daemon; the test says what is said."""

    def __init__(self, socket: trio_websocket.WebSocketConnection, key: OwnKey) -> None:
        self.socket = socket
        self._key = key

    async def hear(self) -> Any:
        with trio.fail_after(PATIENCE):
            text = str(await self.socket.get_message())
        return json.loads(text) if text.startswith("{") else text

    async def say(self, message: Fields | str) -> None:
        await self.socket.send_message(message if isinstance(message, str) else json.dumps(message))

    async def until_closed(self) -> None:
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            while True:
                await self.hear()

    async def let_in(self) -> None:
        """Do both halves of the login as the protocol has them."""
        asked = await self.hear()
        assert asked == {"args": "", "id": "server_to_bridge_auth", "name": "auth_ssl", "namespace": "rpc"}
        await self.answer(asked, {"test_string": TEXT})
        signed = await self.hear()
        assert (signed["id"], signed["name"]) == ("server_to_bridge_auth", "auth_ssl")
        signature = decode_base64(signed["args"]["encrypted_string"])
        assert has_signed(self._key.pem, signature, TEXT.encode())
        await self.answer(signed, TOKEN)

    async def answer(self, asked: Fields, args: object, name: str = "response") -> None:
        await self.say({"args": args, "id": asked["id"], "name": name, "namespace": asked["namespace"]})

    async def show(self, *ids: str) -> None:
        await self.say(EVENT | {"args": {"available_connections": ids}})


Act = Callable[[FakeBridge], Awaitable[None]]


class Later:
    """An act that the test gives when it knows the link; `done` raises what has failed in it."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self._given = trio.Event()
        self._done = trio.Event()
        self._act: Act | None = None

    async def __call__(self, bridge: FakeBridge) -> None:
        self.begun.set()
        await self._given.wait()
        assert self._act is not None
        await self._act(bridge)
        self._done.set()

    def give(self, act: Act) -> None:
        self._act = act
        self._given.set()

    async def done(self) -> None:
        with trio.fail_after(PATIENCE):
            await self._done.wait()


@asynccontextmanager
async def linked(key: OwnKey, *acts: Act, limits: Limits = LIMITS) -> AsyncIterator[tuple[FakeHouse, Link]]:
    """A link, and a bridge that plays each act on one connection, then closes it; the test goes on after all."""
    left = list(acts)
    done = trio.Event()

    async def play(request: Any) -> None:
        socket = await request.accept()
        if left:
            act = left.pop(0)
            await act(FakeBridge(socket, key))
            if not left:
                done.set()
        await socket.aclose()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, play, "127.0.0.1", 0, None)
        house = FakeHouse()
        address = BridgeAddress("office", f"ws://127.0.0.1:{server.port}")
        link = Link(address, key, house, limits)
        async with trio.open_nursery() as linking:  # ends while the bridge can still say goodbye
            linking.start_soon(link.run)
            if not any(isinstance(act, Later) for act in acts):
                with trio.fail_after(PATIENCE):
                    await done.wait()
            yield house, link
            linking.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Tries that follow each other quickly; how their distance grows is another test's."""
    monkeypatch.setattr(link_module, "FIRST_DELAY", 0.01)


async def test_the_daemon_logs_in_and_says_what_the_bridge_asks(key):
    ask_keys = {
        "args": {"action": "list_ssl_checksums"},
        "id": "bridge_request_list_keys",
        "name": "settings",
        "namespace": "rpc",
    }
    keys = {
        "args": {"md5_keys": ["sum1"]},
        "id": "bridge_request_list_keys",
        "name": "response",
        "namespace": "rpc",
    }

    async def act(bridge: FakeBridge) -> None:
        await bridge.let_in()
        await bridge.say({"args": "", "id": "ident", "name": "identify", "namespace": "rpc"})
        assert await bridge.hear() == {
            "args": {"hostname": "box", "type": "server"},
            "id": "ident",
            "name": "response",
            "namespace": "rpc",
        }
        await bridge.say(ask_keys)
        assert await bridge.hear() == keys
        for foreign in ("", "{bad", "no line end", "{}", "[1]", '{"name":5,"id":[]}', '{"a":' + "[" * 5000):
            await bridge.say(foreign)
        await bridge.say(ask_keys | {"id": "another"})
        await bridge.say({"args": "", "id": "last", "name": "identify", "namespace": "rpc"})
        assert (await bridge.hear())["id"] == "last"  # and nothing for all the rest

    async with linked(key, act):
        pass


async def test_new_keys_are_told_without_being_asked_again_but_not_before(key):
    async def act(bridge: FakeBridge) -> None:
        await bridge.let_in()
        house.sums = ["sum1", "sum2"]
        link.tell_keys()
        await bridge.say(
            {
                "args": {"action": "list_ssl_checksums"},
                "id": "bridge_request_list_keys",
                "name": "settings",
                "namespace": "rpc",
            }
        )
        assert (await bridge.hear())["args"] == {"md5_keys": ["sum1", "sum2"]}
        house.sums = ["sum3"]
        link.tell_keys()
        assert await bridge.hear() == {
            "args": {"md5_keys": ["sum3"]},
            "id": "bridge_request_list_keys",
            "name": "response",
            "namespace": "rpc",
        }

    async with linked(key, later := Later()) as (house, link):
        link.tell_keys()  # to nobody: it has not asked
        later.give(act)
        await later.done()


async def test_each_client_is_served_from_its_first_word_until_it_has_left(key):
    async def act(bridge: FakeBridge) -> None:
        await bridge.let_in()
        await bridge.say("::{1}\nnot yet there")
        await bridge.show("::{1}", "::{2}")
        assert house.alive == 0
        await bridge.say("::{1}\nhello\nyou")
        assert await bridge.hear() == "::{1}\nHELLO\nYOU"
        await bridge.say("::{2}\none")
        await bridge.say("::{3}\na stranger")
        assert await bridge.hear() == "::{2}\nONE"
        assert house.alive == 2
        await bridge.show("::{2}")
        await house.until_alive(1)
        await bridge.say("::{1}\ngone")
        await bridge.show("::{2}", "::{1}")
        await bridge.say("::{1}\nback")
        assert await bridge.hear() == "::{1}\nBACK"

    async with linked(key, later := Later()) as (house, _):
        later.give(act)
        await later.done()
        await house.until_alive(0)  # none outlives the connection


async def test_a_session_that_fails_ends_no_other(key, caplog):
    async def act(bridge: FakeBridge) -> None:
        await bridge.let_in()
        await bridge.show("::{1}", "::{2}")
        await bridge.say("::{1}\nhello")
        assert await bridge.hear() == "::{1}\nHELLO"
        await bridge.say("::{2}\nfail")
        await house.until_alive(1)
        await bridge.say("::{1}\nhello")
        assert await bridge.hear() == "::{1}\nHELLO"

    async with linked(key, later := Later()) as (house, _):
        later.give(act)
        await later.done()

    assert "a fault of this client's session" in caplog.text


async def test_no_more_clients_than_may_come_over_one_connection_are_served(key):
    async def act(bridge: FakeBridge) -> None:
        await bridge.let_in()
        await bridge.show("::{1}", "::{2}", "::{3}")
        for number in (1, 2, 3, 1):
            await bridge.say(f"::{{{number}}}\nhello")
        heard = [await bridge.hear() for _ in range(3)]
        assert sorted(heard) == ["::{1}\nHELLO", "::{1}\nHELLO", "::{2}\nHELLO"]

    async with linked(key, act, limits=Limits(connections_per_address=2)):
        pass


async def test_the_daemon_comes_back_whenever_the_connection_ends(key, caplog):
    caplog.set_level(logging.INFO, "dispatcher.bridge")

    async def let_in(bridge: FakeBridge) -> None:
        await bridge.let_in()

    async def say_nothing(bridge: FakeBridge) -> None:
        await bridge.hear()

    async with linked(key, let_in, say_nothing, let_in, let_in):
        pass

    said = [record.getMessage() for record in caplog.records]
    assert said.count("connected to the bridge office") == 3
    assert all("office" in one for one in said)


@pytest.mark.parametrize("text", ["short", "not a test string, but something to sign" * 3, None, 5])
async def test_a_bridge_gets_nothing_else_signed(text, key, caplog):
    async def come_back(bridge: FakeBridge) -> None:
        await bridge.hear()

    async def act(bridge: FakeBridge) -> None:
        asked = await bridge.hear()
        await bridge.answer(asked, {"test_string": text})
        await bridge.until_closed()

    async with linked(key, act, come_back):
        pass

    assert "cannot sign what was given as a test string" in caplog.text


async def test_a_bridge_that_does_not_know_the_key_is_told_in_the_log_once(key, caplog):
    async def refuse(bridge: FakeBridge) -> None:
        await bridge.answer(await bridge.hear(), {"test_string": TEXT})
        await bridge.answer(await bridge.hear(), "unauthorized", "error")
        await bridge.until_closed()

    async with linked(key, refuse, refuse, refuse):
        pass

    found = [record.getMessage() for record in caplog.records if "does not let us in" in record.getMessage()]
    assert len(found) == 1
    assert found[0].startswith("the bridge office: ")
    assert f"bridge.pub in its state_dir: SHA-256 {key.fingerprint}" in found[0]


async def test_a_bridge_that_answers_no_ping_or_no_login_is_left(key):
    async def mute(bridge: FakeBridge) -> None:
        # It hears nothing any more: pings are answered where it is read.
        await bridge.until_closed()

    async with linked(key, mute, limits=Limits(login_time=0.1, ping_time=30)):
        pass


@pytest.fixture
def tries(monkeypatch):
    """When a bridge that cannot be reached was tried, by the clock of trio."""
    monkeypatch.setattr(link_module, "FIRST_DELAY", 1.0)
    told: list[float] = []

    @asynccontextmanager
    async def nowhere(*_: object) -> AsyncIterator[None]:
        told.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise BridgeUnreachable("cannot reach it; look whether it runs")
        yield

    monkeypatch.setattr(link_module, "dialled", nowhere)
    return told


async def try_for(seconds: float, key) -> None:
    with trio.move_on_after(seconds):
        await Link(BridgeAddress("office", "wss://nowhere"), key, FakeHouse(), Limits()).run()


async def test_tries_come_at_growing_distances_with_a_limit(monkeypatch, autojump_clock, key, tries):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    await try_for(400, key)

    waits = [round(after - before) for before, after in pairwise(tries)]
    assert waits[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_delays_have_jitter_so_that_not_all_come_at_once(autojump_clock, key, tries):
    await try_for(10_000, key)

    waits = [after - before for before, after in pairwise(tries[7:])]
    assert all(30 <= one <= 60 for one in waits)
    assert len({round(one, 6) for one in waits}) == len(waits) > 100
