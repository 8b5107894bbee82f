"""`life-preserver` and `system-state` events: who hears which, in which spelling, and what comes first."""

import json
from dataclasses import replace

import pytest
import trio

from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.notices import Spelling, Topic, preserver_notice, spellings, state_notice
from dispatcher.api.sysadm.session import serve_sysadm
from dispatcher.api.sysadm.topics import BEHIND, TopicFeed
from dispatcher.logs.history import History
from dispatcher.net.http import Request
from dispatcher.watch.pools import read_pools
from dispatcher.watch.preserver_lines import PreserverEvent
from dispatcher.watch.system_state import SystemState, Updates
from tests.api.fakes import TLS_PEER, FakeSocket, call, house

FAILED = PreserverEvent("replication", "it failed", 7)
POOLS = (
    "bad\t100G\t5G\t95G\t-\t6%\t5%\t1.00x\tDEGRADED\t-\nfull\t100G\t95G\t5G\t-\t6%\t95%\t1.00x\tONLINE\t-\n"
)


def snapshot(number):
    return PreserverEvent("snapshot", f"snapshot {number}", 1)


def connect(built, origin="", names="auto"):
    socket = FakeSocket()
    headers = (("origin", origin),) if origin else ()
    parts = replace(built.parts, event_names=lambda: names)
    built.nursery.start_soon(serve_sysadm, parts, socket, Request("GET", "/", headers, TLS_PEER))
    return socket


async def log_in(built, socket, call_id="x"):
    token, login = built.tokens.issue(Caller("admin", Level.FULL))
    await socket.ask(call("auth_token", {"token": token}, id=call_id))
    return token, login


def subscribe(*names, name="subscribe", call_id="s"):
    return call(name, list(names), namespace="events", id=call_id)


def heard(events):
    return [(one["name"], one["args"].get("message", one["args"].get("hostname"))) for one in events]


# --- the forms ------------------------------------------------------------------------------


def test_the_state_is_written_as_the_original_writes_it_with_the_priority_of_each_pool():
    state = SystemState("vm", hostname_changed=True, pools=read_pools(POOLS), updates=Updates("noupdates"))
    written = json.loads(state_notice(state).frame(Spelling.HYPHEN))

    assert written == {
        "id": "none",
        "namespace": "events",
        "name": "system-state",
        "args": {
            "hostname": "vm",
            "hostnamechanged": "true",
            "priority": "9 - Urgent",
            "updates": {"status": "noupdates"},
            "zpools": {
                "bad": {
                    "alloc": "5G",
                    "altroot": "-",
                    "capacity": "5%",
                    "dedup": "1.00x",
                    "expandsz": "-",
                    "frag": "6%",
                    "free": "95G",
                    "health": "DEGRADED",
                    "priority": "9 - Urgent",
                    "size": "100G",
                },
                "full": {
                    "alloc": "95G",
                    "altroot": "-",
                    "capacity": "95%",
                    "dedup": "1.00x",
                    "expandsz": "-",
                    "frag": "6%",
                    "free": "5G",
                    "health": "ONLINE",
                    "priority": "6 - Critical",
                    "size": "100G",
                },
            },
        },
    }


def test_what_could_not_be_found_out_is_left_out():
    assert json.loads(state_notice(SystemState("vm")).hyphen) == {
        "hostname": "vm",
        "priority": "0 - Information",
    }


@pytest.mark.parametrize(
    ("spelling", "name", "priority"),
    [
        (Spelling.HYPHEN, "life-preserver", "7 - Critical"),
        (Spelling.UNDERSCORE, "life_preserver", "7/Critical"),
    ],
)
def test_the_priority_of_life_preserver_goes_with_the_spelling(spelling, name, priority):
    assert json.loads(preserver_notice(FAILED).frame(spelling)) == {
        "id": "none",
        "namespace": "events",
        "name": name,
        "args": {"class": "replication", "message": "it failed", "priority": priority},
    }


@pytest.mark.parametrize(("number", "word"), [(0, "Information"), (2, "Information"), (3, "Warning")])
def test_the_words_of_priorities(number, word):
    notice = preserver_notice(PreserverEvent("snapshot", "", number))

    assert json.loads(notice.hyphen)["priority"] == f"{number} - {word}"


# --- spellings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "origin", "call_id", "spelled"),
    [
        ("auto", "", "s", ["life_preserver"]),
        ("auto", "sysadm-client", "s", ["life-preserver"]),
        ("auto", "", "sysadm-client-event-auto", ["life-preserver"]),
        ("auto", "", "sysadm_client_identify", ["life-preserver"]),
        ("auto", "https://sysadm-client.example", "my-sysadm-client", ["life_preserver"]),
        ("both", "", "s", ["life-preserver", "life_preserver"]),
        ("both", "sysadm-client", "s", ["life-preserver", "life_preserver"]),
        ("hyphen", "", "s", ["life-preserver"]),
        ("underscore", "sysadm-client", "s", ["life_preserver"]),
    ],
)
async def test_each_session_hears_each_event_once_in_its_spelling(
    names, origin, call_id, spelled, autojump_clock
):
    async with house() as built:
        client = connect(built, origin, names)
        await log_in(built, client)
        reply = await client.ask(subscribe("life-preserver", call_id=call_id))
        await built.parts.topics.tell_preserver(snapshot(1), False)
        events = await client.silence()

        assert reply["args"] == {"subscribe": "life-preserver"}
        assert [one["name"] for one in events] == spelled


def test_the_setting_decides_alone_unless_it_is_auto():
    assert spellings("auto", is_stock=True) == (Spelling.HYPHEN,)
    assert spellings("hyphen", is_stock=False) == (Spelling.HYPHEN,)


# --- subscribing ----------------------------------------------------------------------------


async def test_the_last_event_comes_before_the_reply_and_again_with_the_next_subscribe(autojump_clock):
    async with house() as built:
        client = connect(built)
        await log_in(built, client)
        for number in (1, 2):
            await built.parts.topics.tell_preserver(snapshot(number), False)
        await built.parts.topics.tell_state(SystemState("box"))
        client.say(subscribe("dispatcher", "life_preserver", "system-state", "bogus"))
        *events, reply = await client.silence()
        client.say(subscribe("system_state"))
        *again, second = await client.silence()

        assert heard(events) == [("life_preserver", "snapshot 2"), ("system_state", "box")]
        assert reply["args"] == {"subscribe": "system-state"}
        assert heard(again) == [("system_state", "box")]
        assert second["args"] == {"subscribe": "system_state"}


async def test_without_an_event_yet_there_is_only_the_reply(autojump_clock):
    async with house() as built:
        client = connect(built)
        await log_in(built, client)

        assert (await client.ask(subscribe("life-preserver")))["args"] == {"subscribe": "life-preserver"}
        assert await client.silence() == []


async def test_what_is_old_or_recalled_is_told_to_nobody_and_is_the_last_event(autojump_clock):
    async with house() as built:
        topics = built.parts.topics
        client = connect(built)
        await log_in(built, client)
        await client.ask(subscribe("life-preserver"))
        topics.recall_preserver(snapshot(1))
        await topics.tell_preserver(snapshot(2), True)

        assert await client.silence() == []
        client.say(subscribe("life-preserver"))
        assert heard((await client.silence())[:1]) == [("life_preserver", "snapshot 2")]


async def test_unsubscribe_ends_what_it_names_and_nothing_else(autojump_clock):
    async with house() as built:
        client = connect(built)
        await log_in(built, client)
        await client.ask(subscribe("life-preserver", "system-state"))
        reply = await client.ask(subscribe("life_preserver", name="unsubscribe"))
        await built.parts.topics.tell_preserver(snapshot(1), False)
        await built.parts.topics.tell_state(SystemState("box"))

        assert reply["args"] == {"unsubscribe": "life_preserver"}
        assert heard(await client.silence()) == [("system_state", "box")]
        await client.ask(subscribe("dispatcher", name="unsubscribe"))
        await built.parts.topics.tell_state(SystemState("box"))
        assert heard(await client.silence()) == [("system_state", "box")]


async def test_after_the_end_of_the_login_no_event_follows(autojump_clock):
    async with house() as built:
        client = connect(built)
        token, _ = await log_in(built, client)
        await client.ask(subscribe("system-state"))
        built.tokens.end(token)
        await built.parts.topics.tell_state(SystemState("box"))
        ended = await client.silence()

        assert [(one["name"], one["id"], one["args"]["code"]) for one in ended] == [("error", "", "401")]
        assert built.parts.topics._listeners == []


async def test_a_login_that_ends_while_the_last_event_waits_for_room_does_not_join(autojump_clock):
    async with house() as built:
        topics = built.parts.topics
        await topics.tell_state(SystemState("box"))
        client = connect(built)
        token, _ = await log_in(built, client)
        room = trio.Event()
        send = client.send

        async def slow(message):
            await room.wait()
            await send(message)

        client.send = slow
        client.say(subscribe("system-state"))
        await trio.testing.wait_all_tasks_blocked()
        built.tokens.end(token)
        room.set()
        await trio.testing.wait_all_tasks_blocked()

        assert topics._listeners == []


async def test_nobody_without_a_login_can_subscribe(autojump_clock):
    async with house() as built:
        client = connect(built)

        assert (await client.ask(subscribe("system-state")))["args"]["code"] == "401"
        assert built.parts.topics._listeners == []


async def test_a_client_that_has_gone_is_forgotten(autojump_clock):
    async with house() as built:
        client = connect(built)
        await log_in(built, client)
        await client.ask(subscribe("system-state", "dispatcher"))
        client.leave()
        await trio.testing.wait_all_tasks_blocked()

        assert built.parts.topics._listeners == []


async def test_a_slow_client_gets_the_newest_events_in_order_and_job_events_are_not_held_up(autojump_clock):
    async with house() as built:
        client = connect(built)
        await log_in(built, client)
        await client.ask(subscribe("life-preserver", "dispatcher"))
        client.room = 1
        for number in range(BEHIND + 11):
            await built.parts.topics.tell_preserver(snapshot(number), False)
        before = heard(await client.silence())
        client.room = 1000
        client.on_drained()
        after = heard(await client.silence())

        assert before == [("life_preserver", "snapshot 0")]
        assert after == [("life_preserver", f"snapshot {number}") for number in range(11, BEHIND + 11)]


async def test_events_are_kept_in_a_file_and_a_full_disk_keeps_none_from_being_told(tmp_path, caplog):
    missing = History(tmp_path / "none" / "x.log", 1000, 1)
    kept = History(tmp_path / "y.log", 1000, 1)
    feed = TopicFeed({Topic.LIFE_PRESERVER: missing, Topic.SYSTEM_STATE: kept}, lambda: 0.0)
    await feed.tell_preserver(snapshot(1), False)
    await feed.tell_state(SystemState("box"))

    assert [json.loads(one) for one in kept.forwards(b"")] == [
        {"at": "1970-01-01T00:00:00.000Z", "args": {"hostname": "box", "priority": "0 - Information"}}
    ]
    assert "the event was told all the same" in caplog.text
