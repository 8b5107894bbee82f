"""Our client with a real session of the daemon behind it, and between them a bridge that is not honest."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from dispatcher.bridge import client_session
from dispatcher.bridge.client_session import CallRefused, Session, SessionEnded
from dispatcher.bridge.post import Post
from dispatcher.bridge.sealing import ClientHalf, DaemonKey
from dispatcher.errors import NotAuthenticated
from tests.api.told_jobs import pending
from tests.bridge.relayed_clients import CLIENT_KEY, DAEMON_KEY, OTHER_KEY, Office, RelayedPeer, office

Tamper = Callable[[str], list[str]]
PIN = DaemonKey(DAEMON_KEY.fingerprint)


class Middle:
    """What relays between the two; each way it does with a payload what the test wants."""

    def __init__(self, bridge: Office) -> None:
        self.said: list[str] = []  # by the client
        self.answered: list[str] = []  # by the daemon
        self.there: Tamper = lambda payload: [payload]
        self.back: Tamper = lambda payload: [payload]
        self.peer: RelayedPeer = bridge.client()
        post = Post(1_000_000)
        self.session = Session(post.outbox("::{d}"))
        bridge.built.nursery.start_soon(post.run, self._send)
        bridge.built.nursery.start_soon(self._bring)

    async def _send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.said.append(text.partition("\n")[2])
        for payload in self.there(self.said[-1]):
            self.peer.relay(payload)

    async def _bring(self) -> None:
        while True:
            for payload in await self.peer.payloads():
                self.answered.append(payload)
                for brought in self.back(payload):
                    self.session.deliver(brought)
            await trio.sleep(0.001)  # of a clock that jumps


@asynccontextmanager
async def middle() -> AsyncIterator[tuple[Middle, Session, Office]]:
    async with office() as bridge:
        between = Middle(bridge)
        yield between, between.session, bridge


def changed(payload: str, **args: object) -> str:
    """The same plain message with other arguments."""
    message = json.loads(payload)
    for name, value in args.items():
        if value is None:
            del message["args"][name]
        else:
            message["args"][name] = value
    return json.dumps(message)


async def test_an_honest_bridge_lets_calls_and_events_through(autojump_clock):
    async with middle() as (between, session, bridge):
        await session.log_in(CLIENT_KEY, PIN)
        await session.subscribe("dispatcher")
        bridge.built.jobs.tell(pending(1, "true"))

        assert await session.call("identify", "") == {"hostname": "box", "type": "server"}
        name, args = await session.event()
        assert (name, args["state"]) == ("dispatcher", "pending")
        with pytest.raises(CallRefused, match="there is no 'rpc/nonesuch'"):
            await session.call("nonesuch", "")
        assert [one[:1] for one in (between.said[0], between.answered[0])] == ["{", "{"]
        assert not any("{" in one for one in (*between.said[1:], *between.answered[1:]))


async def test_without_encryption_all_the_same_works_in_base64(autojump_clock):
    async with middle() as (between, session, _):
        await session.log_in(CLIENT_KEY, None)

        assert await session.call("dispatcher", {"action": "list"}) == {"jobs": {}}
        assert b'"list"' in base64.b64decode(between.said[-1])


async def test_an_offer_that_was_taken_away_or_replaced_ends_the_login_before_anything_is_proved(
    autojump_clock,
):
    offers = [None, ClientHalf(CLIENT_KEY.checksum).offer]
    for offer in offers:
        async with middle() as (between, session, _):
            between.there = lambda payload, offer=offer: [changed(payload, sealing=offer)]  # type: ignore[misc]

            with pytest.raises(NotAuthenticated, match="look who runs the bridge"):
                await session.log_in(CLIENT_KEY, PIN)
            assert len(between.said) == 1


async def test_a_daemon_with_another_key_gets_no_second_half(autojump_clock):
    async with middle() as (between, session, _):
        with pytest.raises(NotAuthenticated, match="its key is another one"):
            await session.log_in(CLIENT_KEY, DaemonKey(OTHER_KEY.fingerprint))

        assert len(between.said) == 1


@pytest.mark.parametrize(
    "args",
    [{"sealing": None}, {"new_ssl_key": base64.b64encode(OTHER_KEY.pem).decode()}, {"test_string": "QUJD"}],
)
async def test_an_answer_that_was_changed_ends_the_login(args, autojump_clock):
    async with middle() as (between, session, _):
        between.back = lambda payload: [changed(payload, **args)]

        with pytest.raises(NotAuthenticated):
            await session.log_in(CLIENT_KEY, PIN)
        assert len(between.said) == 1


def flipped(payload: str) -> list[str]:
    return [("A" if payload[0] != "A" else "B") + payload[1:]]


FORGED = json.dumps({"namespace": "rpc", "name": "response", "id": "3", "args": {"jobs": {}}})


@pytest.mark.parametrize(
    "tamper",
    [
        flipped,
        lambda payload: [payload, payload],
        lambda payload: [base64.b64encode(FORGED.encode()).decode()],
        lambda payload: [FORGED],
        lambda payload: [""],
        lambda payload: ['{"namespace":"error","name":"error","id":"","args":{"code":"401"}}'],
    ],
    ids=["flip", "repeat", "base64", "plain", "empty", "error"],
)
async def test_what_a_bridge_makes_of_answers_is_believed_in_no_case(tamper, autojump_clock):
    async with middle() as (between, session, _):
        await session.log_in(CLIENT_KEY, PIN)
        between.back = tamper

        if tamper("x") == ["x", "x"]:
            assert await session.call("dispatcher", {"action": "list"}) == {"jobs": {}}  # the first is true
        with pytest.raises(SessionEnded):
            await session.call("dispatcher", {"action": "list"})
        with pytest.raises(SessionEnded):
            await session.event()


@pytest.mark.parametrize("tamper", [flipped, lambda payload: [payload, payload]], ids=["flip", "repeat"])
async def test_what_a_bridge_makes_of_calls_ends_the_session_at_both_ends(tamper, autojump_clock):
    async with middle() as (between, session, bridge):
        await session.log_in(CLIENT_KEY, PIN)
        await session.subscribe("dispatcher")
        between.there = tamper
        with suppress(SessionEnded):
            await session.call("dispatcher", {"action": "run", "once": "true"})
        await trio.sleep(1)

        with pytest.raises(SessionEnded, match="the session with the daemon is over"):
            await session.call("identify", "")
        # The end of the session may come before the call was carried out; it never is twice.
        assert len(bridge.built.jobs.submitted) <= (0 if tamper is flipped else 1)
        assert bridge.built.feed._attached == 0


async def test_a_key_that_the_daemon_does_not_know_is_told_so(autojump_clock):
    async with middle() as (_, session, _):
        with pytest.raises(NotAuthenticated, match="no key with the checksum"):
            await session.log_in(OTHER_KEY, PIN)


async def test_events_that_nobody_takes_end_the_session(autojump_clock, monkeypatch):
    monkeypatch.setattr(client_session, "EVENTS", 3)
    async with middle() as (_, session, bridge):
        await session.log_in(CLIENT_KEY, PIN)
        await session.subscribe("dispatcher")
        for number in range(1, 6):
            bridge.built.jobs.tell(pending(number, "true", key=f"job{number}", changed=number))
        await trio.sleep(1)

        heard: list[Any] = [await session.event() for _ in range(3)]
        assert [args["process_id"] for _, args in heard] == ["job1", "job2", "job3"]
        with pytest.raises(SessionEnded, match="more than 3 events"):
            await session.event()
