"""rpc/logs: what is in each log, and that nothing is lost where much is in it."""

import json
import time
from typing import Any

import pytest
import trio

from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.all_logs import make_logs
from dispatcher.api.sysadm.calls import answer
from dispatcher.api.sysadm.codec import Call, encode
from dispatcher.api.sysadm.frames import Frames
from dispatcher.api.sysadm.host_lines import host_line
from dispatcher.api.sysadm.logs import Logs
from dispatcher.api.sysadm.topics import topic_histories
from dispatcher.core.model import Finished, Outcome
from dispatcher.errors import InvalidRequest, NotAuthenticated, NotFound
from dispatcher.logs.history import History, line
from dispatcher.store.port import Page
from tests.api.told_jobs import finished, pending

NOW = 1_795_332_780.0
READER = Caller("reader", Level.READ)
NAMES = ["hostinfo", "dispatcher", "events-dispatcher", "events-lifepreserver", "events-state"]


def key(seconds_ago, place=1):
    name = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(NOW - seconds_ago))
    return name if place == 1 else f"{name} ({place:04d})"


class FinishedJobs:
    """A store of finished jobs, newest first; logs are what `text` says."""

    def __init__(self):
        self.jobs = []
        self.text = b""

    def add(self, number, ended):
        job = finished(pending(number, "echo one", key=f"k{number}"), number)
        phase = Finished(Outcome.SUCCESS, ended, ended - 1)
        self.jobs.append(type(job)(job.number, job.submission, ended - 2, phase, job.runs, number))

    async def page(self, caller, which, offset, limit):
        assert which.live is False
        await trio.lowlevel.checkpoint()
        found = [job for job in self.jobs if which.since <= job.phase.finished_at < which.until]
        found.sort(key=lambda job: (job.phase.finished_at, job.number), reverse=True)
        return Page(tuple(found[offset : offset + limit]), len(found))

    async def read(self, number, start, end):
        await trio.lowlevel.checkpoint()
        return self.text[start:end]


class Desk:
    """All logs over files of the test."""

    def __init__(self, tmp_path):
        self.jobs = FinishedJobs()
        self.audit = History(tmp_path / "audit.log", 100_000, 1)
        self.histories = topic_histories(tmp_path)
        frames = Frames(self.jobs.read, 65536, 262144)
        self.logs = make_logs(self.jobs, frames, self.audit, self.histories, lambda: NOW)

    def note(self, name, seconds_ago, **fields):
        history = next(
            one for one in (self.audit, *self.histories.values()) if one.path.name.startswith(name)
        )
        history.append([line(NOW - seconds_ago, json.dumps(fields).encode())])

    def tear(self, name, torn):
        """Add a line as a crash of the machine may leave one."""
        path = next(one.path for one in self.histories.values() if one.path.name.startswith(name))
        with path.open("ab") as file:
            file.write(torn)

    def bounded(self, read_bytes):
        self.logs = Logs(self.logs._sources, lambda: NOW, read_bytes)

    async def ask(self, caller=READER, **args):
        call = Call("rpc", "logs", "x", {"action": "read_logs", **args})
        jobs: Any = self.jobs
        given = await answer(call, caller, jobs, 10, {"rpc/logs": self.logs})
        return json.loads(encode(given))


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


async def test_each_log_holds_what_belongs_to_it(desk):
    desk.jobs.add(1, NOW - 50.5)
    desk.note(
        "audit", 40, who="admin", **{"from": "192.0.2.7:4000"}, what="login", by="password", answer="done"
    )
    desk.note("events-life", 30, args={"message": "m"})
    desk.note("events-state", 20, args={"hostname": "box"})
    found = await desk.ask()

    assert list(found) == sorted(NAMES)
    assert found["hostinfo"] == {key(40): "User Login Attempt: admin   Success: true   IP: 192.0.2.7"}
    assert found["events-lifepreserver"] == {key(30): {"message": "m"}}
    assert found["events-state"] == {key(20): {"hostname": "box"}}
    record = found["events-dispatcher"][key(51)]
    assert (record["process_id"], record["state"], record["cmd_list"]) == ("k1", "finished", ["echo one"])
    assert json.loads(found["dispatcher"][key(51)]) == record
    assert isinstance(found["dispatcher"][key(51)], str)


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ("events-state", ["events-state"]),
        (["events-state", "hostinfo", "events-state"], ["events-state", "hostinfo"]),
        ([], ["events-state", "hostinfo"]),
        (["bogus"], []),
        (["bogus", "hostinfo"], ["hostinfo"]),
    ],
)
async def test_the_logs_are_chosen_by_name_and_unknown_ones_skipped(desk, given, there):
    desk.note("audit", 40, who="a", what="reload", answer="done")
    desk.note("events-state", 20, args={})

    assert list(await desk.ask(logs=given)) == there


async def test_the_action_is_compared_without_case_and_others_are_refused(desk):
    call = Call("rpc", "logs", "x", {"action": "READ_LOGS"})
    assert await desk.logs.answer(call, READER) == {}
    for args in ({"action": "write_logs"}, {}, "read_logs", None, {"action": 1}):
        with pytest.raises(InvalidRequest, match="read_logs"):
            await desk.logs.answer(Call("rpc", "logs", "x", args), READER)
    with pytest.raises(InvalidRequest, match="array of names"):
        await desk.ask(logs=7)


async def test_only_who_may_read_can_read_and_query_lists_it(desk):
    with pytest.raises(NotAuthenticated):
        await desk.ask(Caller("", Level.NOBODY))
    with pytest.raises(NotFound):
        await answer(Call("rpc", "logs", "x", {}), READER, desk.jobs, 10, {})
    listed = await answer(Call("rpc", "query", "x", ""), READER, desk.jobs, 10, {"rpc/logs": desk.logs})

    assert listed == {"rpc/dispatcher": "read", "rpc/logs": "read"}


async def test_start_and_end_cut_and_twelve_hours_are_the_default(desk):
    for ago in (13 * 3600, 11 * 3600, 60, 30):
        desk.note("events-state", ago, args={"ago": ago})
    span = {"time_format": "time_t_seconds", "start_time": str(int(NOW - 60)), "end_time": str(int(NOW - 31))}

    assert [one["ago"] for one in (await desk.ask())["events-state"].values()] == [11 * 3600, 60, 30]
    assert [one["ago"] for one in (await desk.ask(**span))["events-state"].values()] == [60]


async def test_several_entries_of_one_second_are_all_there_in_order(desk):
    for number in range(12):
        desk.note("events-state", 20.9 - number / 20, args={"n": number})
    found = (await desk.ask())["events-state"]

    assert list(found) == [key(21, place) for place in range(1, 13)]
    assert [one["n"] for one in found.values()] == list(range(12))


@pytest.mark.parametrize("name", ["events-state", "events-dispatcher", "dispatcher"])
async def test_pages_hold_every_entry_once_under_one_name_whatever_comes_meanwhile(desk, name):
    for number in range(40):
        desk.jobs.add(number, NOW - 100 + number // 7)
        desk.note("events-state", 100 - number // 7, args={"n": number, "x": "y" * 20})
    whole = (await desk.ask(logs=name))[name]
    desk.bounded(1000)
    pages, args = [], {"logs": name}
    while True:
        page = await desk.ask(**args)
        pages.append(page[name])
        if "next" not in page:
            break
        assert page["truncated"] == {name: 40}
        args = {"next": page["next"]}
        desk.jobs.add(1000 + len(pages), NOW + len(pages))
        desk.note("events-state", -len(pages), args={"n": -1})

    assert len(whole) == 40
    assert len(pages) > 3
    assert sum(map(len, pages)) == 40
    assert {entry: value for page in pages for entry, value in page.items()} == whole
    # The newest come first: who does not know `next` sees those.
    assert list(pages[0])[-1] == list(whole)[-1]


async def test_an_entry_larger_than_a_page_is_a_page(desk):
    desk.note("events-state", 20, args={"x": "y" * 5000})
    desk.note("events-state", 10, args={"x": "z" * 5000})
    desk.bounded(1000)
    first = await desk.ask(logs="events-state")
    second = await desk.ask(next=first["next"])

    assert [len(page["events-state"]) for page in (first, second)] == [1, 1]
    assert "next" not in second


@pytest.mark.parametrize(
    "following", ["x", {"bogus": "1-2-3"}, {"dispatcher": "1-2"}, {"dispatcher": 7}, {"dispatcher": "1-2--3"}]
)
async def test_a_wrong_next_is_refused(desk, following):
    with pytest.raises(InvalidRequest, match="go on"):
        await desk.ask(next=following)


async def test_a_torn_line_is_no_entry(desk):
    desk.note("events-state", 20, args={"n": 1})
    desk.tear("events-state", b'{"at":"2026-11-22T07:32:50.000Z",\x00\x00}\n')

    assert len((await desk.ask())["events-state"]) == 1


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (
            {
                "what": "login",
                "by": "password",
                "who": "u",
                "from": "[::1]:5",
                "answer": "not_authenticated: x",
            },
            "User Login Attempt: u   Success: false   IP: ::1",
        ),
        (
            {"what": "login", "by": "ssl", "who": "u", "from": "10.0.0.1:5", "answer": "done"},
            "SSL Login Attempt:   User: u   Success: true   IP: 10.0.0.1",
        ),
        (
            {"what": "submit", "from": "10.0.0.1:5", "jobs": [{"key": "a"}, {"key": "b"}], "answer": "done"},
            "Client Launched Processes[10.0.0.1]: a,b",
        ),
        (
            {
                "what": "submit",
                "from": "10.0.0.1:5",
                "jobs": [{"key": "a", "answer": "invalid: x"}, {"key": "b", "answer": "added"}],
                "answer": "done",
            },
            "Client Launched Processes[10.0.0.1]: b",
        ),
        (
            {
                "what": "submit",
                "from": "10.0.0.1:5",
                "jobs": [{"key": "a", "answer": "invalid: x"}],
                "answer": "done",
            },
            "Client Request[10.0.0.1]: submit   (nothing was launched)",
        ),
        (
            {
                "what": "submit",
                "from": "[::1]:5",
                "jobs": [{"key": "a", "answer": "invalid: x"}],
                "answer": "forbidden: no",
            },
            "Client Launched Processes[::1]: a   (forbidden: no)",
        ),
        ({"what": "connect", "from": "[::1]:5", "answer": "done"}, "New Connection: ::1"),
        ({"what": "idle", "from": "10.0.0.1:5", "answer": "done"}, "Connection Idle: 10.0.0.1"),
        ({"what": "block", "from": "", "address": "::1"}, "Blacklisting IP Temporarily: ::1"),
        (
            {"what": "refused_logins", "from": "", "address": "::1", "tries": 7, "answer": "refused"},
            "Blacklisted IP: ::1   Refused Logins: 7",
        ),
        ({"what": "logout", "from": "[::1]:5", "answer": "done"}, "Client Request[::1]: logout"),
        (
            {"what": "kill", "from": "unix uid 0", "jobs": [{"target": 7}], "answer": "forbidden: no"},
            "Client Killed Processes[unix uid 0]: 7   (forbidden: no)",
        ),
        (
            {"what": "pause", "from": "unix uid 0", "queue": "q", "answer": "done"},
            "Client Request[unix uid 0]: pause: q",
        ),
        ({}, None),
    ],
)
def test_lines_of_the_host_are_in_the_words_of_the_original(entry, shown):
    assert host_line(entry) == shown
