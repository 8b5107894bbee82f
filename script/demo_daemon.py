"""The daemon of the demonstration as a child process, and its command line as a person would call it."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
DISPATCHER = (sys.executable, "-m", "dispatcher")
PATIENCE = 30.0
OUTCOMES = ("success", "failed", "killed", "timed_out", "lost", "skipped")


class Wrong(Exception):
    """Something is not as it should be; the sentence says what."""


def piped(stream: IO[str] | None) -> IO[str]:
    """Give the stream of a child that was started with a pipe there."""
    if stream is None:
        raise Wrong("the child has no pipe")
    return stream


class Daemon:
    """The daemon as a child of ours, in a session of its own so that Ctrl-C reaches only us."""

    def __init__(self, config: Path, state_dir: Path) -> None:
        self.socket = state_dir / "dispatcher.sock"
        self._is_ready = threading.Event()
        self._said_ready = False
        self._process = subprocess.Popen(
            [*DISPATCHER, "serve", "--config", str(config), "--state-dir", str(state_dir)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        with piped(self._process.stderr) as lines:
            for line in lines:
                # Read on even if nobody reads us any more: a full pipe would stop the daemon.
                with contextlib.suppress(BrokenPipeError):
                    print(f"  daemon: {line}", end="", flush=True)
                if line == "ready\n":
                    self._said_ready = True
                    self._is_ready.set()
        self._is_ready.set()

    def wait_until_ready(self) -> None:
        if not self._is_ready.wait(PATIENCE):
            raise Wrong(f"the daemon said nothing for {PATIENCE:.0f} s")
        if not self._said_ready:
            self._process.wait()
            raise Wrong("the daemon did not start: it says why above; `sh script/run --once` uses free ports")

    def wait(self) -> None:
        self._process.wait()
        self._listener.join()
        raise Wrong("the daemon ended by itself: it says why above")

    def stop(self) -> None:
        """End the daemon if it runs; Wrong if it does so late or badly."""
        is_over = self._process.poll() is not None
        self._process.terminate()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise Wrong(f"the daemon did not stop within {PATIENCE:.0f} s") from None
        self._listener.join(PATIENCE)
        if status and not is_over:
            raise Wrong(f"the daemon exited with {status}")

    def call(self, *arguments: str, text: str | None = None) -> str:
        """Call a verb; its output."""
        done = subprocess.run(
            [*DISPATCHER, "--socket", str(self.socket), *arguments],
            cwd=ROOT,
            input=text,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise Wrong(f"`dispatcher {' '.join(arguments)}` exited with {done.returncode}")
        return done.stdout

    def json(self, verb: str, *arguments: str, text: str | None = None) -> Any:
        """Call a verb; what its JSON says."""
        return json.loads(self.call(verb, "--json", *arguments, text=text))


class Events:
    """`dispatcher events`, shown as they come; knows which jobs have finished."""

    def __init__(self, daemon: Daemon, since: int) -> None:
        self._ended: set[int] = set()
        self._heard = threading.Condition()
        self._process = subprocess.Popen(
            [*DISPATCHER, "--socket", str(daemon.socket), "events", "--since", str(since)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with piped(self._process.stdout) as lines:
            for line in lines:
                print(f"  {line}", end="", flush=True)
                with self._heard:
                    if _is_end(line):
                        self._ended.add(int(line.split("  ")[2].split()[1]))
                    self._heard.notify()

    def wait_for(self, jobs: Collection[int]) -> None:
        """Wait until each of these jobs has been told finished."""
        with self._heard:
            were_told = self._heard.wait_for(lambda: self._ended.issuperset(jobs), PATIENCE)
        if not were_told:
            late = min(set(jobs) - self._ended)
            raise Wrong(f"no event told of the end of job {late} within {PATIENCE:.0f} s")

    def end(self) -> None:
        """Watch no more."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()


def _is_end(line: str) -> bool:
    return line.rstrip().split("  ")[4] in OUTCOMES
