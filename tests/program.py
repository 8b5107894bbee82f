"""A program of ours that a test starts as a user does, listens to, and ends.

Everything here blocks; under trio call it in a thread if other tasks must go on meanwhile.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, "-m", "dispatcher")
PATIENCE = 20.0  # seconds for a start, a stop or a CLI call on a loaded machine


class Program:
    """One program that says on stderr when it is ready. `name` is what failures call it."""

    name = "program"

    def __init__(self, program: Sequence[str]) -> None:
        self._program = tuple(program)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._has_spoken = threading.Event()
        self._said: list[str] = []

    def arguments(self) -> Sequence[str]:
        """The words behind the program's name."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether what it has said so far tells that it is ready."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and return when it is ready; an end before that is an AssertionError."""
        assert self._process is None, f"the {self.name} runs already"
        self._has_spoken = threading.Event()
        self._said.clear()
        process = subprocess.Popen(
            [*self._program, *self.arguments()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._process = process
        self._reader = threading.Thread(target=self._read, args=(process, self._has_spoken), daemon=True)
        self._reader.start()
        was_told = self._has_spoken.wait(PATIENCE)
        if not was_told or not self.is_ready():
            self.kill9()
            raise AssertionError(f"the {self.name} did not start; it said:\n{self.stderr}")

    def stop(self) -> int:
        """Ask it to end (TERM) and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """End this process, and nothing else, without a chance to tidy up."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, then start on the same state."""
        self.stop()
        self.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, f"the {self.name} does not run"
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What it has said since its last start."""
        return "".join(self._said)

    def _read(self, process: subprocess.Popen[str], heard: threading.Event) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._said.append(line)
                if self.is_ready():
                    heard.set()
        heard.set()  # it ended without a word, perhaps: start() looks which

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, f"the {self.name} does not run"
        process = self._process
        process.send_signal(number)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"the {self.name} did not end at {number.name}; it said:\n{self.stderr}"
            ) from None
        finally:
            self._process = None
        return status
