"""Run quick commands that only read, for answers that clients wait for: no job, no log, no event.

They run in the supervisor with a time limit and an output limit, a few at a time, in sessions of
their own, so that a command that hangs is ended with all that it started.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial

import trio

from dispatcher.core.model import Value
from dispatcher.errors import Refused

AT_ONCE = 4
LINE = 32  # more that wait are refused
MOST_SECONDS = 30.0
MOST_BYTES = 32 * 1024 * 1024
_MOST_ERRORS = 64 * 1024


class Output(Value, frozen=True):
    """What a command printed, and its exit status (minus n after death by signal n)."""

    text: str
    errors: str
    code: int


class QuickCommands:
    """Runs them. Limits are for one command each."""

    def __init__(self, most_seconds: float = MOST_SECONDS, most_bytes: int = MOST_BYTES) -> None:
        self._most_seconds = most_seconds
        self._most_bytes = most_bytes
        self._slots = trio.Semaphore(AT_ONCE)

    async def run(self, argv: Sequence[str], env: Mapping[str, str]) -> Output:
        """Run one command to its end. Raises Refused if it cannot start or goes over a limit."""
        if self._slots.statistics().tasks_waiting >= LINE:
            raise Refused(f"cannot ask {argv[0]}: {LINE} others wait for answers; try again later")
        async with self._slots:
            with trio.move_on_after(self._most_seconds):
                return await self._run(argv, env)
            raise Refused(
                f"cannot answer: {argv[0]} has not ended within {self._most_seconds:g} s and was stopped; "
                "see whether another one holds its database"
            )

    async def _run(self, argv: Sequence[str], env: Mapping[str, str]) -> Output:
        start = partial(
            trio.run_process,
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
            deliver_cancel=_kill_session,
            cwd="/",
            env=dict(env),
            start_new_session=True,
        )
        output = bytearray()
        errors = bytearray()
        is_too_long = False

        async def read_output(stream: trio.abc.ReceiveStream) -> None:
            nonlocal is_too_long
            async for piece in stream:
                output.extend(piece)
                if len(output) > self._most_bytes:
                    is_too_long = True
                    nursery.cancel_scope.cancel()

        async def read_errors(stream: trio.abc.ReceiveStream) -> None:
            async for piece in stream:
                errors.extend(piece)
                del errors[:-_MOST_ERRORS]  # the last words say why

        code = 0
        try:
            async with trio.open_nursery() as nursery:
                process = await nursery.start(start)
                nursery.start_soon(read_output, process.stdout)
                nursery.start_soon(read_errors, process.stderr)
                code = await process.wait()
        except* OSError as group:
            reason = getattr(group.exceptions[0], "strerror", None) or group.exceptions[0]
            raise Refused(f"cannot run {argv[0]}: {reason}; look at PATH in `environment`") from None
        if is_too_long:
            raise Refused(
                f"cannot answer: {argv[0]} printed more than {self._most_bytes} bytes; ask for less at once"
            )
        return Output(output.decode(errors="replace"), errors.decode(errors="replace"), code)


async def _kill_session(process: trio.Process) -> None:
    """End a command that may not go on, with everything that it started in its session."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
