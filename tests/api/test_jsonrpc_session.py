"""One JSON-RPC connection: who may call what, how many calls at once, and that no fault ends it."""

import logging

import pytest
import trio

from dispatcher.api.service import JobRequest
from dispatcher.api.truenas.client import Clients
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.core.model import Outcome, State
from dispatcher.errors import Refused
from dispatcher.net.peer import Peer
from tests.api.jsonrpc_fakes import PLAIN, STRANGER, FakeService, finished, job, running, session


async def test_root_on_the_unix_socket_may_submit_at_once():
    service = FakeService()
    async with session(service) as client:
        reply = await client.ask(
            "dispatcher.submit",
            {"commands": ["pkg update", ["pkg", "upgrade"]], "id": "a", "env": {"A": "1"}, "cwd": "/tmp"},
        )

    assert service.requests == [
        JobRequest(("pkg update", ("pkg", "upgrade")), "a", None, "/tmp", (("A", "1"),))
    ]
    assert (reply["result"]["number"], reply["result"]["attached"]) == (7, False)


async def test_another_user_on_the_unix_socket_is_nobody():
    async with session(peer=Peer("", 0, 65534, 65534, is_tls=False, may_send_password=True)) as client:
        reply = await client.ask("dispatcher.list")

    assert reply["error"]["data"]["error"] == 207


async def test_over_tcp_only_ping_and_login_answer_before_a_login():
    async with session(peer=STRANGER) as client:
        assert (await client.ask("core.ping"))["result"] == "pong"
        assert (await client.ask("dispatcher.submit", ["true"]))["error"]["data"][
            "errname"
        ] == "ENOTAUTHENTICATED"
        assert (await client.ask("auth.login", "admin", "secret"))["result"] is True
        assert (await client.ask("dispatcher.submit", ["true"]))["result"]["number"] == 7


async def test_a_wrong_password_is_false_and_leaves_nobody():
    async with session(peer=STRANGER) as client:
        await client.ask("auth.login", "admin", "secret")

        assert (await client.ask("auth.login", "admin", "wrong"))["result"] is False
        assert (await client.ask("dispatcher.list"))["error"]["data"]["error"] == 207


async def test_a_changed_account_is_logged_out_of_its_sessions_and_hears_nothing_more():
    clients, feed = Clients(), JsonRpcFeed()
    async with session(peer=STRANGER, clients=clients, feed=feed) as client:
        await client.ask("auth.login", "admin", "secret")
        await client.ask("dispatcher.events")

        clients.account_changed("somebody else")
        still = await client.ask("dispatcher.list")
        clients.account_changed("admin")
        after = await client.ask("dispatcher.list")

        assert "result" in still
        assert after["error"]["data"]["error"] == 207
        assert not feed._subscriptions


async def test_the_kernels_word_for_a_unix_peer_outlives_a_changed_account_of_its_name():
    clients = Clients()
    async with session(clients=clients) as client:
        clients.account_changed("root")

        assert "result" in await client.ask("dispatcher.list")


async def test_a_password_is_not_even_looked_at_on_a_connection_that_anybody_can_read():
    async with session(peer=PLAIN) as client:
        error = (await client.ask("auth.login", "admin", "secret"))["error"]

        assert error["data"]["errname"] == "EACCES"
        assert "TLS" in error["data"]["reason"]
        assert (await client.ask("dispatcher.list"))["error"]["data"]["error"] == 207


async def test_level_read_may_look_and_not_act():
    async with session(FakeService(job(7)), peer=STRANGER) as client:
        await client.ask("auth.login", "monitor", "secret")

        assert (await client.ask("dispatcher.show", 7))["result"]["number"] == 7
        assert (await client.ask("dispatcher.kill", 7))["error"]["data"]["errname"] == "EACCES"


async def test_an_unknown_method_has_the_words_that_clients_know():
    async with session() as client:
        assert (await client.ask("auth.nonesuch"))["error"] == {
            "code": -32601,
            "message": "Method does not exist",
        }


async def test_broken_messages_are_answered_and_the_connection_stays():
    async with session() as client:
        for text in ("{", "[]", '{"id":1}'):
            client.send_in(text)
        sent = await client.until(3)

        assert [one["error"]["code"] for one in sent] == [-32700, -32700, -32600]
        assert (await client.ask("core.ping"))["result"] == "pong"


async def test_a_notification_is_carried_out_without_a_reply():
    service = FakeService()
    async with session(service) as client:
        client.send_in({"jsonrpc": "2.0", "method": "dispatcher.submit", "params": [["true"]]})
        client.send_in({"jsonrpc": "2.0", "method": "nonsense"})
        client.send_in({"jsonrpc": "2.0", "method": "dispatcher.submit", "params": [5]})
        await client.ask("core.ping")

        assert len(service.requests) == 1
        assert len(client.sent) == 1


async def test_the_twenty_first_call_is_refused_and_the_others_are_answered():
    service = FakeService()
    service.gate = trio.Event()
    async with session(service) as client:
        for number in range(21):
            client.call(number, "dispatcher.submit", ["true"])
        (refused,) = await client.until(1)

        assert (refused["id"], refused["error"]) == (
            20,
            {"code": -32000, "message": "too many concurrent calls"},
        )
        service.gate.set()
        assert {one["id"] for one in (await client.until(21))[1:]} == set(range(20))
        assert (await client.ask("core.ping"))["result"] == "pong"


async def test_only_ten_calls_are_carried_out_at_a_time(autojump_clock):
    service = FakeService()
    service.gate = trio.Event()
    async with session(service) as client:
        for number in range(10):
            client.call(number, "dispatcher.submit", ["true"])
        client.call(10, "core.ping")
        await trio.sleep(1)
        assert client.sent == []

        service.gate.set()
        await client.until(11)


async def test_waiting_for_a_job_holds_no_slot():
    service = FakeService(finished(7))
    service.gate = trio.Event()
    async with session(service) as client:
        for number in range(100):
            client.call(number, "dispatcher.wait", 7)
        client.call(100, "core.ping")
        assert (await client.until(1))[0]["id"] == 100

        service.gate.set()
        replies = await client.until(101)
        assert all(one["result"]["outcome"] == "failed" for one in replies[1:])


async def test_replies_come_in_the_order_in_which_the_calls_end():
    service = FakeService(finished(7))
    service.gate = trio.Event()
    async with session(service) as client:
        client.call(1, "dispatcher.wait", 7)
        client.call(2, "dispatcher.show", 7)
        await client.until(1)
        service.gate.set()

        assert [one["id"] for one in await client.until(2)] == [2, 1]


async def test_a_fault_of_ours_is_logged_and_ends_neither_connection_nor_daemon(caplog):
    service = FakeService()
    service.fault = ZeroDivisionError("secret detail")
    async with session(service) as client:
        with caplog.at_level(logging.CRITICAL, "dispatcher"):
            error = (await client.ask("dispatcher.submit", ["true"]))["error"]
        assert (await client.ask("core.ping"))["result"] == "pong"

    assert (error["code"], error["data"]["error"]) == (-32001, 22)
    assert "secret detail" not in str(error)


async def test_an_error_in_the_answer_of_a_batch_is_the_error_of_the_call():
    service = FakeService()
    service.answer = Refused("cannot add: key 'a' is in use")
    async with session(service) as client:
        data = (await client.ask("dispatcher.submit", ["true"]))["error"]["data"]

    assert data["reason"] == "[EBUSY] cannot add: key 'a' is in use"


async def test_a_binary_message_closes_the_connection():
    async with session() as client:
        client.send_in(b"{}")

    assert client.closed == (1003, "text messages only")


async def test_a_list_without_a_filter_is_of_the_live_jobs():
    service = FakeService(running(7))
    async with session(service) as client:
        result = (await client.ask("dispatcher.list"))["result"]
        await client.ask("dispatcher.list", {"all": True, "offset": 5, "limit": 2})
        await client.ask("dispatcher.list", {"outcome": "failed", "since": "2026-11-22T00:00:00Z"})
        await client.ask("dispatcher.list", {"state": "pending", "queue": "q"})

    assert (result["total"], result["jobs"][0]["number"]) == (1, 7)
    (first, *_), (second, *place), (third, *_), (fourth, *_) = service.filters
    assert (first.live, second.live, place) == (True, None, [5, 2])
    assert (third.live, third.outcome, third.since) == (None, Outcome.FAILED, 1795305600.0)
    assert (fourth.state, fourth.queue) == (State.PENDING, "q")


async def test_kill_answers_with_the_job_or_null():
    async with session(FakeService(running(7))) as client:
        assert (await client.ask("dispatcher.kill", 7))["result"]["killed"]["number"] == 7
        assert (await client.ask("dispatcher.kill", 8))["result"] == {"killed": None}


async def test_queues_are_described_paused_and_resumed():
    async with session() as client:
        assert (await client.ask("dispatcher.queues"))["result"] == [
            {
                "name": "pkg_queue",
                "concurrency": 1,
                "grace": 120.0,
                "on_duplicate": "refuse",
                "after_lost": "go_on",
                "paused": True,
                "held": False,
                "running": 1,
                "pending": 3,
            }
        ]
        assert (await client.ask("dispatcher.pause", "q"))["result"] == {"queue": "q", "paused": True}
        assert (await client.ask("dispatcher.resume", "q"))["result"] == {"queue": "q", "paused": False}
        assert (await client.ask("dispatcher.reload"))["result"] == {"changed": ["queue x is new"]}


@pytest.mark.parametrize("method", ["dispatcher.show", "dispatcher.log_follow", "dispatcher.events"])
async def test_an_unknown_job_is_enoent(method):
    async with session() as client:
        assert (await client.ask(method, {"job": 99}))["error"]["data"]["errname"] == "ENOENT"
