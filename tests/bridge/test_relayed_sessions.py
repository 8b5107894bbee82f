"""Sessions of clients behind a bridge: how they begin, what they may, and what ends them."""

import base64
import json

import pytest
import trio
import trio.testing

from dispatcher.bridge.channels import Encoded, Plain
from dispatcher.bridge.relayed import COUNT
from dispatcher.bridge.sealing import decode_base64
from tests.api.fakes import FULL, call, run
from tests.api.told_jobs import finished, pending
from tests.bridge.relayed_clients import (
    CLIENT_KEY,
    DAEMON_KEY,
    FULL_USER,
    OTHER_KEY,
    READ_USER,
    office,
    register,
)

LIST = call("dispatcher", {"action": "list"})
SUBSCRIBE = call("subscribe", "dispatcher", namespace="events")
SEALS = pytest.mark.parametrize("seals", [False, True], ids=["base64", "sealed"])


@SEALS
async def test_a_client_logs_in_and_has_the_rights_of_its_keys_user(seals, autojump_clock):
    async with office() as bridge:
        client = bridge.client()

        assert (await client.ask(call("identify", "")))["args"] == {"hostname": "box", "type": "server"}
        assert (await client.ask(LIST))["args"]["code"] == "401"
        answer = await client.log_in(seals=seals)

        assert (len(answer["args"][0]), answer["args"][1]) == (20, 900)
        assert (await client.ask(run(a="true")))["args"] == {"started": ["a"]}
        assert (await client.ask(call("identify", "")))["args"]["hostname"] == "box"


async def test_the_first_answer_is_plain_and_holds_what_the_protocol_wants(autojump_clock):
    async with office() as bridge:
        args, _ = await bridge.client().first_half()
        sealed, _ = await bridge.client("::{2}").first_half(seals=True)

        text = decode_base64(args["test_string"]).decode()
        assert (len(text), text.isalnum(), text.isascii()) == (200, True, True)
        assert decode_base64(args["new_ssl_key"]) == DAEMON_KEY.pem
        assert args.keys() == {"test_string", "new_ssl_key"}
        assert sealed.keys() == {"test_string", "new_ssl_key", "sealing"}
        assert sealed["sealing"].keys() == {"v", "x25519", "signature"}


async def test_an_old_client_hears_nothing_but_base64_from_the_second_half_on(autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        client.say(call("identify", ""))
        (plain,) = await client.payloads()
        assert plain.startswith("{")
        await client.log_in()
        client.say(SUBSCRIBE)
        relayed = await client.payloads()
        bridge.built.jobs.tell(pending(1, "true"))
        relayed += await client.payloads()

        heard = [json.loads(base64.b64decode(one, validate=True)) for one in relayed]
        assert [one["name"] for one in heard] == ["response", "dispatcher"]
        assert heard[1]["id"] == "none"
        # What it says in the clear is understood, as the original did.
        client.channel = Plain()
        client.say(call("identify", ""))
        client.channel = Encoded()
        assert (await client.silence())[0]["args"]["type"] == "server"
        client.relay("no base64 at all")
        assert (await client.silence())[0]["args"]["code"] == "400"


@SEALS
async def test_events_come_until_the_client_has_left_and_its_login_ends_with_it(seals, autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        token = (await client.log_in(seals=seals))["args"][0]
        await client.ask(SUBSCRIBE)
        job = pending(1, "true")
        bridge.built.jobs.tell(job)
        assert [one["args"]["state"] for one in await client.silence()] == ["pending"]

        client.leave()
        await trio.testing.wait_all_tasks_blocked()
        bridge.built.jobs.tell(finished(job, 2, 4))

        assert await client.payloads() == []
        assert bridge.built.feed._attached == 0
        assert not bridge.built.tokens._followed
        assert bridge.built.tokens.find(token) is None


@SEALS
async def test_a_key_that_is_revoked_ends_the_sessions_that_began_with_it(seals, autojump_clock):
    async with office() as bridge:
        register(bridge.built, OTHER_KEY, READ_USER)
        client, other = bridge.client(), bridge.client("::{2}", OTHER_KEY)
        await client.log_in(seals=seals)
        await other.log_in(seals=seals)
        for one in (client, other):
            await one.ask(SUBSCRIBE)

        bridge.built.tokens.end_key(FULL_USER, CLIENT_KEY.checksum)
        bridge.built.jobs.tell(pending(1, "true"))

        (told,) = await client.silence()
        assert (told["id"], told["args"]["code"]) == ("", "401")
        assert (await client.ask(LIST))["args"]["code"] == "401"
        assert [one["name"] for one in await other.silence()] == ["dispatcher"]


@SEALS
async def test_the_token_in_the_answer_lets_nobody_in_anywhere_else(seals, autojump_clock):
    async with office() as bridge:
        token = (await bridge.client().log_in(seals=seals))["args"][0]

        direct = bridge.built.connect()
        assert (await direct.ask(call("auth_token", {"token": token})))["args"]["code"] == "401"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("auth", {"username": "admin", "password": "a:b"}),
        ("auth_token", {"token": "LIVE"}),
        ("auth_token", {"token": ""}),
        ("authfoo", {}),
    ],
)
async def test_only_a_key_lets_in_over_a_bridge(name, args, autojump_clock):
    async with office() as bridge:
        live, _ = bridge.built.tokens.issue(FULL)
        if args.get("token") == "LIVE":
            args = {"token": live}
        client = bridge.client()

        refused = await client.ask(call(name, args))

        assert refused["args"]["code"] == "401"
        assert "over a bridge" in refused["args"]["reason"]
        assert bridge.built.passwords.checks == 0
        assert bridge.built.tokens.find(live) is not None
        assert (await client.ask(LIST))["args"]["code"] == "401"


@pytest.mark.parametrize(
    "args", ["", {}, {"md5_key": ""}, {"md5_key": 5}, {"md5_key": "x" * 65}, {"md5_key": "a\nb"}]
)
async def test_the_key_must_be_named(args, autojump_clock):
    async with office() as bridge:
        refused = await bridge.client().ask(call("auth_ssl", args))

        assert refused["args"]["code"] == "401"
        assert "give `md5_key`" in refused["args"]["reason"]


async def test_a_key_that_is_not_registered_here_gets_no_test_string(autojump_clock):
    async with office() as bridge:
        refused = await bridge.client(key=OTHER_KEY).ask(call("auth_ssl", {"md5_key": OTHER_KEY.checksum}))

        assert refused["args"]["code"] == "401"
        assert "no key with the checksum" in refused["args"]["reason"]


@SEALS
async def test_the_key_that_was_named_must_have_signed(seals, autojump_clock):
    async with office() as bridge:
        register(bridge.built, OTHER_KEY, READ_USER)
        client = bridge.client()
        by_other = await client.begin(seals=seals, signer=OTHER_KEY)
        refused = await client.ask(call("auth_ssl", {"encrypted_string": by_other}))
        assert refused["args"]["code"] == "401"
        for wrong in ("AAAA", "", 5):
            await client.begin(seals=seals)
            refused = await client.ask(call("auth_ssl", {"encrypted_string": wrong}))
            assert refused["args"]["code"] == "401"
        assert (await client.ask(LIST))["args"]["code"] == "401"


@SEALS
async def test_a_test_string_is_good_once(seals, autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        word = await client.begin(seals=seals)
        assert (await client.ask(call("auth_ssl", {"encrypted_string": word})))["name"] == "response"

        again = await client.ask(call("auth_ssl", {"encrypted_string": word}))

        assert again["args"]["code"] == "401"
        assert (await client.ask(LIST))["args"]["code"] == "401"  # and the login before has ended


async def test_a_sealed_session_takes_no_signature_of_a_text(autojump_clock):
    """The bridge could have a test string signed; the word of a session it could not."""
    async with office() as bridge:
        client = bridge.client()
        args, half = await client.first_half(seals=True)
        await trio.testing.wait_all_tasks_blocked()
        del half
        plain = bridge.client("::{2}")
        await plain.begin()
        text = decode_base64(args["test_string"]).decode()
        client.channel = Encoded()
        client.relay(client.written(call("auth_ssl", {"encrypted_string": CLIENT_KEY.sign_text(text)})))

        (told,) = [json.loads(one) for one in await client.payloads()]
        assert told["args"]["code"] == "401"
        assert "this session has ended" in told["args"]["reason"]


# --- failures -------------------------------------------------------------------------------


@SEALS
async def test_failures_count_against_the_key_and_nobody_else(seals, autojump_clock):
    async with office() as bridge:
        register(bridge.built, OTHER_KEY, READ_USER)
        guesser, other = bridge.client(), bridge.client("::{2}", OTHER_KEY)
        for _ in range(5):
            await guesser.begin(seals=seals)
            refused = await guesser.ask(call("auth_ssl", {"encrypted_string": "AAAA"}))
            assert "no signature" in refused["args"]["reason"]

        client = bridge.client("::{3}")  # the same key, in another connection to the bridge
        refused = await client.ask(call("auth_ssl", {"md5_key": CLIENT_KEY.checksum}))

        assert refused["args"]["code"] == "401"
        assert "too many logins" in refused["args"]["reason"]
        assert (await other.log_in(seals=seals))["name"] == "response"
        assert list(bridge.built.gate.failures._refused_until) == [f"bridge office key {CLIENT_KEY.checksum}"]


async def test_who_names_foreign_keys_has_nobody_refused(autojump_clock):
    async with office() as bridge:
        client = bridge.client(key=OTHER_KEY)
        for _ in range(20):
            await client.ask(call("auth_ssl", {"md5_key": OTHER_KEY.checksum}))

        assert bridge.built.gate.failures._refused_until == {}
        assert bridge.built.gate.failures._counts == {}


# --- a bridge that is not honest ------------------------------------------------------------


async def test_with_require_encryption_a_session_without_is_refused_with_the_reason(autojump_clock):
    async with office(must_seal=True) as bridge:
        client = bridge.client()

        refused = await client.ask(call("auth_ssl", {"md5_key": CLIENT_KEY.checksum}))

        assert refused["args"]["code"] == "401"
        assert "bridges: require_encryption" in refused["args"]["reason"]
        assert (await client.log_in(seals=True))["name"] == "response"


def flipped(payload: str) -> str:
    return ("A" if payload[0] != "A" else "B") + payload[1:]


@pytest.mark.parametrize(
    "forge",
    [
        flipped,
        lambda payload: payload[:-4],
        lambda payload: "",
        lambda payload: "not base64",
        lambda payload: json.dumps(call("dispatcher", {"action": "run", "evil": "true"})),
        lambda payload: base64.b64encode(json.dumps(run(evil="true")).encode()).decode(),
    ],
    ids=["flip", "cut", "empty", "no base64", "plain", "base64"],
)
async def test_one_wrong_message_ends_a_sealed_session_and_nothing_of_it_is_done(forge, autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        await client.log_in(seals=True)
        await client.ask(SUBSCRIBE)
        good = client.written(run(good="true"))

        client.relay(forge(good))
        (told,) = [json.loads(one) for one in await client.payloads()]
        client.relay(good)
        (more,) = [json.loads(one) for one in await client.payloads()]

        assert (told["id"], told["args"]["code"]) == ("", "401")
        assert "ended" in told["args"]["reason"]
        assert more["args"]["code"] == "400"  # that is no message before a login
        assert bridge.built.jobs.submitted == []
        bridge.built.jobs.tell(pending(1, "true"))
        assert await client.payloads() == []
        assert (await client.log_in(seals=True))["name"] == "response"  # it may begin again


async def test_what_is_repeated_is_done_once_and_ends_the_session(autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        await client.log_in(seals=True)
        once = client.written(run(a="true"))

        client.relay(once)
        assert (await client.silence())[0]["args"] == {"started": ["a"]}
        client.relay(once)

        (told,) = [json.loads(one) for one in await client.payloads()]
        assert told["args"]["code"] == "401"
        assert [job.key for job in bridge.built.jobs.submitted] == ["a"]


async def test_a_session_that_is_begun_again_takes_nothing_of_the_one_before(autojump_clock):
    """The bridge begins one in the client's name while an answer is under way: it gets nothing of it."""
    async with office() as bridge:
        client = bridge.client()
        await client.log_in(seals=True)
        await client.ask(SUBSCRIBE)
        bridge.built.jobs.gate = trio.Event()
        client.say(run(secret="true"))
        assert await client.payloads() == []

        args, _ = await client.first_half()  # in the clear, as a bridge could
        assert args.keys() == {"test_string", "new_ssl_key"}
        bridge.built.jobs.gate.set()
        bridge.built.jobs.tell(pending(7, "true", key="secret"))

        assert await client.payloads() == []
        client.channel = Encoded()
        assert (await client.ask(LIST))["args"]["code"] == "401"


async def test_what_waits_to_be_sent_in_a_session_is_dropped_when_another_begins(autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        await client.log_in(seals=True)
        bridge.room = trio.Semaphore(0)  # the bridge takes nothing for a while
        for number in range(5):
            client.say(call("dispatcher", {"action": "list"}, id=f"old{number}"))
        await trio.testing.wait_all_tasks_blocked()
        client.relay(json.dumps(call("auth_ssl", {"md5_key": CLIENT_KEY.checksum}, id="new")))
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(10):
            bridge.room.release()

        on_its_way, first_half = await client.payloads()
        assert not on_its_way.startswith("{")
        assert json.loads(first_half)["id"] == "new"


async def test_a_session_may_be_begun_again_through_itself(autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        await client.log_in(seals=True)
        client.say(call("auth_ssl", {"md5_key": CLIENT_KEY.checksum}, id="again"))

        (heard,) = [json.loads(one) for one in await client.payloads()]

        assert (heard["id"], heard["args"].keys()) == ("again", {"test_string", "new_ssl_key"})


# --- bounds ---------------------------------------------------------------------------------


async def test_a_message_above_the_limit_ends_the_session(autojump_clock):
    async with office() as bridge:
        client = bridge.client()
        client.relay("x" * 100_000)  # before a login 64 KiB are too much

        (told,) = await client.silence()
        assert (told["id"], told["args"]["code"]) == ("", "401")
        assert "a message above 65536 bytes" in told["args"]["reason"]
        await client.log_in(seals=True)
        assert (await client.ask(call("identify", "x" * 100_000)))["args"]["type"] == "server"


async def test_a_client_that_sends_faster_than_it_is_served_loses_its_session_and_no_other(autojump_clock):
    async with office() as bridge:
        register(bridge.built, OTHER_KEY, READ_USER)
        fast, other = bridge.client(), bridge.client("::{2}", OTHER_KEY)
        await fast.log_in(seals=True)
        await other.log_in(seals=True)
        bridge.built.jobs.gate = trio.Event()

        for number in range(COUNT + 40):
            fast.say(run(**{f"job{number}": "true"}))

        assert (await other.ask(LIST))["args"] == {"jobs": {}}
        bridge.built.jobs.gate.set()
        told = [json.loads(one) for one in await fast.payloads() if one.startswith("{")]
        assert "too many messages were sent at once" in told[0]["args"]["reason"]


async def test_events_for_a_slow_client_are_merged_and_others_hear_all(autojump_clock):
    async with office(outbox_bytes=2000) as bridge:
        register(bridge.built, OTHER_KEY, READ_USER)
        client = bridge.client()
        await client.log_in(seals=True)
        await client.ask(SUBSCRIBE)
        bridge.room = trio.Semaphore(0)  # the bridge takes nothing for a while
        jobs = [pending(number, "true", key=f"job{number}", changed=number) for number in range(1, 41)]
        for job in jobs:
            bridge.built.jobs.tell(job)
        await trio.testing.wait_all_tasks_blocked()
        for job in jobs:
            bridge.built.jobs.tell(finished(job, job.number + 40, 4))
        await trio.testing.wait_all_tasks_blocked()

        for _ in range(200):
            bridge.room.release()
        heard = await client.silence()

        last = {one["args"]["process_id"]: one["args"]["state"] for one in heard}
        assert last == {f"job{number}": "finished" for number in range(1, 41)}
        assert len(heard) < 60


async def test_an_answer_that_no_bridge_would_pass_on_is_refused_instead(autojump_clock, monkeypatch):
    async with office() as bridge:
        limits = bridge.built.parts.limits
        client = bridge.client()
        await client.log_in(seals=True)
        monkeypatch.setattr(client._served._socket, "_most", 8192)
        for number in range(1, 4):
            job = pending(number, f"echo {'x' * 3000}", key=f"job{number}")
            bridge.built.jobs.jobs[number] = job

        refused = await client.ask(LIST)

        assert limits.message_bytes == 8 * 1024 * 1024
        assert (refused["id"], refused["args"]["code"]) == ("x", "400")
        assert "message_bytes" in refused["args"]["reason"]
