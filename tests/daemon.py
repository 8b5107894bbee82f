"""A real daemon for a test: started as a user starts it, in a folder of its own, and wholly ended after.

Everything here blocks; under trio call it in a thread if other tasks must go on meanwhile.
The daemon tells where it listens in `state_dir/listening.json`, written before it prints `ready`.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from tests.program import PATIENCE, PROGRAM, ROOT, Program

__all__ = ["FULL", "PATIENCE", "PROGRAM", "READ", "ROOT", "Account", "Daemon", "running", "write_accounts"]


class Account(NamedTuple):
    name: str
    password: str


FULL = Account("admin", "correct horse")
READ = Account("reader", "battery staple")


def write_accounts(folder: Path) -> Path:
    """Make an accounts file with one account of each level, by the verb that a user would use."""
    accounts = folder / "accounts"
    config = folder / "accounts.yaml"
    config.write_text(yaml.safe_dump({"state_dir": str(folder), "accounts": str(accounts)}))
    for account, level in ((FULL, "full"), (READ, "read")):
        subprocess.run(
            [*PROGRAM, "passwd", account.name, "--level", level, "--stdin", "--config", str(config)],
            input=account.password + "\n",
            text=True,
            check=True,
            cwd=ROOT,
            timeout=PATIENCE,
        )
    return accounts


class Daemon(Program):
    """One daemon with its own state, log, accounts and `bin` folder (first on its commands' PATH).

    `settings` are top-level keys of queues.yaml that replace those written here.
    """

    name = "daemon"
    account = FULL
    reader = READ

    def __init__(
        self,
        folder: Path,
        accounts: Path | None = None,
        settings: Mapping[str, object] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        super().__init__(program)
        self.folder = folder
        self.state_dir = folder / "state"
        self.log_dir = folder / "log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.config = folder / "queues.yaml"
        self.socket = self.state_dir / "dispatcher.sock"
        if accounts is not None:
            (folder / "accounts").write_bytes(accounts.read_bytes())
            (folder / "accounts").chmod(0o600)
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, object]) -> None:
        """Write queues.yaml anew; it counts from the next start or reload."""
        # The folder in PATH also marks every command as ours, for end().
        path = f"{self.bin}:/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
        written: dict[str, object] = {
            "state_dir": str(self.state_dir),
            "log_dir": str(self.log_dir),
            "accounts": str(self.folder / "accounts"),
            "listen": [
                {"unix": str(self.socket)},
                {"address": "127.0.0.1", "port": 0, "tls": True},
                {"address": "127.0.0.1", "port": 0, "tls": False},
            ],
            "environment": {"PATH": path},
            # The users of the machine that the tests run on are none of theirs.
            "auth": {"methods": ["accounts"]},
        }
        self.config.write_text(yaml.safe_dump(written | dict(settings), sort_keys=False))

    # The life of the daemon

    def arguments(self) -> Sequence[str]:
        """Be the daemon of these settings."""
        return ("serve", "--config", str(self.config))

    def is_ready(self) -> bool:
        """Whether it has said so."""
        return "ready\n" in self._said

    def wait(self) -> int:
        """Wait for the daemon to end by itself; return its exit status."""
        assert self._process is not None, "the daemon does not run"
        status = self._process.wait(PATIENCE)
        self._process = None
        return status

    def end(self) -> None:
        """End the daemon and every worker and command of its folder, whatever the test left."""
        if self._process is not None:
            self.kill9()
        for _ in range(20):  # a command may fork while it is being ended
            found = self.processes()
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(found, timeout=PATIENCE)
            if not found:
                break
        if self._reader is not None:
            self._reader.join(PATIENCE)
            assert not self._reader.is_alive(), "somebody holds the daemon's stderr open"

    # What a test may ask

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def tls_port(self) -> int:
        """The port of the first TLS listener."""
        return self._port(tls=True)

    @property
    def plain_port(self) -> int:
        """The port of the first listener without TLS."""
        return self._port(tls=False)

    def listening(self) -> list[dict[str, object]]:
        """What the daemon is bound to: {"address", "port", "tls"} or {"unix"} each."""
        found: list[dict[str, object]] = json.loads((self.state_dir / "listening.json").read_text())
        return found

    def _port(self, *, tls: bool) -> int:
        for one in self.listening():
            port = one.get("port")
            if one.get("tls") is tls and isinstance(port, int):
                return port
        raise AssertionError(f"no listener with tls={tls} in {self.listening()}")

    def cli(self, *arguments: str, text: str = "", check: bool = False) -> subprocess.CompletedProcess[str]:
        """Call a verb of the command line against this daemon, as a user would; `text` is its stdin."""
        return subprocess.run(
            [*self._program, "--socket", str(self.socket), *arguments],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
        )

    def script(self, name: str, text: str) -> Path:
        """Put a stand-in program (`#!/bin/sh`) on the PATH of the commands."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def processes(self) -> list[psutil.Process]:
        """Every process of this folder except the supervisor: spawner, workers, commands and theirs."""
        spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        if self._process is not None:
            spared.add(self._process.pid)
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            if process.pid not in spared and self._is_ours(process):
                found[process.pid] = process
                with contextlib.suppress(psutil.Error):
                    found.update((child.pid, child) for child in process.children(recursive=True))
        return list(found.values())

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if any(f"{self.folder}/" in argument for argument in process.cmdline()):
                return True
            return str(self.bin) in process.environ().get("PATH", "").split(":")
        except psutil.Error:  # it vanished, or is not ours to read
            return False


@contextlib.contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    """Start a daemon; end it with everything it started."""
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.end()
