"""What the commands of one job read and write besides the log: stdin, a result, pipes, progress.

Most jobs have none of it. Standard library only, because workers import it.
"""

import os
import re
from collections.abc import Callable
from functools import partial

from dispatcher.runner.command import CannotStart, Command, Output, Wiring
from dispatcher.runner.ends import Ends
from dispatcher.runner.loop import Loop
from dispatcher.runner.progress import (
    OUTPUT_LINE,
    PROGRESS_LINE,
    LineCutter,
    OutputProgress,
    Progress,
    WrittenProgress,
)
from dispatcher.runner.wire import Start
from dispatcher.runner.wire import Streams as Wanted

RESULT_BYTES = 1024 * 1024  # kept of what the commands write on stdout
BROKE_OFF = "its input broke off: the dispatcher was restarted"

Sink = Callable[[bytes], None]


class Streams:
    """The streams of one job, through all of its commands. `write` writes to the job's log."""

    def __init__(self, wanted: Wanted, order: Start, ends: Ends, state_dir: str, write: Sink) -> None:
        self._wanted = wanted
        self._job = order.job
        self._last = len(order.commands) - 1
        self._ends = ends
        self._state_dir = state_dir
        self._write = write
        self._is_at_line_start = True
        self._kept = bytearray()
        self._cut = ""
        self._cutters: list[LineCutter] = []
        self._has_lost_input = False
        self.progress = Progress(order.job)
        self._output_progress: OutputProgress | None = None
        self._trouble = ""
        try:
            if wanted.pattern:
                self._output_progress = OutputProgress(wanted.pattern, self.progress)
        except re.error as error:
            self._trouble = f"cannot find the progress by {wanted.pattern!r}: {error}"
        self._written_progress = WrittenProgress(self.progress, self._remark)

    @property
    def awaits_input(self) -> bool:
        """Whether the supervisor has not said yet that the input is complete."""
        return self._ends.keeper is not None

    def lose_input(self) -> None:
        """Note that the input will never be complete: no further command may take it for the whole."""
        self._has_lost_input = True

    def end_input(self) -> None:
        """Let the commands see the end of the input."""
        self._ends.end_input()

    def wiring(self, number: int, argv: tuple[str, ...]) -> Wiring:
        """Say what to connect command `number` to; `started` follows. Raises CannotStart."""
        missing = set(self._wanted.descriptors) - {"keeper"} - set(self._ends.named)
        if self._has_lost_input or missing:
            raise CannotStart(BROKE_OFF if self._has_lost_input else "its pipes did not come with it")
        if number == 0 and self._wanted.stdin is not None and self._ends.stdin is None:
            self._ends.stdin = self._written_down(self._wanted.stdin, argv[0])
        return Wiring(
            stdin=self._ends.stdin,
            stdout=self._ends.stdout,
            splits=self._wanted.keeps_stdout and self._ends.stdout is None,
            has_progress=self._wanted.has_progress_fd,
        )

    def started(self, number: int) -> None:
        """Close what no further command needs, now that this one has it or could not start."""
        if number == self._last:
            self._ends.leave_to_command()
        elif "stdin" not in self._wanted.descriptors:
            self._ends.leave_input()

    def outputs(self, command: Command, loop: Loop) -> list[Output]:
        """Read all pipes of a command that was started."""
        if self._trouble:
            self._remark(self._trouble)
            self._trouble = ""
        outputs = [Output(command.pipe, loop, self._sink(self._log))]
        if command.stdout is not None:
            outputs.append(Output(command.stdout, loop, self._sink(self._keep)))
        if command.progress is not None:
            cutter = LineCutter(PROGRESS_LINE, self._written_progress.take)
            self._cutters.append(cutter)
            outputs.append(Output(command.progress, loop, cutter.feed))
        return outputs

    def ended(self) -> None:
        """Take what the command that has ended said after its last line end."""
        for cutter in self._cutters:
            cutter.finish()
        self._cutters.clear()
        if self._cut == "now":
            self._cut = "told"
            self._remark(f"of stdout, the first {RESULT_BYTES} bytes are the result")

    def done(self, outcome: str) -> dict[str, object]:
        """Close everything; give what the job's last fact says besides: its progress and its result."""
        self.close()
        said = self.progress.fields()
        if self._wanted.keeps_stdout and outcome == "success":
            said["result"] = self._kept.decode("utf-8", "replace")
        return said

    def close(self) -> None:
        """Close all ends, at the end of the job or because another process goes on with it."""
        self._ends.close()

    def _sink(self, take: Sink) -> Sink:
        if self._output_progress is None:
            return take
        cutter = LineCutter(OUTPUT_LINE, self._output_progress.take)
        self._cutters.append(cutter)
        return partial(_both, take, cutter.feed)

    def _keep(self, data: bytes) -> None:
        room = RESULT_BYTES - len(self._kept)
        self._kept += data[:room]
        if len(data) > room and not self._cut:
            self._cut = "now"
        self._log(data)

    def _log(self, data: bytes) -> None:
        self._write(data)
        self._is_at_line_start = data.endswith(b"\n")

    def _remark(self, text: str) -> None:
        """Write a line of our own into the log."""
        line = f"[dispatcher: {text}]\n".encode("utf-8", "replace")
        self._log(line if self._is_at_line_start else b"\n" + line)

    def _written_down(self, text: str, program: str) -> int:
        """Give a descriptor to read a text from: a file without a name, because it may hold a secret."""
        path = f"{self._state_dir}/spool/{self._job}.stdin"
        try:
            end = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.unlink(path)  # noqa: PTH108 (no pathlib for one name)
                left = memoryview(text.encode("utf-8", "replace"))
                while left:
                    left = left[os.write(end, left) :]
                os.lseek(end, 0, os.SEEK_SET)
            except BaseException:
                os.close(end)
                raise
        except OSError as error:
            raise CannotStart(
                f"cannot start {program!r}: what it is to read cannot be written to {self._state_dir}/spool "
                f"({error.strerror}); make room or repair the folder"
            ) from error
        return end


def _both(first: Sink, second: Sink, data: bytes) -> None:
    first(data)
    second(data)
