"""The job that a worker runs now: which command is next, what ended how, and when it is all over.

It moves on only in `advance`, as far as it can go without waiting. Standard library only.
"""

import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from resource import struct_rusage

from dispatcher.logs.files import LogWriter
from dispatcher.runner import command as commands
from dispatcher.runner.command import CannotStart, Command, Output
from dispatcher.runner.ends import Ends
from dispatcher.runner.loop import Loop
from dispatcher.runner.report import CommandFigures, Report
from dispatcher.runner.stopping import Stopping, living
from dispatcher.runner.streams import BROKE_OFF, Streams
from dispatcher.runner.trouble import note
from dispatcher.runner.wire import Start, encode

TELL_SECONDS = 0.05  # between two log lengths
NAMED = 50  # leftovers that are named; of more the number is told


class Step(Enum):
    """What the worker must do after `advance`."""

    WAIT = auto()
    HAND_OVER = auto()  # something that an ended command left behind is here: get away from it
    DONE = auto()


class Job:
    """One job from taken to done. `reap` reaps all that has ended and tells whether children are left."""

    def __init__(self, order: Start, ends: Ends, state_dir: str, loop: Loop, report: Report) -> None:
        self.order = order
        self._state_dir = state_dir
        self._loop = loop
        self._report = report
        self.log = LogWriter(order.log, order.cap, order.tail, partial(note, state_dir))
        wanted = order.streams
        self._streams = None if wanted is None else Streams(wanted, order, ends, state_dir, self.log.write)
        self._next = 0
        self._command: Command | None = None
        self._outputs: list[Output] = []
        self._ended: tuple[int, struct_rusage, float] | None = None
        self._code = 0
        self._is_unwanted = False
        self._is_killed = False
        self._is_broken_off = False
        self._stopping: Stopping | None = None
        self._by: str | None = None
        self._told = 0
        self._tell_at = 0.0
        report.taken(order.job)

    @property
    def number(self) -> int:
        """The number of the job."""
        return self.order.job

    @property
    def is_to_begin(self) -> bool:
        """Whether its first command comes next."""
        return self._next == 0 and not self._is_unwanted

    # What the loop says

    def reaped(self, pid: int, status: int, usage: struct_rusage) -> None:
        """Note the end of a child; most are none of our command's first process."""
        if self._command is not None and pid == self._command.pid:
            self._ended = status, usage, time.monotonic()

    def stop(self, grace: float) -> None:
        """Have the job end; call it right after reaping, or an ended command counts as killed."""
        self._is_unwanted = True
        if self._stopping is not None:
            self._stopping.hurry(grace)
        if self._command is not None and self._ended is None and not self._is_killed:
            stopping = Stopping(self._state_dir, grace)
            # If nobody was there to get the signal, the command has just ended by itself.
            self._is_killed = stopping.by is not None
            self._stopping = stopping if self._is_killed else None

    def end_input(self) -> None:
        """Let the commands see the end of their input: all of it has been written."""
        if self._streams is not None:
            self._streams.end_input()

    def lose_supervisor(self) -> None:
        """Stop, if input is still to come: nobody will write it. Call it right after reaping."""
        if self._streams is None or not self._streams.awaits_input:
            return
        # The commands must not take it for the end, so the keeper stays open until they have ended.
        self._streams.lose_input()
        if self._command is not None and self._ended is None and self._stopping is None:
            stopping = Stopping(self._state_dir, self.order.grace)
            self._is_broken_off = stopping.by is not None
            self._stopping = stopping if self._is_broken_off else None

    def timers(self) -> list[float]:
        """Tell when `on_time` has something to do, in monotonic time."""
        times = [] if self.log.refresh_at is None else [self.log.refresh_at]
        if self._stopping is not None:
            times.append(self._stopping.next_at)
        return times

    def on_time(self) -> None:
        """Do what is due."""
        self.log.refresh()
        if self._stopping is not None and time.monotonic() >= self._stopping.next_at:
            self._stopping.on_time()

    def advance(self, reap: Callable[[], bool]) -> Step:
        """Go as far as it goes without waiting."""
        while True:
            if self._command is not None:
                if self._ended is None:
                    return Step.WAIT
                self._end_command(self._ended, self._command, has_children=reap())
            if self._stopping is not None:
                if not self._stopping.is_over(has_children=reap()):
                    return Step.WAIT
                self._by = self._stopping.by
                self._stopping = None
            if reap() or any(output.look() for output in self._outputs):
                return Step.HAND_OVER
            self._outputs = []
            if self._code or self._is_unwanted or self._next == len(self.order.commands):
                self._finish()
                return Step.DONE
            self._start_next()

    # Log lengths and progress

    def news(self, now: float) -> bytes:
        """Give the lines that tell how far the log may be read and the job is, if news and not too soon."""
        progress = b"" if self._streams is None else self._streams.progress.line(now)
        if now < self._tell_at:
            return progress
        line = self._length_news()
        if line:
            self._tell_at = now + TELL_SECONDS
        return line + progress

    def news_times(self) -> list[float]:
        """Tell when `news` has something to tell; empty if there is nothing new."""
        times = [self._tell_at] if self.log.stable != self._told else []
        progress_at = None if self._streams is None else self._streams.progress.next_at()
        return times if progress_at is None else [*times, progress_at]

    def forget_told(self) -> None:
        """Tell both again: a new supervisor listens."""
        self._told = 0
        if self._streams is not None:
            self._streams.progress.forget_told()

    def _length_news(self) -> bytes:
        if self.log.stable == self._told:
            return b""
        self._told = self.log.stable
        return encode({"log": self.number, "length": self._told})

    # A hand-over

    def give_outputs(self) -> list[int]:
        """Give away the pipes that leftovers may still write to."""
        pipes = [output.detach() for output in self._outputs if output.is_open]
        self._outputs = []
        return pipes

    def leave(self) -> None:
        """Close this process's copies of what the job has open: another one goes on with it."""
        self.log.close()
        if self._streams is not None:
            self._streams.close()

    # One command

    def _start_next(self) -> None:
        number = self._next
        self._next += 1
        offset = self.log.begin()
        order = self.order
        argv = order.commands[number]
        mark = f"{order.mark}:{number}"
        try:
            if self._streams is None:
                command = commands.start(argv, order.cwd, order.env, order.umask, mark)
            else:
                wiring = self._streams.wiring(number, argv)
                command = commands.start(argv, order.cwd, order.env, order.umask, mark, wiring=wiring)
        except CannotStart as error:
            self._report.started(order.job, number, None, None, offset)
            self.log.write(f"{error}\n".encode("utf-8", "replace"))
            end = self.log.end()
            self._code = -1
            figures = CommandFigures(-1, None, str(error), end.length, end.cut, 0.0, 0.0, 0.0, 0, [])
            self._report.ended(order.job, number, figures, self._length_news())
            return
        self._command = command
        self._ended = None
        if self._streams is None:
            self._outputs = [Output(command.pipe, self._loop, self.log.write)]
        else:
            self._outputs = self._streams.outputs(command, self._loop)
            self._streams.started(number)
        self._report.started(order.job, number, command.pid, command.start, offset)

    def _end_command(
        self, ended: tuple[int, struct_rusage, float], command: Command, *, has_children: bool
    ) -> None:
        status, usage, at = ended
        # The end of the pipe may be hours away, if a background child holds it.
        for output in self._outputs:
            output.finish()
        if self._streams is not None:
            self._streams.ended()
        end = self.log.end()
        self._code, signal = commands.exit_code(status)
        leftovers = self._leftovers() if has_children and self._stopping is None else []
        figures = CommandFigures(
            code=self._code,
            signal=signal,
            error=BROKE_OFF if self._is_broken_off else None,
            log=end.length,
            cut=end.cut,
            seconds=at - command.began,
            user=usage.ru_utime,
            system=usage.ru_stime,
            rss=usage.ru_maxrss * 1024,  # KiB on Linux and FreeBSD; never less than the worker's own (vfork)
            leftovers=leftovers,
        )
        self._report.ended(self.number, self._next - 1, figures, self._length_news())
        self._command = None
        if has_children and self.order.stops_leftovers and self._stopping is None:
            self._stopping = Stopping(self._state_dir, self.order.grace)

    def _leftovers(self) -> list[str]:
        names = [str(process) for process in living(self._state_dir)[0]]
        return [*names[:NAMED], f"{len(names) - NAMED} more"] if len(names) > NAMED else names

    def _finish(self) -> None:
        all_ran = self._next == len(self.order.commands)
        if self._is_killed:
            outcome = "killed"
        elif self._code or self._is_broken_off:
            outcome = "failed"
        else:
            outcome = "success" if all_ran else "killed"
        self.log.close()
        by = self._by if outcome == "killed" else None
        if self._streams is None:
            self._report.done(self.number, outcome, by)
        else:
            line = self._streams.progress.news()
            self._report.done(self.number, outcome, by, self._streams.done(outcome), line)
