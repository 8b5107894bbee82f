"""The machine is about to go down: running jobs are stopped in order and saved, pending ones stay."""

import json
from collections.abc import Callable

import pytest

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.steps import begun, living, names, step
from tests.daemon import Daemon

SETTINGS = {"queues": {"pkg_queue": {"grace": "100 s"}}}
HINT = "none starts until the daemon is started again, or: dispatcher startjobs"


@pytest.fixture
def night(make_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon whose pkg notes that it was asked to end, and then takes its time."""
    daemon = make_daemon(SETTINGS)
    daemon.script("pkg", f'echo "$1" >> {daemon.folder}/ran; trap "echo TERM >> {daemon.folder}/told" TERM; '
                  f'while [ ! -e {daemon.folder}/gate ]; do sleep 0.02; done; [ ! -e {daemon.folder}/told ]')  # fmt: skip
    (daemon.folder / "ran").touch()
    return daemon


def test_a_shutdown_stops_the_running_job_and_the_pending_ones_run_after_the_next_start(night):
    ran, told = night.folder / "ran", night.folder / "told"
    with Rpc(night) as rpc:
        running = rpc.submit("pkg 1", "pkg never", id="night")
        waiting = [rpc.submit(f"pkg {n}") for n in (2, 3)]
        until(lambda: names(ran) == ["1"], "the first one runs")

    done = night.cli("stopjobs", "--reason", "machine shutdown", "--wait", "1")
    after = json.loads(night.cli("queues", "--json", check=True).stdout)
    late = night.cli("run", "-q", "pkg_queue", "--id", "late", "--", "pkg", "4", check=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"job {running} (night) in pkg_queue: killed\n2 pending jobs; {HINT}\n"
    assert told.read_text() == "TERM\n"
    assert living(night, running) == []
    assert {queue["name"]: (queue["held"], queue["running"], queue["pending"]) for queue in after}[
        "pkg_queue"
    ] == (True, 0, 2)
    assert "is pending" in late.stdout
    assert "held" in night.cli("queues", check=True).stdout

    told.unlink()
    (night.folder / "gate").touch()
    night.restart()
    with Rpc(night) as rpc:
        record = rpc.call("show", job=running)
        ends = [*(rpc.wait(job)["outcome"] for job in waiting), rpc.wait("late")["outcome"]]

    assert (record["outcome"], record["reason"], record["ended_by"]) == ("killed", "machine shutdown", "KILL")
    assert record["commands"][1]["started"] is None
    assert ends == ["success"] * 3
    assert names(ran) == ["1", "2", "3", "4"]
    noted = night.cli("--config", str(night.config), "audit", check=True).stdout
    assert f"stop_jobs  machine shutdown  job {running}\n" in noted
    assert "jobs from before: 0 to take over, 3 pending" in night.stderr.splitlines()


def test_jobs_start_again_without_a_restart_when_somebody_says_so(daemon):
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        slow = rpc.submit("step 1 wait", queue="pkg_queue")
        waiting = rpc.submit("step 2", queue="pkg_queue")
        begun(ran, "1")

        stopped = rpc.call("stop_jobs")
        again = rpc.call("start_jobs")
        ends = [rpc.wait(job) for job in (slow, waiting)]

    assert [(job["number"], job["outcome"]) for job in stopped["ended"]] == [(slow, "killed")]
    assert (stopped["running"], again) == ([], {"held": False})
    assert [(job["outcome"], job["reason"], job["ended_by"]) for job in ends] == [
        ("killed", "killed by root", "TERM"),
        ("success", "", None),
    ]
    noted = [json.loads(line) for line in (daemon.log_dir / "audit.log").read_text().splitlines()]
    assert [(one["what"], one.get("jobs")) for one in noted[-2:]] == [
        ("stop_jobs", [{"number": slow, "key": ends[0]["key"]}]),
        ("start_jobs", None),
    ]


def test_nothing_to_stop_is_said_and_who_may_only_read_may_not_ask(daemon):
    idle = daemon.cli("stopjobs", check=True)

    assert idle.stdout == f"no job is running\nno pending jobs; {HINT}\n"
    assert daemon.cli("startjobs", check=True).stdout == "pending jobs start again\n"
    assert daemon.cli("stopjobs", "--wait", "soon").returncode == 2
