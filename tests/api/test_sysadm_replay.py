"""Subscribing to SysAdm's events: the reply first, a replay without gap or repetition, and its end."""

import pytest
import trio
import trio.testing

from dispatcher.access.roles import Level
from dispatcher.errors import StoreFailed
from tests.api.fakes import call, house
from tests.api.told_jobs import finished, pending, running


def states(frames):
    return [frame["args"]["state"] for frame in frames]


def seqs(frames):
    return [frame["seq"] for frame in frames]


async def test_subscribing_twice_gives_each_event_once(autojump_clock):
    async with house() as built:
        client = await built.listener()
        await client.ask(call("subscribe", "dispatcher", namespace="events"))

        built.jobs.tell(pending(1, "a"))

        assert len(await client.silence()) == 1


@pytest.mark.parametrize("topic", ["dispatcher", "dispatcher:since=0"])
async def test_the_reply_comes_before_the_first_event(topic, autojump_clock, monkeypatch):
    async with house() as built:
        client = await built.client(Level.READ)
        send = client.send

        async def slow(message):
            await trio.sleep(5)
            await send(message)

        monkeypatch.setattr(client, "send", slow)
        client.say(call("subscribe", topic, namespace="events"))
        await trio.sleep(1)
        built.jobs.tell(pending(1, "a"))
        await trio.sleep(20)

        reply, *frames = await client.silence()
        assert reply["args"] == {"subscribe": "dispatcher"}
        assert states(frames) == ["pending"]


async def test_live_events_wait_until_the_replay_is_sent(autojump_clock, monkeypatch):
    async with house() as built:
        built.jobs.tell(*(pending(number, "a", key=f"k{number}", changed=number) for number in range(1, 4)))
        client = await built.client(Level.READ)
        send, changed_since = client.send, built.jobs.changed_since

        async def slow(message):
            await trio.sleep(1)
            await send(message)

        async def late(caller, since, limit):
            # The first answer knows of nothing, so what there is comes with the last one.
            changes = await changed_since(caller, since, limit)
            return changes if built.feed._attached else type(changes)((), 0, more=False)

        monkeypatch.setattr(client, "send", slow)
        monkeypatch.setattr(built.jobs, "changed_since", late)
        client.say(call("subscribe", "dispatcher:since=0", namespace="events"))
        await trio.sleep(1.5)
        built.jobs.tell(pending(4, "a", key="k4", changed=4))
        await trio.sleep(20)

        assert seqs((await client.silence())[1:]) == [1, 2, 3, 4]


async def test_a_replay_gives_each_job_that_changed_once_and_then_goes_on(autojump_clock):
    async with house() as built:
        jobs = [pending(number, "a", key=f"k{number}", changed=number) for number in range(1, 4)]
        built.jobs.tell(*jobs)
        built.jobs.tell(finished(jobs[0], 4, 0))
        client = await built.listener("dispatcher:since=1")
        built.jobs.tell(finished(jobs[1], 5, 0))

        heard = await client.silence()

        assert [(frame["seq"], frame["args"]["process_id"], frame["args"]["state"]) for frame in heard] == [
            (2, "k2", "pending"),
            (3, "k3", "pending"),
            (4, "k1", "finished"),
            (5, "k2", "finished"),
        ]


async def test_a_replay_of_a_running_job_has_its_output_so_far(autojump_clock):
    async with house() as built:
        job = pending(1, "a", "b")
        built.jobs.logs[1] = b"abcdef"
        built.jobs.tell(job, running(job, 2, 3))

        client = await built.listener("dispatcher:since=0")

        (heard,) = await client.silence()
        assert (heard["args"]["a"], heard["args"]["b"]) == ("abc", "def")


async def test_changes_during_a_replay_come_behind_it_without_gap_or_repetition(autojump_clock, monkeypatch):
    async with house() as built:
        number = 0

        def more(count):
            nonlocal number
            for _ in range(count):
                number += 1
                built.jobs.tell(pending(number, "a", key=f"k{number}", changed=number))

        more(250)
        real = built.jobs.changed_since
        reads = []

        async def busy(caller, since, limit):
            changes = await real(caller, since, limit)
            reads.append(since)
            if len(reads) < 8:
                more(7)  # after what was read, before it is sent
                await trio.testing.wait_all_tasks_blocked(0.01)
            return changes

        monkeypatch.setattr(built.jobs, "changed_since", busy)
        client = await built.listener("dispatcher:since=0")
        await trio.sleep(1)
        more(5)

        assert seqs(await client.silence()) == list(range(1, number + 1))
        assert len(reads) >= 4


async def test_a_replay_from_before_what_is_kept_says_so(autojump_clock):
    async with house() as built:
        built.jobs.tell(pending(5, "a", changed=9))
        built.jobs.first_kept = 9
        client = await built.client(Level.READ)

        old = await client.ask(call("subscribe", "dispatcher:since=3", namespace="events"))
        assert seqs(await client.silence()) == [9]
        whole = await client.ask(call("subscribe", "dispatcher:since=8", namespace="events"))
        assert seqs(await client.silence()) == [9]
        kept = await client.ask(call("subscribe", "dispatcher:since=0", namespace="events"))

        assert old["args"] == {"subscribe": "dispatcher", "truncated": 9}
        assert whole["args"] == {"subscribe": "dispatcher"}
        assert kept["args"] == {"subscribe": "dispatcher"}
        assert seqs(await client.silence()) == [9]


async def test_a_number_from_the_future_keeps_no_live_event_away(autojump_clock):
    async with house() as built:
        client = await built.listener("dispatcher:since=999")
        await client.silence()

        built.jobs.tell(pending(1, "a"))

        assert seqs(await client.silence()) == [1]


async def test_new_output_has_the_number_up_to_which_all_was_sent(autojump_clock):
    async with house() as built:
        client = await built.listener("dispatcher:since=0")
        await client.silence()
        job = pending(1, "a")
        built.jobs.logs[1] = b"abc"
        built.jobs.tell(job, running(job, 2), pending(2, "b", key="other", changed=3))
        built.news.grew(1, 3)
        await trio.sleep(1.1)

        assert seqs(await client.silence()) == [1, 2, 3, 3]


async def test_unsubscribing_stops_a_replay(autojump_clock):
    async with house() as built:
        built.jobs.tell(*(pending(number, "a", key=f"k{number}", changed=number) for number in range(1, 300)))
        client = await built.client(Level.READ)
        client.say(call("subscribe", "dispatcher:since=0", namespace="events"))
        client.say(call("unsubscribe", "dispatcher", namespace="events"))

        heard = await client.silence()

        assert len(heard) < 100
        assert heard[-1]["args"] == {"unsubscribe": "dispatcher"}
        assert built.hub._feeds == []


async def test_a_replay_that_the_store_fails_ends_with_an_error(autojump_clock, monkeypatch):
    async with house() as built:
        real = built.jobs.changed_since
        client = await built.client(Level.READ)

        async def fail_later(caller, since, limit):
            if built.feed._attached:
                raise StoreFailed("cannot read: the disk is gone")
            return await real(caller, since, limit)

        monkeypatch.setattr(built.jobs, "changed_since", fail_later)
        await client.ask(call("subscribe", "dispatcher:since=0", namespace="events"))

        heard = await client.hear()
        assert (heard["id"], heard["args"]["code"]) == ("", "500")
        assert built.hub._feeds == []
