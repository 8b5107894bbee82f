"""A real daemon for a test: started as a user starts it, in a folder of its own, and wholly ended after.

Everything here blocks; under trio call it in a thread if other tasks must go on meanwhile.
The daemon tells where it listens in `state_dir/listening.json`, written before it prints `ready`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, "-m", "dispatcher")
PATIENCE = 20.0  # seconds for a start, a stop or a CLI call on a loaded machine


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


class Daemon:
    """One daemon with its own state, log, accounts and `bin` folder (first on its commands' PATH).

    `settings` are top-level keys of queues.yaml that replace those written here.
    """

    account = FULL
    reader = READ

    def __init__(
        self,
        folder: Path,
        accounts: Path | None = None,
        settings: Mapping[str, object] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.log_dir = folder / "log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.config = folder / "queues.yaml"
        self.socket = self.state_dir / "dispatcher.sock"
        self._program = tuple(program)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self._said: list[str] = []
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

    def start(self) -> None:
        """Start the daemon and return when it listens; an end before that is an AssertionError."""
        assert self._process is None, "the daemon runs already"
        self._ready = threading.Event()
        self._said.clear()
        process = subprocess.Popen(
            [*self._program, "serve", "--config", str(self.config)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._process = process
        self._reader = threading.Thread(target=self._read, args=(process, self._ready), daemon=True)
        self._reader.start()
        was_told = self._ready.wait(PATIENCE)
        if not was_told or "ready\n" not in self._said:
            self.kill9()
            raise AssertionError(f"the daemon did not start; it said:\n{self.stderr}")

    def _read(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._said.append(line)
                if line == "ready\n":
                    ready.set()
        ready.set()  # it ended without a word, perhaps: start() looks which

    def stop(self) -> int:
        """Ask the daemon to end (TERM) and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """End the supervisor, and nothing else, without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, then start on the same state; the ports may change."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the daemon does not run"
        process = self._process
        process.send_signal(number)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"the daemon did not end at {number.name}; it said:\n{self.stderr}"
            ) from None
        finally:
            self._process = None
        return status

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
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None, "the daemon does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def stderr(self) -> str:
        """What the daemon has said since its last start."""
        return "".join(self._said)

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
