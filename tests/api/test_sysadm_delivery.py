"""SysAdm's events on their way: in order, encoded once, merged for the slow, and at no cost to others."""

import trio
import trio.testing

from dispatcher.api.sysadm import feed as feed_module
from dispatcher.net.websocket import text_frame
from tests.api.fakes import call, house
from tests.api.told_jobs import finished, pending, running


def states(frames):
    return [frame["args"]["state"] for frame in frames]


async def test_a_slow_log_read_lets_no_later_event_overtake(autojump_clock):
    async with house() as built:
        client = await built.listener()
        first, second = pending(1, "a", key="slow"), pending(2, "b", key="quick", changed=4)
        built.jobs.logs[1] = b"abc"
        read = built.jobs.read_text

        async def slow(number, start, end):
            await trio.sleep(5)
            return await read(number, start, end)

        built.feed.frames._read_log_text = slow
        built.jobs.tell(first, running(first, 2), finished(first, 3, 3), second)
        await trio.sleep(6)

        assert [(one["args"]["process_id"], one["args"]["state"]) for one in await client.silence()] == [
            ("slow", "pending"),
            ("slow", "running"),
            ("slow", "finished"),
            ("quick", "pending"),
        ]


async def test_an_event_is_encoded_once_for_all_listeners(autojump_clock, monkeypatch):
    async with house() as built:
        clients = [await built.listener() for _ in range(5)]
        clients += [await built.listener("dispatcher:since=0") for _ in range(5)]
        framed = []

        def watched(data):
            framed.append(data)
            return text_frame(data)

        monkeypatch.setattr(feed_module, "text_frame", watched)

        built.jobs.tell(pending(1, "a"))

        heard = [frame for client in clients for frame in await client.silence()]
        assert len(heard) == 10
        assert len(framed) == 2
        assert sorted(frame.get("seq", 0) for frame in heard) == [0] * 5 + [1] * 5


async def test_the_log_of_all_commands_is_read_in_one_piece(autojump_clock):
    async with house() as built:
        await built.listener()
        job = pending(1, *(f"c{place}" for place in range(50)))
        built.jobs.logs[1] = b"x" * 50

        built.jobs.tell(finished(job, 2, *range(1, 51)))
        await trio.testing.wait_all_tasks_blocked()

        assert built.jobs.reads == [(1, 0, 50)]


async def test_with_nobody_listening_nothing_is_done(autojump_clock):
    async with house() as built:
        built.jobs.tell(pending(1, "a"))
        await trio.testing.wait_all_tasks_blocked()

        assert built.hub._feeds == []
        assert built.feed.newest == 0


async def test_after_the_last_listener_the_feed_forgets_everything(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a")
        built.jobs.tell(job, running(job, 2))
        await client.silence()

        await client.ask(call("unsubscribe", "dispatcher", namespace="events"))
        built.jobs.tell(finished(job, 3, 0))

        assert await client.silence() == []
        assert (built.hub._feeds, built.feed._followed, built.news._listeners) == ([], {}, {})


async def test_a_slow_client_gets_merged_states_and_the_right_last_one(autojump_clock):
    async with house() as built:
        slow, quick = await built.listener(), await built.listener()
        slow.room = 1
        job = pending(1, "a", "b")
        built.jobs.logs[1] = b"abcdef"
        built.jobs.tell(job, running(job, 2), running(job, 3, 3), finished(job, 4, 3, 6))

        assert len(await quick.silence()) == 4
        assert states(await slow.silence()) == ["pending"]
        slow.room = 100
        slow.on_drained()
        (last,) = await slow.silence()
        assert (last["args"]["state"], last["args"]["a"], last["args"]["b"]) == ("finished", "abc", "def")


async def test_a_flood_is_merged_and_the_newest_of_each_job_stays(autojump_clock, monkeypatch):
    monkeypatch.setattr(feed_module, "LINE", 10)
    async with house() as built:
        client = await built.listener()
        built.feed._merge_at = 10
        changed = 0
        for number in range(1, 8):
            job = pending(number, "a", key=f"k{number}", changed=changed + 1)
            built.jobs.tell(job, running(job, changed + 2), finished(job, changed + 3, 0))
            changed += 3

        heard = await client.silence()

        last = {frame["args"]["process_id"]: frame["args"]["state"] for frame in heard}
        assert last == {f"k{number}": "finished" for number in range(1, 8)}
        assert len(heard) < 21


async def test_a_log_that_cannot_be_read_is_said_in_its_place(autojump_clock):
    async with house() as built:
        client = await built.listener()

        async def fail(*_args):
            raise OSError(5, "Input/output error")

        built.feed.frames._read_log_text = fail
        built.jobs.tell(finished(pending(1, "a"), 2, 3))

        (heard,) = await client.silence()
        assert "cannot be read" in heard["args"]["a"]
        assert heard["args"]["return_codes/a"] == "0"


async def test_long_output_is_capped_and_says_so(autojump_clock):
    async with house(command_bytes=4, event_bytes=6) as built:
        client = await built.listener()
        built.jobs.logs[1] = b"abcdefghij"

        built.jobs.tell(finished(pending(1, "a", "b"), 2, 5, 10))

        (heard,) = await client.silence()
        assert heard["args"]["a"] == "[3 bytes were cut here; the job's log has them]\nde"
        assert heard["args"]["b"] == "[1 bytes were cut here; the job's log has them]\nghij"
