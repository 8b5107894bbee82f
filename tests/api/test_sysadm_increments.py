"""Increments of class events: each byte of a log once, whatever is merged, cut, split or replayed."""

import trio
import trio.testing

from tests.api.fakes import House, call, house
from tests.api.told_jobs import finished, pending, running

INSTALL = "sysadm_pkg_install-{u}"


def texts(frames):
    return [frame["args"]["pkg_log"] for frame in frames]


async def grow(built: House, log: bytes, number: int = 1) -> None:
    """Let a job write, and wait until that is told."""
    built.jobs.logs[number] = log
    built.news.grew(number, len(log))
    await trio.sleep(1.5)


async def test_increments_joined_are_the_log_over_a_whole_chain(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", "b", key=INSTALL)
        log = "größer\nzwölf\n".encode() + b"done\n"
        built.jobs.tell(job, running(job, 2))
        for length in range(1, 10):  # cuts the characters of two bytes in half
            await grow(built, log[:length])
        built.jobs.logs[1] = log
        built.jobs.tell(running(job, 3, 15))
        await grow(built, log[:18])
        built.jobs.logs[1] = log
        built.jobs.tell(finished(job, 4, 15, len(log)))

        heard = texts(await client.silence())

        assert "".join(heard) == log.decode()
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(heard)


async def test_half_a_character_at_the_end_of_a_command_is_not_held_back(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"ab\xc3")
        built.jobs.tell(finished(job, 3, 3))

        assert texts(await client.silence()) == ["", "", "ab", "\N{REPLACEMENT CHARACTER}"]


async def test_a_slow_reader_gets_the_joined_increments_and_loses_none(autojump_clock):
    async with house() as built:
        slow, quick = await built.listener(), await built.listener("dispatcher:since=0")
        await trio.testing.wait_all_tasks_blocked()
        slow.room = 2
        job = pending(1, "a", "b", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        for log in (b"one ", b"one two ", b"one two three "):
            await grow(built, log)
        built.jobs.logs[1] = b"one two three four five"
        built.jobs.tell(running(job, 3, 19))
        heard = texts(await slow.silence())
        slow.room = 100
        slow.on_drained()
        built.jobs.tell(finished(job, 4, 19, 23))

        heard += texts(await slow.silence())

        assert heard == ["", "", "one two three four ", "five"]
        fast = await quick.silence()
        assert texts(fast) == ["", "", "one ", "two ", "three ", "four ", "five"]
        assert [frame["seq"] for frame in fast] == [1, 2, 2, 2, 2, 3, 4]


async def test_an_increment_above_the_cap_is_cut_with_its_mark(autojump_clock):
    async with house(command_bytes=4, event_bytes=100) as built:
        slow, quick = await built.listener(), await built.listener()
        slow.room = 2
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"abcdefgh")
        await grow(built, b"abcdefghij")
        slow.room = 100
        slow.on_drained()

        mark = "[{} bytes were cut here; the job's log has them]\n"
        assert texts(await quick.silence())[2:] == [mark.format(4) + "efgh", "ij"]
        assert texts(await slow.silence())[2:] == [mark.format(6) + "ghij"]


async def test_what_was_written_while_nobody_listened_comes_with_the_next_event_once(autojump_clock):
    async with house() as built:
        first = await built.listener()
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"heard ")
        assert texts(await first.silence()) == ["", "", "heard "]
        await first.ask(call("unsubscribe", "dispatcher", namespace="events"))
        await grow(built, b"heard missed ")

        second = await built.listener()
        await second.silence()
        await grow(built, b"heard missed new")

        assert texts(await second.silence()) == ["missed new"]


async def test_a_job_that_began_before_anybody_listened_is_told_from_its_start(autojump_clock):
    async with house() as built:
        job = pending(1, "a", key=INSTALL)
        built.jobs.logs[1] = b"before "
        built.jobs.tell(job, running(job, 2))
        built.news.grew(1, 7)
        client = await built.listener()
        await client.silence()

        built.jobs.logs[1] = b"before after"
        built.jobs.tell(finished(job, 3, 12))

        assert texts(await client.silence()) == ["before after"]


async def test_events_that_were_handed_to_nobody_do_not_count_as_told(autojump_clock):
    async with house() as built:
        built.feed.attach()  # as a client does that leaves while its replay is read
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"unheard ")
        client = await built.listener()
        await grow(built, b"unheard heard")

        assert texts(await client.silence()) == ["unheard heard"]


async def test_a_job_that_ended_unheard_leaves_nothing_behind(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"x")
        await client.ask(call("unsubscribe", "dispatcher", namespace="events"))
        built.jobs.tell(finished(job, 3, 1))

        await built.listener()
        await trio.testing.wait_all_tasks_blocked()

        assert built.feed.increments._shown == {}


async def test_a_command_whose_end_was_lost_on_a_full_disk_costs_the_next_one_nothing(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", "b", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"abcdef")
        built.jobs.logs[1] = b"abcNEXT"
        built.jobs.tell(running(job, 3, 3), finished(job, 4, 3, 7))

        assert "".join(texts(await client.silence())) == "abcdefNEXT"


# --- replay ---------------------------------------------------------------------------------


async def test_a_replay_holds_the_text_so_far_and_the_live_events_go_on_behind_it(autojump_clock):
    async with house() as built:
        other = await built.listener()
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"one ")
        client = await built.client()
        await client.ask(call("subscribe", "dispatcher:since=0", namespace="events"))
        await grow(built, b"one two ")
        built.jobs.logs[1] = b"one two three"
        built.jobs.tell(finished(job, 3, 13))

        assert texts(await client.silence()) == ["one ", "two ", "three"]
        assert texts(await other.silence()) == ["", "", "one ", "two ", "three"]


async def test_output_told_to_others_during_a_replay_is_not_missed(autojump_clock, monkeypatch):
    async with house() as built:
        await built.listener()
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"one ")
        client = await built.client()
        changed_since = built.jobs.changed_since
        is_first = True

        async def slow(caller, number, limit):
            nonlocal is_first
            found = await changed_since(caller, number, limit)
            if number and is_first:
                is_first = False
                await grow(built, b"one two ")
            return found

        monkeypatch.setattr(built.jobs, "changed_since", slow)
        await client.ask(call("subscribe", "dispatcher:since=0", namespace="events"))
        await trio.sleep(5)
        await grow(built, b"one two three")

        assert texts(await client.silence()) == ["one ", "two ", "three"]


async def test_events_that_a_replay_overtook_add_their_text_to_the_next(autojump_clock):
    async with house() as built:
        await built.listener()
        job = pending(1, "a", "b", key=INSTALL)
        built.jobs.tell(job, running(job, 2))
        await grow(built, b"one ")
        client = await built.client()
        read = built.jobs.read_text
        gate = trio.Event()

        is_first = True

        async def held(number, start, end):
            nonlocal is_first
            if is_first:
                is_first = False
                await gate.wait()
            return await read(number, start, end)

        built.feed.frames._read_log_text = held
        built.jobs.logs[1] = b"one two three"
        built.jobs.tell(running(job, 3, 8))  # the feed reads its log, and cannot go on
        client.say(call("subscribe", "dispatcher:since=2", namespace="events"))
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
        built.jobs.tell(finished(job, 4, 8, 13))

        reply, *frames = await client.silence()
        assert reply["args"] == {"subscribe": "dispatcher"}
        assert "".join(texts(frames)) == "one two three"
        assert [frame["args"]["state"] for frame in frames] == ["running", "finished"]


async def test_a_replayed_end_is_whole_and_comes_once(autojump_clock):
    async with house() as built:
        built.jobs.logs[1] = b"all of it"
        job = pending(1, "a", key=INSTALL)
        built.jobs.tell(job, running(job, 2), finished(job, 3, 9))

        client = await built.client()
        await client.ask(call("subscribe", "dispatcher:since=0", namespace="events"))

        assert texts(await client.silence()) == ["all of it"]
