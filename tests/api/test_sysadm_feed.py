"""SysAdm's dispatcher events: which frames, in which order, to whom, and what a replay adds."""

import json
import time
from pathlib import Path

import pytest
import trio
import trio.testing

from dispatcher.access.roles import Level
from dispatcher.core.model import Outcome, Pending, Stop
from tests.api.fakes import call, house
from tests.api.told_jobs import T0, finished, pending, running

DATA = Path(__file__).resolve().parent.parent / "data" / "sysadm"
STOP = Stop(T0, "admin")


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def states(frames):
    return [frame["args"]["state"] for frame in frames]


async def test_a_list_of_three_commands_is_told_frame_by_frame(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "pkg update", "pkg install -y x", "echo done")
        built.jobs.logs[1] = b"updated\ninstalled\ndone\n"

        built.jobs.tell(job, running(job, 2), running(job, 3, 8), running(job, 4, 8, 18))
        built.jobs.tell(finished(job, 5, 8, 18, 23))

        assert await client.silence() == json.loads((DATA / "three_commands.json").read_text())


async def test_frames_are_the_same_if_each_is_told_alone(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "pkg update", "pkg install -y x", "echo done")
        built.jobs.logs[1] = b"updated\ninstalled\ndone\n"
        steps = [
            job,
            running(job, 2),
            running(job, 3, 8),
            running(job, 4, 8, 18),
            finished(job, 5, 8, 18, 23),
        ]

        heard = []
        for step in steps:
            built.jobs.tell(step)
            heard += await client.silence()

        assert heard == json.loads((DATA / "three_commands.json").read_text())


async def test_a_job_killed_while_pending_is_told_once(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "true")

        built.jobs.tell(job, finished(job, 2, outcome=Outcome.KILLED))

        assert states(await client.silence()) == ["pending", "finished"]


@pytest.mark.parametrize("ends", [(), (8,)])
async def test_a_wish_to_stop_is_no_frame(ends, autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", "b")
        built.jobs.tell(job, running(job, 2), *([running(job, 3, *ends)] if ends else []))
        await client.silence()

        built.jobs.tell(running(job, 4, *ends, stop=STOP))

        assert await client.silence() == []


async def test_a_wish_to_stop_a_job_that_nobody_has_taken_yet_is_no_frame(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a")
        built.jobs.tell(job)
        await client.silence()

        built.jobs.tell(type(job)(1, job.submission, T0, Pending(7, "boot", stop=STOP), (), 2))

        assert await client.silence() == []


# --- new output -----------------------------------------------------------------------------


async def test_new_output_is_shown_a_second_after_it_began_and_once_a_second(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "make")
        built.jobs.tell(job, running(job, 2))
        await client.silence()
        start = trio.current_time()

        heard = []
        for length in range(1, 26):
            built.jobs.logs[1] = b"x" * length
            built.news.grew(1, length)
            await trio.sleep(0.1)
            heard += [(round(trio.current_time() - start, 1), frame) for frame in await client.silence()]

        # New output follows the first event at once, so the next timer begins 0.1 s later.
        assert [at for at, _ in heard] == [pytest.approx(1.0, abs=0.11), pytest.approx(2.0, abs=0.21)]
        assert [len(frame["args"]["make"]) for _, frame in heard] == [
            pytest.approx(10, abs=1),
            pytest.approx(20, abs=2),
        ]
        assert states(frame for _, frame in heard) == ["running", "running"]


async def test_without_new_output_nothing_is_told(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "make")
        built.jobs.logs[1] = b"abc"
        built.jobs.tell(job, running(job, 2))
        built.news.grew(1, 3)
        await trio.sleep(1.5)
        assert states(await client.silence()) == ["pending", "running", "running"]

        await trio.sleep(100)

        assert await client.silence() == []


async def test_a_boundary_shows_the_output_that_would_have_come_a_second_later(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", "b")
        built.jobs.logs[1] = b"abc"
        built.jobs.tell(job, running(job, 2))
        built.news.grew(1, 3)
        await trio.sleep(0.5)
        built.jobs.tell(running(job, 3, 3))
        await trio.sleep(10)

        heard = await client.silence()

        assert states(heard) == ["pending", "running", "running"]
        assert (heard[-1]["args"]["a"], heard[-1]["args"]["b"]) == ("abc", "")


async def test_output_after_a_boundary_is_shown_whole(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a", "b")
        built.jobs.logs[1] = b"abcdef"
        built.jobs.tell(job, running(job, 2), running(job, 3, 3))
        built.news.grew(1, 6)
        await trio.sleep(1.1)

        last = (await client.silence())[-1]["args"]

        assert (last["a"], last["b"], last["current_cmd"]) == ("abc", "def", "b")


async def test_after_the_end_no_output_is_told(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a")
        built.jobs.logs[1] = b"abc"
        built.jobs.tell(job, running(job, 2))
        built.news.grew(1, 3)
        built.jobs.tell(finished(job, 3, 3))
        await trio.sleep(10)

        assert states(await client.silence()) == ["pending", "running", "finished"]
        assert built.news._listeners == {}


async def test_a_late_subscriber_hears_nothing_until_something_happens_and_then_everything(autojump_clock):
    async with house() as built:
        job = pending(1, "a")
        built.jobs.logs[1] = b"abc"
        built.jobs.tell(job, running(job, 2))
        built.news.grew(1, 3)
        client = await built.listener()
        await trio.sleep(10)
        assert await client.silence() == []

        built.jobs.logs[1] = b"abcdef"
        built.news.grew(1, 6)
        await trio.sleep(1.1)

        (heard,) = await client.silence()
        assert heard["args"]["a"] == "abcdef"


async def test_a_job_that_ends_while_the_running_ones_are_looked_up_is_not_followed(
    autojump_clock, monkeypatch
):
    async with house() as built:
        job = pending(1, "a")
        built.jobs.tell(job, running(job, 2))
        real = built.jobs.page

        async def slow(*args):
            page = await real(*args)
            built.jobs.tell(finished(job, 3, 0))
            return page

        monkeypatch.setattr(built.jobs, "page", slow)
        client = await built.listener()

        assert states(await client.silence()) == ["finished"]
        assert built.feed._followed == {}


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_a_kill_wish_for_a_job_from_before_the_subscription_is_no_frame(is_at_once, autojump_clock):
    async with house() as built:
        job = pending(1, "a")
        built.jobs.tell(job, running(job, 2))
        client = await built.client(Level.READ)
        client.say(call("subscribe", "dispatcher", namespace="events"))
        while not (built.hub._feeds if is_at_once else built.feed._followed):
            await trio.lowlevel.checkpoint()
        built.jobs.tell(running(job, 3, stop=STOP))
        reply, *frames = await client.silence()

        built.jobs.tell(finished(job, 4, 0, outcome=Outcome.KILLED))

        assert reply["args"] == {"subscribe": "dispatcher"}
        assert states(frames) == []
        assert states(await client.silence()) == ["finished"]


async def test_a_job_that_was_taken_in_spite_of_a_wish_to_stop_is_told_as_running(autojump_clock):
    async with house() as built:
        client = await built.listener()
        job = pending(1, "a")

        built.jobs.tell(job)
        await client.silence()
        built.jobs.tell(running(job, 2, stop=STOP))

        assert states(await client.silence()) == ["running"]
