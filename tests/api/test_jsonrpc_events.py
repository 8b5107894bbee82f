"""Events and followed logs: in order, without a gap or a repetition, and never at others' cost."""

from typing import Any

import trio

from dispatcher.api.truenas.feed import JsonRpcFeed
from tests.api.jsonrpc_fakes import FakeService, finished, job, running, session


def told(messages: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [
        (x["params"]["seq"], x["params"]["job"]["number"])
        for x in messages
        if x.get("method") == "dispatcher.event"
    ]


async def test_a_subscriber_hears_each_change_after_its_reply():
    feed = JsonRpcFeed(last=5)
    async with session(feed=feed) as client:
        reply = await client.ask("dispatcher.events")
        feed.tell(job(1, changed=6))
        feed.tell(running(1, changed=7))
        sent = await client.until(3)

    assert reply["result"] == {"last": 5, "truncated": None}
    assert told(sent) == [(6, 1), (7, 1)]
    assert sent[2]["params"]["job"]["state"] == "running"


async def test_what_was_missed_comes_first_in_pages_and_nothing_comes_twice():
    feed = JsonRpcFeed(last=9)
    service = FakeService(*(job(n, changed=n) for n in range(1, 10)))
    service.page_size = 2

    def while_the_pages_are_read():
        # One that was read already, one that was not, and one that is told only now.
        service.between_pages = lambda: None
        for one in (running(4, changed=10), running(8, changed=11)):
            service.jobs[one.number] = one
            feed.tell(one)
        feed.tell(service.jobs[9])

    service.between_pages = while_the_pages_are_read
    async with session(service, feed=feed) as client:
        await client.ask("dispatcher.events", 3)
        feed.tell(job(20, changed=12))
        sent = await client.until(9)
        assert (await client.ask("core.ping"))["result"] == "pong"

    numbers = [seq for seq, _ in told(sent)]
    assert numbers == sorted(set(numbers))
    assert dict(told(sent)[::-1]).keys() == {4, 5, 6, 7, 9, 10, 11, 12}


async def test_a_change_between_the_last_page_and_the_telling_is_heard_once():
    feed = JsonRpcFeed(last=2)
    service = FakeService(job(1, changed=1), job(2, changed=2))
    late = running(1, changed=3)

    def after_the_page():
        feed.tell(late)

    service.between_pages = after_the_page
    async with session(service, feed=feed) as client:
        await client.ask("dispatcher.events", 0)
        sent = await client.until(4)

    assert told(sent) == [(1, 1), (2, 2), (3, 1)]


async def test_a_job_that_changes_twice_during_the_replay_comes_at_its_last_change():
    feed = JsonRpcFeed(last=1)
    service = FakeService(job(1, changed=1))

    def during_the_replay():
        for one in (job(2, changed=2), job(3, changed=3), running(2, changed=4)):
            feed.tell(one)

    service.between_pages = during_the_replay
    async with session(service, feed=feed) as client:
        await client.ask("dispatcher.events", 0)
        sent = await client.until(4)

    assert told(sent) == [(1, 1), (3, 3), (4, 2)]


async def test_a_client_learns_that_older_changes_are_gone():
    service = FakeService(job(50, changed=50))
    service.first_kept = 40
    async with session(service, feed=JsonRpcFeed(last=50)) as client:
        assert (await client.ask("dispatcher.events", 10))["result"] == {"last": 50, "truncated": 40}
        await client.until(2)
        client.sent.clear()
        assert (await client.ask("dispatcher.events", 39))["result"]["truncated"] is None
        await client.until(2)


async def test_a_slow_reader_gets_the_newest_state_of_each_job():
    feed = JsonRpcFeed()
    async with session(feed=feed) as client:
        await client.ask("dispatcher.events")
        # The subscription goes live in its own task, after the reply.
        feed.tell(job(9, changed=1))
        await client.until(2)
        client.stop_reading()
        for change in range(2, 100):
            feed.tell(running(1 + change % 2, changed=change))
        client.read_on()
        sent = await client.until(4)

    assert told(sent) == [(1, 9), (98, 1), (99, 2)]


async def test_a_second_subscription_takes_the_place_of_the_first():
    feed = JsonRpcFeed()
    async with session(feed=feed) as client:
        await client.ask("dispatcher.events")
        await client.ask("dispatcher.events")
        feed.tell(job(1, changed=1))
        await client.ask("core.ping")

        assert told(client.sent) == [(1, 1)]


async def test_events_of_one_job_begin_with_what_it_is_now():
    feed = JsonRpcFeed(last=4)
    async with session(FakeService(running(7, changed=4), running(8, changed=3)), feed=feed) as client:
        await client.ask("dispatcher.events", {"job": "build-7", "since": 0})
        feed.tell(finished(8, changed=5))
        feed.tell(finished(7, changed=6))
        sent = await client.until(3)

    assert told(sent) == [(4, 7), (6, 7)]


async def test_nothing_is_kept_of_a_client_that_left():
    feed = JsonRpcFeed()
    async with session(feed=feed) as client:
        await client.ask("dispatcher.events")

    feed.tell(job(1, changed=1))
    assert len(client.sent) == 1


async def test_a_log_is_read_in_pieces_that_cut_no_character():
    service = FakeService(finished(7))
    service.log, service.log_is_over = "aé€b".encode(), True
    async with session(service) as client:
        first = (await client.ask("dispatcher.log", {"job": 7, "limit": 4}))["result"]
        second = (await client.ask("dispatcher.log", {"job": 7, "offset": first["next"]}))["result"]

    assert first == {"text": "aé", "offset": 0, "next": 3, "size": 7, "end": False}
    assert second == {"text": "€b", "offset": 3, "next": 7, "size": 7, "end": True}


async def test_bytes_that_are_no_text_are_shown_as_such():
    service = FakeService(finished(7))
    service.log, service.log_is_over = b"a\xff\xfeb\xe2\x82", True
    async with session(service) as client:
        piece = (await client.ask("dispatcher.log", 7))["result"]

    assert (piece["text"], piece["next"], piece["end"]) == ("a\ufffd\ufffdb\ufffd", 6, True)


async def test_a_log_is_followed_to_its_end():
    service = FakeService(running(7))
    service.write_log(b"one\n\xe2")
    async with session(service) as client:
        reply = await client.ask("dispatcher.log_follow", "build-7")
        await client.until(2)
        service.write_log(b"\x82\xac")
        await client.until(3)
        service.write_log(b"", is_over=True)
        sent = await client.until(4)

    assert reply["result"] == {"follow": 1, "job": 7}
    assert [one["params"] for one in sent[1:]] == [
        {"follow": 1, "job": 7, "text": "one\n", "offset": 0, "next": 4, "end": False},
        {"follow": 1, "job": 7, "text": "€", "offset": 4, "next": 7, "end": False},
        {"follow": 1, "job": 7, "text": "", "offset": 7, "next": 7, "end": True},
    ]


async def test_following_holds_no_slot_and_ends_with_the_connection(autojump_clock):
    service = FakeService(running(7))
    async with session(service) as client:
        for _number in range(50):
            await client.ask("dispatcher.log_follow", 7)
        await trio.sleep(1)

        assert (await client.ask("core.ping"))["result"] == "pong"
