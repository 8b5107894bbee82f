"""A job restarts the supervisor that runs it, as `pkg upgrade` does with its own dispatcher."""

import contextlib
import sys
from pathlib import Path

import psutil
import pytest

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.steps import begun, living, names, pid_of, spawner, step
from tests.daemon import ROOT, Daemon

# Ends the supervisor, waits until it is gone, and starts another as daemon(8) does: with a parent that ends.
RESTART = """
old=$(cat "{folder}/state/lock")
kill -$1 "$old"
while kill -0 "$old" 2>/dev/null; do sleep 0.02; done
cd "{root}"
( setsid "{python}" -m dispatcher serve --config "{folder}/queues.yaml" </dev/null >/dev/null 2>&1 & )
exec step restarted $2
"""


def restarting(daemon: Daemon) -> Path:
    """Put `restart SIGNAL` on the PATH; give the file of the steps."""
    daemon.script("restart", RESTART.format(folder=daemon.folder, root=ROOT, python=sys.executable))
    return step(daemon)


def new_supervisor(daemon: Daemon) -> int:
    """Wait until the old supervisor has ended and the new one serves clients; give its pid."""
    daemon.wait()

    def serves() -> bool:
        with contextlib.suppress(OSError), Rpc(daemon):
            return True
        return False

    until(serves, "the new supervisor serves clients")
    return int((daemon.state_dir / "lock").read_text())


def environment(pid: int) -> dict[str, str]:
    """Read what a process was executed with."""
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def test_a_job_that_restarts_its_supervisor_runs_on_to_its_end(daemon):
    ran = restarting(daemon)
    with Rpc(daemon) as rpc:
        job = rpc.submit("step 1", "restart TERM wait", "step 2")
    supervisor = new_supervisor(daemon)
    begun(ran, "restarted")
    with Rpc(daemon) as rpc:
        seen = rpc.call("show", job=job)
        (daemon.folder / "gate").touch()
        ended = rpc.wait(job)
        next_one = rpc.run("step 3")

    assert (seen["state"], seen["unreachable"]) == ("running", False)
    assert (ended["outcome"], [command["code"] for command in ended["commands"]]) == ("success", [0, 0, 0])
    assert next_one["outcome"] == "success"
    assert names(ran) == ["1", "restarted", "2", "3"]
    # What is left behind is the supervisor, and it goes on.
    assert psutil.pid_exists(supervisor)


def test_a_supervisor_started_by_a_job_and_all_it_starts_carry_nothing_of_the_job(daemon):
    ran = restarting(daemon)
    with Rpc(daemon) as rpc:
        job = rpc.submit("restart KILL wait")
    supervisor = new_supervisor(daemon)
    worker = begun(ran, "restarted")
    with Rpc(daemon) as rpc:
        rpc.submit("step beside wait")
        other = begun(ran, "beside")

    assert worker in [one.pid for one in psutil.Process(supervisor).parents()], "it is below the job's worker"
    assert environment(pid_of(ran, "restarted"))["DISPATCHER_JOB"].split(":")[1:] == [str(job), "0"]
    for pid in (supervisor, spawner(supervisor).pid, other):
        assert "DISPATCHER_JOB" not in environment(pid)


@pytest.mark.parametrize("how", ["TERM", "KILL"])
@pytest.mark.parametrize("killed_in", ["the restarting command", "the next command"])
def test_a_job_that_restarted_the_supervisor_is_killed_and_nothing_else_is(make_daemon, how, killed_in):
    daemon = make_daemon({"queues": {"no_queue": {"concurrency": 256, "grace": 1}}})
    ran = restarting(daemon)
    with Rpc(daemon) as rpc:
        older = rpc.submit("step older wait")
        begun(ran, "older")
        waits = "wait" if killed_in == "the restarting command" else ""
        job = rpc.submit(f"restart {how} {waits}", "step next nest")
    supervisor = new_supervisor(daemon)
    begun(ran, "restarted")
    unharmed = [supervisor, spawner(supervisor).pid]
    with Rpc(daemon) as rpc:
        younger = rpc.submit("step younger wait")
        unharmed += [begun(ran, "older"), begun(ran, "younger")]  # their workers
        unharmed += [pid_of(ran, "older"), pid_of(ran, "younger")]
        if not waits:
            begun(ran, "next")
        rpc.call("kill", job=job)
        ended = rpc.wait(job)
        left = living(daemon, job)
        alive = [pid for pid in unharmed if psutil.pid_exists(pid)]
        (daemon.folder / "gate").touch()
        others = [rpc.wait(number)["outcome"] for number in (older, younger)]

    assert (ended["outcome"], ended["reason"]) == ("killed", "killed by root")
    assert left == []
    assert alive == unharmed
    assert others == ["success", "success"]
    assert names(ran).count("next") == (not waits)
