"""`kill -9` of the supervisor, of a worker, of both: what becomes of the jobs."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from websockets.sync.client import unix_connect

from tests.acceptance.daemon_clients import PATIENCE, Answer, Rpc, until
from tests.acceptance.launchers import QuickDaemon
from tests.acceptance.steps import begun, living, names, step
from tests.daemon import running

KILLS = 200


def codes(job: Answer) -> list[int | None]:
    return [command["code"] for command in job["commands"]]


# --- the supervisor, at the moment of the answer ----------------------------------------------------


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickDaemon]:
    folder = tmp_path_factory.mktemp("d")
    with running(
        made := QuickDaemon(folder, None, {"listen": [{"unix": str(folder / "state" / "dispatcher.sock")}]})
    ):
        yield made


def test_200_kills_of_the_supervisor_right_after_its_answer_lose_no_job_and_run_none_twice(quick):
    ran = step(quick)
    quick.script("pkg", 'exec step "$1"')
    for number in range(KILLS):
        # Every tenth time there are workers that have the job at once; else one must first be forked.
        if number % 10 == 0:
            with Rpc(quick) as rpc:
                assert rpc.run("true")["outcome"] == "success"
        program = ("step", "pkg")[number % 3 == 0]
        with unix_connect(str(quick.socket), "ws://localhost/") as client:
            args = {"action": "run", str(number): f"{program} {number}"}
            client.send(json.dumps({"namespace": "rpc", "name": "dispatcher", "id": "1", "args": args}))
            answer = json.loads(client.recv(timeout=PATIENCE))
            quick.kill9()
        assert answer["args"] == {"started": [str(number)]}
        quick.start()
    with Rpc(quick) as rpc:
        jobs = [rpc.wait(str(number)) for number in range(KILLS)]

    assert Counter(names(ran)) == {str(number): 1 for number in range(KILLS)}
    assert {job["outcome"] for job in jobs} == {"success"}


# --- in the middle of the second of four commands ---------------------------------------------------


def test_a_list_runs_to_its_end_without_its_supervisor_and_no_event_of_it_is_missed(daemon):
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        rpc.call("events")
        job = rpc.submit("step 1", "step 2 wait", "step 3", "step 4")
        beside = rpc.submit("step beside wait")
        begun(ran, "2")
        begun(ran, "beside")
        seen = [rpc.notification("event") for _ in range(5)]  # both pending and running, and command 2
        worker = psutil.Process(begun(ran, "2"))
        daemon.kill9()

    (daemon.folder / "gate").touch()
    until(lambda: "4" in names(ran), "the list goes on to its end")
    assert worker.is_running(), "nobody has saved yet how it ended"
    daemon.start()
    with Rpc(daemon) as rpc:
        ended, other = rpc.wait(job), rpc.wait(beside)
        last = max(event["seq"] for event in seen)
        rpc.call("events", since=last)
        missed = [rpc.notification("event") for _ in range(2)]
        log = rpc.log(job)

    assert codes(ended) == [0, 0, 0, 0]
    assert (ended["outcome"], other["outcome"]) == ("success", "success")
    assert log == "".join(f"this is {number}\n" for number in "1234")
    assert sorted(names(ran)) == ["1", "2", "3", "4", "beside"]
    # Each job that changed, with its newest record, in the order of the numbers.
    assert [event["seq"] for event in missed] == sorted(event["seq"] for event in missed)
    assert missed[0]["seq"] > last
    assert {event["job"]["number"]: event["job"] for event in missed} == {job: ended, beside: other}


@pytest.mark.parametrize("whom", ["the worker", "supervisor and worker"])
def test_a_job_whose_worker_is_killed_is_lost_and_nothing_of_its_command_is_left(make_daemon, whom):
    daemon = make_daemon({"queues": {"no_queue": {"concurrency": 256, "grace": 0.5}}})
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        job = rpc.submit("step 1", "step 2 nest", "step 3", "step 4")
        other = rpc.submit("step beside wait")
        begun(ran, "beside")
        worker = begun(ran, "2")
        until(lambda: len(living(daemon, job)) >= 5, "all processes of the second command")
        if whom != "the worker":
            daemon.kill9()
        os.kill(worker, signal.SIGKILL)

    if not daemon.is_running:
        assert len(living(daemon, job)) >= 5
        daemon.start()
    with Rpc(daemon) as rpc:
        ended = rpc.wait(job)
        left = living(daemon, job)
        log = rpc.log(job)
        (daemon.folder / "gate").touch()
        unharmed = rpc.wait(other)

    assert (ended["outcome"], ended["reason"]) == ("lost", "its worker ended before it did")
    assert codes(ended) == [0, -1, None, None]
    assert left == []
    assert log == "this is 1\nthis is 2\n"
    assert sorted(names(ran)) == ["1", "2", "beside"]
    assert unharmed["outcome"] == "success"


def test_a_kill_that_was_answered_is_carried_out_though_the_supervisor_dies_within_the_grace(make_daemon):
    daemon = make_daemon({"queues": {"no_queue": {"concurrency": 256, "grace": 1}}})
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        job = rpc.submit("step 1", "step 2 nest", "step 3")
        begun(ran, "2")
        until(lambda: len(living(daemon, job)) >= 5, "all processes of the second command")
        killed = rpc.call("kill", job=job)["killed"]
        daemon.kill9()
    daemon.start()
    with Rpc(daemon) as rpc:
        ended = rpc.wait(job)
        left = living(daemon, job)

    assert (killed["state"], killed["stop"]["by"]) == ("running", "root")
    assert (ended["outcome"], ended["reason"], ended["ended_by"]) == ("killed", "killed by root", "KILL")
    assert left == []
    assert names(ran) == ["1", "2"]
