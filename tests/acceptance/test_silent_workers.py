"""The spawner is killed, a worker is killed before it has connected, a worker lives and does not report."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.launchers import changed
from tests.acceptance.steps import begun, living, names, spawner, step
from tests.daemon import Daemon, running


@pytest.fixture
def impatient(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon to which a worker is silent after half a second, not after 30, and absent after one, not 10."""
    folder = tmp_path_factory.mktemp("d")
    program = changed(
        folder,
        "from dispatcher.runner import pool, settling",
        "settling.SILENCE = 0.5",
        "settling.PROBE = 0.1",
        "pool.CONNECT_LIMIT = 1.0",
        "pool.WARM = 0",  # each job has a worker forked for it
    )
    with running(made := Daemon(folder, accounts_file, None, program)):
        yield made


def test_a_killed_spawner_harms_no_worker_and_the_next_jobs_start(daemon):
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        first = rpc.submit("step before wait")
        begun(ran, "before")
        spawner(daemon.pid).kill()
        more = [rpc.submit(f"step {number} wait") for number in range(5)]  # more than workers wait for
        for number in range(5):
            begun(ran, str(number))
        (daemon.folder / "gate").touch()
        outcomes = [rpc.wait(job)["outcome"] for job in (first, *more)]

    assert outcomes == ["success"] * 6
    assert sorted(names(ran)) == ["0", "1", "2", "3", "4", "before"]


def test_a_worker_that_is_killed_between_fork_and_connect_costs_no_job(impatient):
    ran = step(impatient)
    parent = spawner(impatient.pid)
    with Rpc(impatient) as rpc:
        busy = rpc.submit("step 1 wait")
        begun(ran, "1")
        parent.suspend()
        known = set(parent.children())
        job = rpc.submit("step 2")
        assert rpc.call("show", job=job)["state"] == "running", "a worker is on its way"
        # Nowhere to connect to for the moment: so it is killed before it can.
        socket = impatient.state_dir / "workers.sock"
        aside = socket.rename(socket.with_name("aside"))
        parent.resume()
        until(lambda: set(parent.children()) - known, "a worker is forked")
        (fresh,) = set(parent.children()) - known
        fresh.kill()
        aside.rename(socket)
        ended = rpc.wait(job)
        (impatient.folder / "gate").touch()
        other = rpc.wait(busy)

    assert (ended["outcome"], other["outcome"]) == ("success", "success")
    assert sorted(names(ran)) == ["1", "2"]


@pytest.mark.parametrize("killed_when", ["unreachable", "not yet unreachable"])
def test_a_worker_that_lives_and_does_not_report_is_unreachable_and_a_kill_kills_it(impatient, killed_when):
    ran = step(impatient)
    with Rpc(impatient) as rpc:
        job = rpc.submit("step 1 wait", "step 2")
        worker = psutil.Process(begun(ran, "1"))
        other = rpc.submit("step beside wait")
        begun(ran, "beside")
        worker.suspend()
        impatient.kill9()
    impatient.start()
    with Rpc(impatient) as rpc:
        if killed_when == "unreachable":
            until(lambda: rpc.call("show", job=job)["unreachable"], "the job is shown as unreachable")
            assert rpc.call("show", job=job)["state"] == "running"
            assert not rpc.call("show", job=other)["unreachable"]
        assert worker.is_running()
        rpc.call("kill", job=job)
        ended = rpc.wait(job)
        (impatient.folder / "gate").touch()
        unharmed = rpc.wait(other)

    assert (ended["outcome"], ended["ended_by"]) == ("killed", "KILL")
    assert (living(impatient, job), names(ran)) == ([], ["1", "beside"])
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert unharmed["outcome"] == "success"


def test_a_worker_that_reports_again_is_not_unreachable_any_more(impatient):
    ran = step(impatient)
    with Rpc(impatient) as rpc:
        job = rpc.submit("step 1 wait", "step 2")
        worker = psutil.Process(begun(ran, "1"))
        worker.suspend()
        impatient.kill9()
    impatient.start()
    with Rpc(impatient) as rpc:
        until(lambda: rpc.call("show", job=job)["unreachable"], "the job is shown as unreachable")
        worker.resume()
        until(lambda: not rpc.call("show", job=job)["unreachable"], "it is not any more")
        (impatient.folder / "gate").touch()
        ended = rpc.wait(job)

    assert ended["outcome"] == "success"
    assert names(ran) == ["1", "2"]
