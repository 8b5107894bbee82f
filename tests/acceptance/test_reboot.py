"""The machine went down under the daemon: what ran is lost, what waited runs, nothing runs twice.

Another boot is a daemon that is told of another one, after everything has been killed at once.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.launchers import changed
from tests.acceptance.steps import begun, living, names, pid_of, spawner, step
from tests.daemon import Daemon, running


class Machine:
    """A daemon, and the power switch of the machine that it believes to run on."""

    def __init__(self, daemon: Daemon, boot: Path) -> None:
        self.daemon = daemon
        self._boot = boot

    def power_cut(self) -> None:
        """End everything at once; the next start is in another boot."""
        if self.daemon.is_running:
            os.kill(self.daemon.pid, signal.SIGSTOP)  # so that it sees nobody die
        for end in (psutil.Process.suspend, psutil.Process.kill):
            for process in self.daemon.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(process)
        if self.daemon.is_running:
            self.daemon.kill9()
        self._boot.write_text(f"after {self._boot.read_text()}")


@pytest.fixture
def machine(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("d")
    boot = folder / "boot"
    boot.write_text("the first boot")
    program = changed(
        folder,
        "from dispatcher.runner import boot, pool",
        f"boot.boot_id = open({str(boot)!r}).read",
        "pool.WARM = 0",  # each job has a worker forked for it
    )
    with running(made := Daemon(folder, accounts_file, None, program)):
        yield Machine(made, boot)


def test_after_a_power_cut_what_ran_is_lost_what_waited_runs_and_what_had_ended_has_ended(machine):
    daemon = machine.daemon
    ran = step(daemon)
    daemon.script("pkg", 'exec step "$@"')
    with Rpc(daemon) as rpc:
        running_one = rpc.submit("pkg 1 wait", "pkg never")
        waiting = rpc.submit("pkg 2")
        ending = rpc.submit("step 3 wait")
        for name in "13":
            begun(ran, name)
        spawner(daemon.pid).suspend()  # there will be no other worker
        handed_over = rpc.submit("step 4")
        assert rpc.call("show", job=handed_over)["state"] == "running"
        daemon.kill9()
    os.kill(pid_of(ran, "3"), signal.SIGTERM)
    spool = daemon.state_dir / "spool"
    until(lambda: [path for path in spool.iterdir() if '"done"' in path.read_text()], "an end is noted")

    machine.power_cut()
    (daemon.folder / "gate").touch()
    daemon.start()
    with Rpc(daemon) as rpc:
        ended = {
            name: rpc.wait(job)
            for name, job in (("1", running_one), ("2", waiting), ("3", ending), ("4", handed_over))
        }

    assert {name: (job["outcome"], job["reason"]) for name, job in ended.items()} == {
        "1": ("lost", "the machine went down under it"),
        "2": ("success", ""),
        "3": ("failed", "command 1 was ended by SIGTERM"),
        "4": ("lost", "the machine went down while it was handed over"),
    }
    assert sorted(names(ran)) == ["1", "2", "3"]
    assert [living(daemon, job) for job in (running_one, ending, handed_over)] == [[], [], []]


def test_what_was_handed_over_in_this_boot_and_never_taken_runs(machine):
    daemon = machine.daemon
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        busy = rpc.submit("step 1 wait")
        begun(ran, "1")
        deaf = spawner(daemon.pid)
        deaf.suspend()
        job = rpc.submit("step 2")
        assert rpc.call("show", job=job)["state"] == "running"
        daemon.kill9()
    deaf.kill()
    (daemon.folder / "gate").touch()
    daemon.start()
    with Rpc(daemon) as rpc:
        ended = [rpc.wait(number)["outcome"] for number in (busy, job)]

    assert ended == ["success"] * 2
    assert sorted(names(ran)) == ["1", "2"]


def test_a_queue_that_is_to_pause_after_a_loss_waits_for_its_resume_and_one_line_names_the_lost(machine):
    daemon = machine.daemon
    daemon.configure({"queues": {"careful": {"concurrency": 2, "after_lost": "pause"}}})
    daemon.cli("reload", check=True)
    ran = step(daemon)
    with Rpc(daemon) as rpc:
        lost = rpc.submit("step 1 wait", "step never", queue="careful", id="upgrade")
        done = rpc.submit("step 2 wait", queue="careful")
        waiting = rpc.submit("step 3", queue="careful")
        other = rpc.submit("step 4 wait", id="other")
        for name in "124":
            begun(ran, name)
        daemon.kill9()
    os.kill(pid_of(ran, "2"), signal.SIGTERM)
    spool = daemon.state_dir / "spool"
    until(lambda: [path for path in spool.iterdir() if '"done"' in path.read_text()], "an end is noted")

    machine.power_cut()
    (daemon.folder / "gate").touch()
    daemon.start()
    with Rpc(daemon) as rpc:
        outcomes = [rpc.wait(job)["outcome"] for job in (lost, done, other)]
        until(lambda: "jobs that ran before" in daemon.stderr, "all are settled")
        queue = rpc.queue("careful")
        listed = daemon.cli("queues", check=True).stdout
        ran_so_far = sorted(names(ran))
        rpc.call("resume", queue="careful")
        resumed = rpc.wait(waiting)["outcome"]

    assert outcomes == ["lost", "failed", "lost"]
    assert (queue["after_lost"], queue["paused"], queue["pending"]) == ("pause", True, 1)
    assert next(line for line in listed.splitlines() if line.startswith("careful")).split()[1] == "paused"
    assert (ran_so_far, resumed) == (["1", "2", "4"], "success")
    assert sorted(names(ran)) == ["1", "2", "3", "4"]
    said = daemon.stderr.splitlines()
    assert "jobs from before: 3 to take over, 1 pending" in said
    assert (
        f"warning: queue careful is paused, because job {lost} was lost; go on with: dispatcher resume careful"
        in said
    )
    (line,) = [one for one in said if "jobs that ran before" in one]
    head, _, named = line.partition(" lost: ")
    assert head == "warning: jobs that ran before: 0 taken over, 1 ended meanwhile, 2"
    assert sorted(named.split(", ")) == [
        f"job {lost} (upgrade) in careful",
        f"job {other} (other) in no_queue",
    ]
