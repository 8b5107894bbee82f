"""The verb `status`: what it asks, what people and programs read, and how it waits for a daemon that starts."""

import contextlib
import json
import time
from types import SimpleNamespace

import pytest

from dispatcher.cli import status
from tests.cli.fake_daemon import fake_daemon, running


def queue(name, **changes):
    return {"name": name, "paused": False, "held": False, "running": 0, "pending": 0} | changes


@pytest.fixture
def busy(scripted):
    """A daemon with a running job, two pending ones in two queues, and a paused queue."""
    scripted.script["dispatcher.queues"] = [
        [
            queue("no_queue", pending=1),
            queue("pkg_queue", running=1, pending=1),
            queue("backups", paused=True),
        ]
    ]
    scripted.script["dispatcher.list"] = [{"jobs": [running(key="build-7")], "total": 1}]
    return scripted


def test_people_read_where_it_answers_how_much_there_is_and_which_jobs_run(busy, say):
    said = say("status")

    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"socket   {busy.path}",
        "running  1",
        "pending  2",
        "paused   backups",
        "job 7 (build-7) in pkg_queue: pkg update",
    ]
    assert busy.params("dispatcher.list") == [{"state": "running", "offset": 0, "limit": 100}]


def test_queues_that_are_held_are_told_with_the_way_out(scripted, say):
    scripted.script["dispatcher.queues"] = [[queue("no_queue", held=True)]]
    scripted.script["dispatcher.list"] = [{"jobs": [], "total": 0}]

    assert "held     no job starts after stopjobs; go on with: dispatcher startjobs\n" in say("status").out


def test_programs_read_the_same(busy, say):
    told = json.loads(say("status", "--json").out)

    assert told == {
        "socket": str(busy.path),
        "running": 1,
        "pending": 2,
        "paused": ["backups"],
        "held": False,
        "jobs": [running(key="build-7")],
    }


def test_without_a_daemon_it_is_69_at_once(say, monkeypatch):
    clock = SimpleNamespace(sleep=lambda _: pytest.fail("it waited"), monotonic=time.monotonic)
    monkeypatch.setattr(status, "time", clock)

    said = say("status")

    assert said.status == 69
    assert said.err.startswith("dispatcher: cannot reach the daemon at ")


def test_it_waits_for_a_daemon_that_is_just_starting(say, monkeypatch, tmp_path_factory):
    path = tmp_path_factory.mktemp("d") / "d.sock"
    with contextlib.ExitStack() as stack:

        def start(seconds):
            daemon = stack.enter_context(fake_daemon(path))
            daemon.script["dispatcher.queues"] = [[]]
            daemon.script["dispatcher.list"] = [{"jobs": [], "total": 0}]

        clock = SimpleNamespace(sleep=start, monotonic=time.monotonic)
        monkeypatch.setattr(status, "time", clock)

        said = say("status", "--wait", "20", socket=path)

    assert (said.status, said.out.splitlines()[0]) == (0, f"socket   {path}")


@pytest.mark.parametrize("wait", ["-1", "soon", "1e9", "nan"])
def test_what_is_no_time_to_wait_is_refused(say, wait):
    said = say("status", f"--wait={wait}")

    assert said.status == 2
    assert f"{wait!r} is no time: write seconds, 0 to 86400" in said.err
