"""Ways in and clocks of a SysAdm session, by a virtual clock: challenges, owners, refusals, silence."""

import pytest
import trio

from dispatcher.access import challenge as challenge_module
from dispatcher.access.challenge import Challenge
from dispatcher.access.client_keys import ClientKey
from dispatcher.access.failures import WrongLogin
from dispatcher.access.roles import Caller, Level
from dispatcher.net.http import Request
from dispatcher.net.peer import Peer
from dispatcher.settings import Limits
from tests.api.fakes import TLS_PEER, UNIX_PEER, call, house

LOCAL = Peer("127.0.0.1", 40000, None, None, is_tls=True, may_send_password=True, local=("127.0.0.1", 12150))
LIST = call("dispatcher", {"action": "list"})


def test_a_challenge_suits_the_stock_client():
    # Below 128 characters it writes beyond its buffer, above 245 its key cannot sign.
    assert 128 <= challenge_module.LENGTH <= 245


async def test_a_challenge_lives_30_seconds_and_is_taken_once(autojump_clock):
    challenge = Challenge()
    first = challenge.issue()
    await trio.sleep(29.9)
    taken = challenge.take(), challenge.take()
    late = challenge.issue()
    await trio.sleep(30.1)

    assert taken == (first, "")
    assert challenge.take() == ""
    assert len({first, late, challenge.issue()}) == 3
    assert Challenge().take() == ""


@pytest.mark.parametrize(
    ("name", "owner", "level"),
    [
        ("local", 1000, Level.READ),
        ("local", 1001, None),
        ("local", 0, None),
        ("local", None, None),
        ("plain", 1001, None),
        ("toor", 0, None),
        ("root", 0, None),
        ("admin", 1000, None),
        ("", 1000, None),
    ],
)
async def test_without_a_password_only_the_owner_gets_in_and_never_root(name, owner, level, autojump_clock):
    async with house() as built:
        built.owner = owner
        gate = built.gate
        if level is None:
            with pytest.raises(WrongLogin):
                await gate.by_password(name, "", LOCAL, protocol="sysadm", is_browser=False)
        else:
            caller = await gate.by_password(name, "", LOCAL, protocol="sysadm", is_browser=False)
            assert (caller.name, caller.level) == (name, level)
        assert built.passwords.checks == 0


async def test_rest_takes_the_owner_without_a_password_too_and_no_page(autojump_clock):
    async with house() as built:
        built.owner = 1000
        request = Request("GET", "/", (), LOCAL)
        assert (await built.parts.logins.by_password("local", "", request)).level is Level.READ
        for origin in ("https://evil.example", "null"):
            page = Request("GET", "/", (("origin", origin),), LOCAL)
            with pytest.raises(WrongLogin):
                await built.parts.logins.by_password("local", "", page)


async def test_who_was_refused_is_answered_at_once_and_heard_again_only_after_a_pause(autojump_clock):
    async with house() as built:
        client = built.connect()
        wrong = call("auth", {"username": "admin", "password": "wrong"})
        for _ in range(5):
            assert (await client.ask(wrong))["args"]["reason"] == "wrong user name or password"
        checks, begun = built.passwords.checks, trio.current_time()
        right = call("auth", {"username": "admin", "password": "a:b"})
        first = await client.ask(right)
        assert trio.current_time() == begun
        await client.ask(right)
        paused = trio.current_time() - begun

        assert first["args"]["code"] == "401"
        assert "too many logins from this address" in first["args"]["reason"]
        assert paused == pytest.approx(0.1)
        assert built.passwords.checks == checks


async def test_a_bad_token_is_no_guess(autojump_clock):
    async with house() as built:
        client = built.connect()
        for _ in range(20):
            await client.ask(call("auth_token", {"token": "x"}))

        right = call("auth", {"username": "admin", "password": "a:b"})
        assert (await client.ask(right))["name"] == "response"


def clocks(built, **times):
    object.__setattr__(built.parts, "limits", Limits(**times))


async def test_after_30_seconds_nobody_is_closed_and_who_is_in_is_not(autojump_clock):
    async with house() as built:
        clocks(built)
        stranger, owner = built.connect(TLS_PEER), built.connect(UNIX_PEER)
        member = await built.client(Level.READ)
        await trio.sleep(29.9)
        before = stranger.closed
        await trio.sleep(0.2)

        assert (before, stranger.closed, owner.closed, member.closed) == (None, 1000, None, None)
        # It looks once: who logs out later is left to the idle clock.
        member.say(call("auth_clear", ""))
        await trio.sleep(60)
        assert member.closed is None


@pytest.mark.parametrize("is_revoked", [False, True])
async def test_a_key_that_is_revoked_during_its_login_lets_nobody_in(is_revoked, autojump_clock, monkeypatch):
    async with house() as built:
        key = ClientKey("local", "QUJD", "", "", "")
        monkeypatch.setattr(built.keys, "_keys", (key,))

        async def look_up(*_given):
            await trio.lowlevel.checkpoint()
            if is_revoked:
                built.keys.revoke("local", "QUJD")
            return Caller("local", Level.READ)

        monkeypatch.setattr(built.gate, "_owner_of_key", look_up)
        if is_revoked:
            with pytest.raises(WrongLogin):
                await built.gate.by_found_key(lambda: key, LOCAL, protocol="sysadm")
        else:
            caller = await built.gate.by_found_key(lambda: key, LOCAL, protocol="sysadm")
            assert (caller.name, caller.key) == ("local", key.checksum)


async def test_half_an_hour_of_silence_closes_and_a_pong_is_no_silence(autojump_clock):
    async with house() as built:
        clocks(built)
        silent, answering = await built.client(), await built.client()
        for _ in range(60):
            await trio.sleep(30)
            answering.last_heard = trio.current_time()  # as the pong does it
        await trio.sleep(0.1)

        assert (silent.closed, answering.closed) == (1000, None)
        await trio.sleep(1800)
        assert answering.closed == 1000


async def test_the_size_of_messages_follows_the_login(autojump_clock):
    async with house() as built:
        clocks(built, login_bytes=1000, message_bytes=100_000)
        client = built.connect()
        sizes = []
        for message in (
            call("identify", ""),
            call("auth", {"username": "admin", "password": "a:b"}),
            call("auth", {"username": "admin", "password": "wrong"}),
        ):
            await client.ask(message)
            sizes.append(client.limit)

        assert sizes == [1000, 100_000, 1000]


async def test_a_user_of_the_system_whose_groups_change_is_logged_out(autojump_clock):
    async with house() as built:
        built.owner = 1000
        client = built.connect(LOCAL)
        await client.ask(call("auth", {"username": "local"}))
        await client.ask(call("subscribe", "dispatcher", namespace="events"))
        built.users.levels["local"] = (1000, Level.NOBODY)
        built.users.is_changed = True

        answers = [await client.ask(LIST), await client.hear()]
        assert [answer["args"]["code"] for answer in answers] == ["401", "401"]
        assert {answer["id"] for answer in answers} == {"", "x"}
