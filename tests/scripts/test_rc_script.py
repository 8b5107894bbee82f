"""The FreeBSD service script, run by each shell at hand against small stand-ins for rc.subr(8) and daemon(8)."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "rc"
SHELLS = [shell for shell in ("sh", "dash", "busybox") if shutil.which(shell)]


class Service:
    """The script in a folder of its own, with its rc.conf and a pipe that tells each start."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.shell = [shell, "sh"] if shell == "busybox" else [shell]
        self.conf = folder / "rc.conf"
        self.config = folder / "queues.yaml"
        self.pidfile = folder / "run" / "daemon.pid"
        self.script = folder / "dispatcher"
        text = (ROOT / "rc.d" / "dispatcher").read_text()
        for there, here in (
            ("/etc/rc.subr", DATA / "rc.subr"),
            ("/usr/sbin/daemon", DATA / "daemon"),
            ("/var/run/dispatcher", folder / "run"),
        ):
            assert there in text
            text = text.replace(there, str(here))
        self.script.write_text(text)
        self.set(dispatcher_enable="YES")
        os.mkfifo(folder / "starts")
        self.starts = os.open(folder / "starts", os.O_RDWR)
        self._environment = {
            "PATH": os.environ["PATH"],
            "RC_CONF": str(self.conf),
            "STARTS": str(folder / "starts"),
        }

    def set(self, **values: str) -> None:
        user = psutil.Process().username()
        common = {
            "dispatcher_config": str(self.config),
            "dispatcher_command": str(DATA / "dispatcher"),
            "dispatcher_user": user,
        }
        self.conf.write_text("".join(f'{name}="{value}"\n' for name, value in (common | values).items()))

    def __call__(self, verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.shell, str(self.script), verb],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )

    def started(self) -> tuple[int, int, str]:
        """Wait for the dispatcher's start: its pid, its worker's pid, its arguments."""
        ready, _, _ = select.select([self.starts], [], [], 20)
        assert ready, "the dispatcher was not started"
        pid, worker, arguments = os.read(self.starts, 4096).decode().rstrip().split(" ", maxsplit=2)
        return int(pid), int(worker), arguments

    def nothing_started(self) -> bool:
        return select.select([self.starts], [], [], 0)[0] == []

    def end(self) -> None:
        """End all that the script started: daemon first, or it would start another dispatcher."""
        os.close(self.starts)
        if self.pidfile.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self.pidfile.read_text()), signal.SIGKILL)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("STARTS") == self._environment["STARTS"]:
                    process.kill()


@pytest.fixture(params=SHELLS)
def service(request, tmp_path) -> Iterator[Service]:
    made = Service(tmp_path, request.param)
    yield made
    made.end()


def test_start_runs_serve_under_daemon_and_status_names_its_pid(service):
    before = service("status")
    answer = service("start")
    _, _, arguments = service.started()
    status = service("status")

    assert (before.returncode, before.stdout) == (1, "dispatcher is not running.\n")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "Starting dispatcher.\n", "")
    assert arguments == "serve"
    assert (status.returncode, status.stdout) == (
        0,
        f"dispatcher is running as pid {int(service.pidfile.read_text())}.\n",
    )


def test_the_settings_file_and_the_flags_reach_the_dispatcher(service):
    service.config.write_text("queues: {}\n")
    service.set(dispatcher_enable="YES", dispatcher_flags="--log-dir /var/log/d")

    service("start")
    _, _, arguments = service.started()

    assert arguments == f"serve --config {service.config} --log-dir /var/log/d"


def test_stop_ends_the_dispatcher_for_good_and_leaves_its_workers(service):
    service("start")
    pid, worker, _ = service.started()

    answer = service("stop")

    assert (answer.returncode, answer.stdout) == (0, "Stopping dispatcher.\n")
    assert not psutil.pid_exists(pid)
    assert psutil.pid_exists(worker)
    assert not service.pidfile.exists()
    assert service.nothing_started()


def test_a_dispatcher_that_dies_is_started_again(service):
    service("start")
    pid, _, _ = service.started()

    os.kill(pid, signal.SIGKILL)
    second, _, _ = service.started()

    assert second != pid


def test_restart_ends_one_and_starts_another(service):
    service("start")
    pid, worker, _ = service.started()

    answer = service("restart")
    second, _, _ = service.started()

    assert answer.returncode == 0
    assert not psutil.pid_exists(pid)
    assert psutil.pid_exists(worker)
    assert psutil.pid_exists(second)


def test_broken_settings_are_told_and_neither_start_nor_stop_anything(service):
    service.config.write_text("queues: {}\n")
    service("start")
    pid, _, _ = service.started()
    service.config.write_text("broken\n")

    restart = service("restart")
    still_there = psutil.pid_exists(pid)
    service("stop")
    start = service("start")

    assert (restart.returncode, restart.stderr) == (1, "1:broken\n")
    assert still_there
    assert start.returncode == 1
    assert "1:broken\n" in start.stderr
    assert service.nothing_started()


def test_a_service_that_is_not_enabled_starts_only_by_onestart(service):
    service.set(dispatcher_enable="NO")

    answer = service("start")
    nothing = service.nothing_started()
    service("onestart")
    service.started()

    assert "Set dispatcher_enable to YES" in answer.stdout
    assert nothing
