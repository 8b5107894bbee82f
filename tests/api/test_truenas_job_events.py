"""The feed of job events, and what one connection hears of it: all states in order, in bounded memory."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from dispatcher.api.truenas import following as following_module
from dispatcher.api.truenas.excerpts import Excerpts, excerpt_of
from dispatcher.api.truenas.following import JobFollower
from dispatcher.api.truenas.job_events import Event, JobEvents
from dispatcher.core.model import Job, Progress
from dispatcher.net.websocket import payload_of
from tests.api.told_jobs import finished, pending, running


class Listener:
    """A follower that notes what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        self.events.append(event)

    @property
    def told(self) -> list[tuple[str, int, str]]:
        """What was told: the message, the job, and its state."""
        found = [json.loads(event.jsonrpc)["params"] for event in self.events]
        return [(one["msg"], one["id"], one["fields"]["state"]) for one in found]


class Line:
    """A connection that takes so many frames; `lags` counts how often it was given up."""

    def __init__(self, events: JobEvents, room: int = 1000, *, is_legacy: bool = False) -> None:
        self.room = room
        self.heard: list[dict[str, Any]] = []
        self.lags = 0
        self.follower = JobFollower(events, self._offer, self._lag, is_legacy=is_legacy)

    def _offer(self, frame: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.heard.append(json.loads(payload_of(frame)))
        return True

    def _lag(self) -> None:
        self.lags += 1

    def read_on(self, room: int = 1000) -> None:
        self.room = room
        self.follower.drained()

    @property
    def told(self) -> list[tuple[int, str, int]]:
        """The job, its state and its progress, of each event."""
        found = [one.get("params", one)["fields"] for one in self.heard]
        return [(one["id"], one["state"], one["progress"]["percent"]) for one in found]


def feed(**more: int) -> JobEvents:
    return JobEvents(Excerpts(lambda: Path("/nonexistent")), lambda: Path("/log"), **more)


def at(job: Job, changed: int, percent: int) -> Job:
    return replace(job, changed=changed, progress=Progress(percent, f"{percent} done"))


FIRST = pending(1, "a", key="one", changed=1)
GOING = running(FIRST, 2)
DONE = replace(GOING, changed=9, phase=finished(FIRST, 9).phase)


def test_a_job_is_added_once_and_then_changes():
    events, listener = feed(), Listener()
    events.join(listener)

    for job in (FIRST, GOING, DONE):
        events.tell(job)

    assert listener.told == [("added", 1, "WAITING"), ("changed", 1, "RUNNING"), ("changed", 1, "SUCCESS")]


def test_jobs_from_before_the_start_are_never_added():
    events, listener = feed(newest=1, last=1), Listener()
    events.join(listener)

    events.tell(GOING)
    events.tell(pending(2, "a", changed=3))

    assert [(what, job) for what, job, _ in listener.told] == [("changed", 1), ("added", 2)]


def test_both_forms_of_an_event_carry_the_same():
    events, listener = feed(), Listener()
    events.join(listener)

    events.tell(FIRST)

    (event,) = listener.events
    jsonrpc, legacy = json.loads(event.jsonrpc), json.loads(event.legacy)
    assert "id" not in jsonrpc
    assert (jsonrpc["jsonrpc"], jsonrpc["method"]) == ("2.0", "collection_update")
    assert jsonrpc["params"].pop("event") == "ADDED"
    assert jsonrpc["params"] == legacy
    assert list(legacy) == ["msg", "collection", "id", "fields", "extra"]
    assert (legacy["collection"], legacy["id"], legacy["extra"]) == ("core.get_jobs", 1, {"seq": 1})


def test_the_ids_of_calls_that_wait_stand_in_every_event_until_the_job_has_ended():
    events, listener = feed(), Listener()
    events.join(listener)
    events.message_ids.add("one", b'"a"')
    events.message_ids.add("other", b"9")

    events.tell(FIRST)
    events.message_ids.add("one", b"7")
    events.tell_again(FIRST)
    events.tell(DONE)

    found = [json.loads(event.jsonrpc)["params"] for event in listener.events]
    assert [one["fields"]["message_ids"] for one in found] == [["a"], ["a", 7], ["a", 7]]
    assert [one["msg"] for one in found] == ["added", "changed", "changed"]
    assert events.message_ids.of("one") == []
    assert events.message_ids.of("other") != []


def test_a_call_that_waits_no_more_takes_its_id_back():
    events = feed()
    for call_id in (b"1", b"2"):
        events.message_ids.add("one", call_id)

    events.message_ids.drop("one", b"1")
    assert [bytes(one) for one in events.message_ids.of("one")] == [b"2"]

    events.message_ids.drop("one", b"2")
    assert events.message_ids.of("one") == []


async def test_an_end_waits_for_its_log_and_everything_after_waits_behind_it(tmp_path, monkeypatch):
    going_on = trio.Event()

    async def read(folder, jobs):
        await going_on.wait()
        return {job.number: excerpt_of(b"the log\n") for job in jobs}

    monkeypatch.setattr(trio.to_thread, "run_sync", lambda _, *given, **__: read(*given))
    events, listener = feed(), Listener()
    events.join(listener)
    ended = finished(pending(1, "a", changed=1), 2, 8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.run)
        events.tell(ended)
        events.tell(pending(2, "b", changed=3))
        await trio.testing.wait_all_tasks_blocked()
        assert listener.events == []
        with trio.move_on_after(0) as early:
            await events.reached(2)
        assert early.cancelled_caught

        going_on.set()
        with trio.fail_after(5):
            await events.reached(3)
        nursery.cancel_scope.cancel()

    assert [(job, state) for _, job, state in listener.told] == [(1, "SUCCESS"), (2, "WAITING")]
    assert json.loads(listener.events[0].legacy)["fields"]["logs_excerpt"] == "the log"


async def test_a_list_has_the_same_objects():
    events = feed()

    (shown,) = await events.objects([FIRST])

    assert (shown["id"], shown["state"]) == (1, "WAITING")


def test_nothing_is_sent_before_the_answer_to_the_subscription_and_all_of_it_after():
    events = feed()
    line = Line(events)
    for job in (FIRST, GOING):
        events.tell(job)
    assert line.heard == []

    line.follower.begin()
    events.tell(DONE)

    assert [state for _, state, _ in line.told] == ["WAITING", "RUNNING", "SUCCESS"]


def test_what_a_replay_has_told_does_not_come_again_not_even_late():
    events = feed()
    line = Line(events)
    events.tell(FIRST)
    events.tell(GOING)

    line.follower.begin(after=8)
    events.tell(at(GOING, 8, 50))  # it had waited for a log
    events.tell(DONE)

    assert line.told == [(1, "SUCCESS", 100)]


def test_news_of_who_waits_come_although_the_job_has_not_changed_since_the_replay():
    events = feed()
    line = Line(events)
    events.tell(FIRST)
    line.follower.begin(after=1)

    events.message_ids.add("one", b"7")
    events.tell_again(FIRST)

    assert [one["params"]["fields"]["message_ids"] for one in line.heard] == [[7]]


def test_a_slow_client_gets_every_state_and_of_the_progress_the_newest():
    events = feed()
    line = Line(events, room=0)
    line.follower.begin()
    for job in (FIRST, GOING, *(at(GOING, 2 + n, 10 * n) for n in (1, 2, 3))):
        events.tell(job)
    other = pending(2, "b", changed=8)
    events.tell(other)
    events.tell(at(GOING, 9, 90))
    events.tell(replace(DONE, changed=10))

    line.read_on()

    assert line.told == [
        (1, "WAITING", 0),
        (1, "RUNNING", 0),
        (2, "WAITING", 0),
        (1, "RUNNING", 90),
        (1, "SUCCESS", 100),
    ]


def test_a_job_stays_added_when_its_waiting_calls_are_told_again():
    events = feed()
    line = Line(events, room=0)
    line.follower.begin()
    events.tell(FIRST)
    events.tell_again(FIRST)

    line.read_on()

    assert [one["params"]["msg"] for one in line.heard] == ["added", "changed"]


def test_what_waits_goes_out_in_order_as_far_as_there_is_room():
    events = feed()
    line = Line(events, room=1)
    line.follower.begin()
    for job in (FIRST, GOING, DONE):
        events.tell(job)

    assert [state for _, state, _ in line.told] == ["WAITING"]
    line.read_on(room=1)
    assert [state for _, state, _ in line.told] == ["WAITING", "RUNNING"]
    line.read_on()
    assert [state for _, state, _ in line.told] == ["WAITING", "RUNNING", "SUCCESS"]


def test_who_falls_too_far_behind_is_told_so_once_and_hears_no_more(monkeypatch):
    events = feed()
    line = Line(events, room=0)
    line.follower.begin()
    events.tell(FIRST)
    monkeypatch.setattr(following_module, "BEHIND_BYTES", 3000)

    for number in range(2, 20):
        events.tell(pending(number, "a", changed=number))

    assert (line.lags, line.follower.is_over) == (1, True)
    line.read_on()
    assert line.heard == []


def test_progress_for_hours_is_no_lag(monkeypatch):
    monkeypatch.setattr(following_module, "BEHIND_BYTES", 5000)
    events = feed()
    line = Line(events, room=0)
    line.follower.begin()
    events.tell(FIRST)
    events.tell(GOING)

    for percent in range(1000):
        events.tell(at(GOING, 3 + percent, percent % 100))

    assert line.lags == 0
    line.read_on()
    assert line.told[-1] == (1, "RUNNING", 99)


async def test_a_reply_can_wait_until_all_has_been_sent(autojump_clock):
    events = feed()
    line = Line(events, room=0)
    line.follower.begin()
    events.tell(FIRST)
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def wait() -> None:
            await line.follower.caught_up()
            done.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        line.read_on()
        await done.wait()


@pytest.mark.parametrize("is_legacy", [False, True])
def test_each_protocol_gets_its_own_form(is_legacy):
    events = feed()
    line = Line(events, is_legacy=is_legacy)
    line.follower.begin()

    events.tell(FIRST)

    assert ("jsonrpc" in line.heard[0]) is not is_legacy
