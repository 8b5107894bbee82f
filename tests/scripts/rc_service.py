"""rc.d/dispatcher in a folder of its own, run by a shell of choice against small stand-ins for rc.subr(8) and daemon(8)."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.daemon import ROOT, Daemon

DATA = ROOT / "tests" / "data" / "rc"
SHELLS = [shell for shell in ("sh", "dash", "busybox") if shutil.which(shell)]


class Service:
    """The script in a folder of its own, with its rc.conf and a pipe that tells each start.

    `command` is the dispatcher: without it a stand-in, whose starts are told.
    """

    def __init__(
        self, folder: Path, shell: str, command: Path = DATA / "dispatcher", config: Path | None = None
    ) -> None:
        self._command = command
        self.shell = [shell, "sh"] if shell == "busybox" else [shell]
        self.conf = folder / "rc.conf"
        self.config = config or folder / "queues.yaml"
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
            "dispatcher_command": str(self._command),
            "dispatcher_user": user,
        }
        self.conf.write_text("".join(f'{name}="{value}"\n' for name, value in (common | values).items()))

    def __call__(self, *verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.shell, str(self.script), *verb],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
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


class RealService(Service):
    """The script with the real dispatcher, and that one's folder."""

    def __init__(self, folder: Path, daemon: Daemon) -> None:
        program = folder / "dispatcher-program"
        program.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m dispatcher "$@"\n')
        program.chmod(0o755)
        super().__init__(folder, "sh", program, daemon.config)
        self.program = program
        self.daemon = daemon

    @property
    def supervisor(self) -> psutil.Process:
        """The dispatcher below daemon(8)."""
        (child,) = psutil.Process(int(self.pidfile.read_text())).children()
        return child

    def said(self, *verb: str, status: int = 0) -> str:
        """Call a verb, which must end so; give what it said, errors first."""
        done = self(*verb)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr + done.stdout
