"""Other ways to start the daemon, for tests that start it very often or in a changed world.

`QuickDaemon` is forked from a process that has read the program once: a start then takes a quarter
of the time, and all else is as a user has it. `changed` gives a program in which constants differ.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.daemon import PATIENCE, ROOT, Daemon


def changed(folder: Path, *changes: str) -> tuple[str, ...]:
    """Make a program that is the dispatcher after `changes`: lines of Python such as "import x; x.Y = 1"."""
    program = folder / "changed.py"
    last = "from dispatcher.cli import main", "raise SystemExit(main())"
    program.write_text(
        "\n".join(["import sys", f"sys.path.insert(0, {str(ROOT)!r})", *changes, *last]) + "\n"
    )
    return sys.executable, str(program)


class QuickDaemon(Daemon):
    """A daemon that is forked, not executed. One start after the other, by one thread."""

    def __init__(self, folder: Path, accounts: Path | None = None, settings: dict[str, object] | None = None):
        super().__init__(folder, accounts, settings)
        self._stderr = (folder / "stderr").open("wb")
        self._nest = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.launchers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._pid: int | None = None
        assert self._heard() == "here"

    def start(self) -> None:
        assert self._pid is None, "the daemon runs already"
        assert self._nest.stdin is not None
        print(self.config, file=self._nest.stdin, flush=True)
        self._pid = int(self._heard())
        said = self._heard()
        if said != "ready":
            self._pid = None
            raise AssertionError(f"the daemon did not start ({said}); it said:\n{self.stderr}")

    def _end(self, number: signal.Signals) -> int:
        assert self._pid is not None, "the daemon does not run"
        os.kill(self._pid, number)
        self._pid = None
        word, status = self._heard().split()
        assert word == "ended"
        return os.waitstatus_to_exitcode(int(status))

    def end(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(super().end)
            stack.callback(self._stderr.close)
            stack.callback(self._nest.wait, PATIENCE)
            for pipe in (self._nest.stdin, self._nest.stdout):
                if pipe is not None:
                    stack.callback(pipe.close)
            if self._pid is not None:
                stack.callback(self.kill9)

    def _heard(self) -> str:
        assert self._nest.stdout is not None
        return self._nest.stdout.readline().strip()

    @property
    def pid(self) -> int:
        assert self._pid is not None, "the daemon does not run"
        return self._pid

    @property
    def is_running(self) -> bool:
        return self._pid is not None

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


def _serve(config: str, ready: int) -> None:
    """Be the daemon, in a fork."""
    from dispatcher.cli import main  # noqa: PLC0415

    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    # The daemon says "ready" on stderr, among other things; here that is told apart from its end.
    write = sys.stderr.write

    def told(text: str) -> int:
        if "ready\n" in text.splitlines(keepends=True):
            os.write(ready, b"ready\n")
        return write(text)

    sys.stderr.write = told  # type: ignore[method-assign]
    os._exit(main(["serve", "--config", config]))


def _nest() -> None:
    """Fork a daemon for each settings file named on stdin, and say how each has ended."""
    import dispatcher.supervisor  # noqa: F401, PLC0415 - read here, once

    ready = os.dup(1)
    print("here", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _serve(line.strip(), ready)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print("ended", status, flush=True)


if __name__ == "__main__":
    _nest()
