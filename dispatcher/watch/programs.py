"""Run a small program of the system and give what it writes: `zpool list`, say.

In a thread, with a deadline and a bound: a pool that hangs must not hold up anything, also not the
end of the daemon.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

import trio

SECONDS = 20.0
BYTES = 1024 * 1024


class ProgramFailed(Exception):
    """The program is there and did not do its part; the text says why."""


class Programs:
    """Runs programs found on the PATH of an environment, one at a time."""

    def __init__(self, environment: Mapping[str, str], seconds: float = SECONDS) -> None:
        self._environment = dict(environment)
        self._seconds = seconds
        self._limiter = trio.CapacityLimiter(1)

    def has(self, name: str) -> bool:
        """Tell whether there is such a program."""
        return self._find(name) is not None

    async def output(self, argv: Sequence[str]) -> str:
        """Give what a program wrote to its standard output. Raises ProgramFailed."""
        program = self._find(argv[0])
        if program is None:
            raise ProgramFailed(f"{argv[0]} is not on the PATH")
        # Abandoned: a program in the middle of a dead disk's call cannot even be killed. Until it is
        # gone the limiter keeps further ones away.
        with trio.move_on_after(2 * self._seconds):
            return await trio.to_thread.run_sync(
                self._run, program, argv, limiter=self._limiter, abandon_on_cancel=True
            )
        raise ProgramFailed(f"{argv[0]} hangs and cannot be ended")

    def _find(self, name: str) -> str | None:
        return shutil.which(name, path=self._environment.get("PATH", ""))

    def _run(self, program: str, argv: Sequence[str]) -> str:
        try:
            process = subprocess.Popen(
                argv,
                executable=program,
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramFailed(f"{program} cannot start: {error.strerror}") from None
        try:
            written = self._read(process)
        except ProgramFailed:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._seconds)
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()
        if process.returncode != 0:
            raise ProgramFailed(f"{argv[0]} exited with {process.returncode}")
        return written.decode("utf-8", "replace")

    def _read(self, process: subprocess.Popen[bytes]) -> bytes:
        deadline = time.monotonic() + self._seconds
        written = bytearray()
        with selectors.DefaultSelector() as selector:
            if process.stdout is None:
                raise AssertionError("stdout is a pipe")
            selector.register(process.stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                piece = os.read(process.stdout.fileno(), 65536)
                written += piece
                if len(written) > BYTES:
                    raise ProgramFailed(f"{process.args!r} wrote more than {BYTES} bytes")
                if not piece:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(max(0.0, deadline - time.monotonic()))
                        return bytes(written)
                    break
        raise ProgramFailed(f"{process.args!r} took more than {self._seconds:g} s")
