"""The spawner: forks workers when the supervisor asks, and holds nothing.

It is executed by the supervisor, never forked from it, and reads lines `fork NUMBER` from stdin until
their end. A forked worker shares the memory of what was imported here: 1.4 MB of its own instead
of 5.5, and 1 ms instead of 30. Standard library only. Run: python -m dispatcher.runner.spawner STATE_DIR
"""

import gc
import os
import sys
import traceback

from dispatcher.runner import worker
from dispatcher.runner.inheritance import (
    close_standard,
    handle_signals,
    leave_session,
    reset_signals,
    shed_mark,
)
from dispatcher.runner.loop import READ, Loop
from dispatcher.runner.trouble import note

LONGEST_LINE = 4096


class Spawner:
    """Reads requests from `requests`, a descriptor, and forks until its end."""

    def __init__(self, state_dir: str, requests: int) -> None:
        self._state_dir = state_dir
        self._requests = requests
        self._rest = b""
        self._is_asked = True
        self._loop = Loop(_reap)
        self._loop.watch(requests, READ, self._on_ready)

    def run(self) -> None:
        """Serve until the requests end; in a worker this never returns."""
        while self._is_asked:
            self._loop.run_once(None)

    def _on_ready(self, _events: int) -> None:
        data = os.read(self._requests, LONGEST_LINE)
        self._is_asked = bool(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(line)
        if len(self._rest) > LONGEST_LINE:
            note(self._state_dir, "cannot read a request of the supervisor: it has no end; leaving")
            self._is_asked = False

    def _obey(self, line: bytes) -> None:
        verb, _, number = line.partition(b" ")
        if verb != b"fork" or not number.isdigit():
            note(self._state_dir, f"cannot follow the request {line[:80]!r}: known is 'fork NUMBER'")
            return
        try:
            pid = os.fork()
        except OSError as error:
            # The supervisor sees that no worker connects, and decides anew.
            note(
                self._state_dir,
                f"cannot fork worker {int(number)}: {error.strerror}; raise the process limit",
            )
            return
        if pid == 0:
            self._be_worker(int(number))

    def _be_worker(self, number: int) -> None:
        """Live and end as a worker; nothing of the spawner's own is kept."""
        status = 70  # EX_SOFTWARE of sysexits(3)
        try:
            self._loop.close()
            os.close(self._requests)
            worker.main(number, self._state_dir)
            status = 0
        except BaseException:  # noqa: BLE001 (the edge of this process: nobody above could tell it)
            note(self._state_dir, f"worker {number} broke down\n{traceback.format_exc()}")
        finally:
            os._exit(status)


def main(state_dir: str) -> None:
    """Serve the supervisor whose pipe is stdin."""
    requests = os.dup(0)  # moved, so that 0 is /dev/null here and in every worker
    close_standard()
    os.chdir("/")
    leave_session()
    handle_signals()
    gc.collect()
    gc.freeze()  # what is here now stays shared: a collection would touch, and so copy, every page
    Spawner(state_dir, requests).run()


def _reap() -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


if __name__ == "__main__":
    shed_mark()
    reset_signals()
    main(sys.argv[1])
