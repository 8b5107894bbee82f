"""Commands that note that they run, and questions about them, for tests that kill what runs them."""

import contextlib
from pathlib import Path

import psutil

from tests.acceptance.daemon_clients import until
from tests.daemon import Daemon

# Notes that it runs, by whom, and who is its worker; with "wait" it then waits until the gate is there.
STEP = """
echo "$1 $$ $PPID" >> "{folder}/ran"
echo "this is $1"
if [ "$2" = nest ]; then
    sleep 1000 & setsid sleep 1001 & setsid sh -c 'trap "" TERM; sleep 1002; sleep 1003' &
fi
if [ -n "$2" ]; then until [ -e "{folder}/gate" ]; do sleep 0.02; done; fi
"""


def step(daemon: Daemon) -> Path:
    """Put `step` on the PATH; give the file in which it notes what runs."""
    daemon.script("step", STEP.format(folder=daemon.folder))
    ran = daemon.folder / "ran"
    ran.touch()
    return ran


def names(ran: Path) -> list[str]:
    return [line.split()[0] for line in ran.read_text().splitlines()]


def begun(ran: Path, name: str) -> int:
    """Wait until a step runs; give the pid of its worker."""
    until(lambda: name in names(ran), f"step {name} runs")
    return next(int(line.split()[2]) for line in ran.read_text().splitlines() if line.split()[0] == name)


def pid_of(ran: Path, name: str) -> int:
    """Give the pid of a step that runs."""
    return next(int(line.split()[1]) for line in ran.read_text().splitlines() if line.split()[0] == name)


def living(daemon: Daemon, job: int) -> list[str]:
    """Name what lives of a job, by the mark in its environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            is_of_job = environment.get("DISPATCHER_JOB", "").split(":")[1:2] == [str(job)]
            # Other daemons on this machine have jobs of that number, too.
            is_ours = environment.get("PATH", "").startswith(f"{daemon.bin}:")
            if is_of_job and is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.name()} {process.pid}")
    return found


def spawner(supervisor: int) -> psutil.Process:
    """Find the spawner of a supervisor."""
    found: list[psutil.Process] = []

    def is_there() -> bool:
        found[:] = [
            one for one in psutil.Process(supervisor).children() if "spawner" in " ".join(one.cmdline())
        ]
        return bool(found)

    until(is_there, "there is a spawner")
    return found[0]
