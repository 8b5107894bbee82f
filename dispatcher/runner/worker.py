"""A worker: runs one job at a time and outlives the supervisor. `main` is its whole life.

One loop: the supervisor's socket, output pipes, SIGCHLD. Every fact goes into the journal before
it is told; the lock on the journal is the proof that the worker lives.
Standard library only. Run by the spawner, or alone: python -m dispatcher.runner.worker NUMBER STATE_DIR
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import assert_never

from dispatcher.runner import wire
from dispatcher.runner.ahead import Ahead
from dispatcher.runner.ends import Ends
from dispatcher.runner.handover import stay_behind
from dispatcher.runner.inheritance import (
    close_standard,
    handle_signals,
    keep_progress_fd,
    reset_signals,
    shed_mark,
)
from dispatcher.runner.job import Job, Step
from dispatcher.runner.journal import Journal
from dispatcher.runner.loop import Loop
from dispatcher.runner.reaper import become_reaper
from dispatcher.runner.report import Report
from dispatcher.runner.trouble import note
from dispatcher.runner.uplink import RECONNECT_SECONDS, Uplink

FIRST_CONNECT_SECONDS = 10.0  # an idle worker that has never been connected gives up after that
AGAIN_SECONDS = 1.0
JOURNAL_BYTES = 256 * 1024  # a journal that has grown so large is emptied before the next job
JOURNAL_PATIENCE = 1.0
LONG = 0.050  # seconds that a job may run before those that lie ahead of it are given back


def main(number: int, state_dir: str) -> None:
    """Be worker `number` until there is nothing to do and no supervisor, or it sends us home."""
    os.umask(0o077)
    os.chdir("/")
    handle_signals()
    keep_progress_fd()
    spool = Path(state_dir) / "spool"
    spool.mkdir(mode=0o700, exist_ok=True)
    path = spool / f"{number}.journal"
    journal = Journal.open_locked(path, number)
    worker = Worker(number, state_dir, journal)
    worker.run()
    # Every fact is saved, so the journal says nothing; numbers never return, so it would stay for ever.
    with contextlib.suppress(OSError):
        path.unlink()
    journal.close()


class Worker:
    """The loop and what it works on: the job that runs and those that lie ahead."""

    def __init__(self, number: int, state_dir: str, journal: Journal) -> None:
        become_reaper()
        self._state_dir = state_dir
        self._journal = journal
        self._loop = Loop(self._reap)
        self._report = Report(number, journal)
        self._link = Uplink(f"{state_dir}/workers.sock", self._loop, self._on_line, self._on_lost)
        self._job: Job | None = None
        self._ahead = Ahead(self._report)
        now = time.monotonic()
        self._connect_at = now
        self._give_up_at = now + FIRST_CONNECT_SECONDS
        self._again_at: float | None = None
        self._trouble = ""
        self._hold_until: float | None = None
        self._long_at = 0.0
        self._is_dismissed = False

    def run(self) -> None:
        """Work until the end."""
        is_quiet = True
        while True:
            now = time.monotonic()
            if not self._link.is_open and now >= self._connect_at:
                self._connect(now)
            if self._job is not None:
                self._job.on_time()
                if self._ahead and now >= self._long_at:
                    # It is no short job: what lies ahead may start elsewhere sooner.
                    self._ahead.give_back()
            self._advance()
            if self._is_over():
                self._link.close()
                self._loop.close()
                return
            self._send(is_quiet=is_quiet)
            is_quiet = not self._loop.run_once(self._timeout())

    # The supervisor

    def _connect(self, now: float) -> None:
        self._connect_at = now + RECONNECT_SECONDS
        if self._link.connect():
            self._give_up_at = now
            running = [] if self._job is None else [self._job.number]
            self._report.hello(self._link, [*running, *(one.order.job for one in self._ahead)])
            if self._job is not None:
                self._job.forget_told()

    def _on_lost(self, reason: str) -> None:
        if self._job is not None or not self._report.is_settled:
            note(self._state_dir, f"{reason}; going on without")
        self._connect_at = time.monotonic() + RECONNECT_SECONDS
        self._ahead.give_back_fed()
        if self._job is not None:
            self._reap()
            self._job.lose_supervisor()

    def _on_line(self, line: bytes) -> None:
        try:
            order = wire.decode_order(line)
        except wire.WireError as error:
            note(self._state_dir, str(error))
            return
        match order:
            case wire.Start():
                self._receive(order)
            case wire.Stop():
                self._stop(order)
            case wire.Withdraw():
                self._ahead.give_back([order.job])
            case wire.EndInput():
                self._end_input(order.job)
            case wire.Ack():
                self._report.acknowledge(order.seq)
            case wire.Exit():
                self._is_dismissed = True
            case _:
                assert_never(order)

    def _receive(self, order: wire.Start) -> None:
        self._is_dismissed = False
        ends = Ends()
        if order.streams is not None:
            names = order.streams.descriptors
            ends = Ends.of(names, self._link.take_descriptors(len(names)))
        is_here = self._job is not None and self._job.number == order.job
        if is_here or self._ahead.has(order.job) or self._report.knows(order.job):
            ends.close()
        else:
            self._ahead.receive(order, ends)

    def _end_input(self, job: int) -> None:
        if self._job is not None and self._job.number == job:
            self._job.end_input()
        for handed in self._ahead:
            if handed.order.job == job:
                handed.ends.end_input()

    def _stop(self, order: wire.Stop) -> None:
        if self._job is not None and self._job.number == order.job:
            # A command that has ended before the first signal was not killed.
            self._reap()
            self._job.stop(order.grace)
        elif self._ahead.remove(order.job):
            self._report.done(order.job, "killed", None)

    def _send(self, *, is_quiet: bool) -> None:
        if not self._link.is_open:
            return
        self._report.send(self._link, is_quiet=is_quiet)
        # A length of a job that nobody has been told of yet would be news too early.
        if self._job is not None and self._link.has_room and not self._report.wants_to_send(self._link):
            self._link.put(self._job.news(time.monotonic()))
        self._link.flush()

    # The jobs

    def _advance(self) -> None:
        if self._again_at is not None and time.monotonic() < self._again_at:
            return
        self._again_at = None
        while self._job is not None or self._take_next():
            if self._job is None:
                continue
            if self._job.is_to_begin and not self._journal.is_written():
                # After a crash nobody could tell that it has begun, and it would run once more.
                self._try_again(f"cannot note that job {self._job.number} begins: the journal takes nothing")
                return
            match self._job.advance(self._reap):
                case Step.WAIT:
                    return
                case Step.HAND_OVER:
                    if not self._hand_over(self._job):
                        return
                case Step.DONE:
                    self._job = None

    def _take_next(self) -> bool:
        if self._report.is_settled and (not self._ahead or self._report.journal_bytes > JOURNAL_BYTES):
            self._report.empty_journal()
        if not self._ahead or self._holds():
            return False
        self._job = Job(*self._ahead.next(), self._state_dir, self._loop, self._report)
        self._long_at = time.monotonic() + LONG
        return True

    def _holds(self) -> bool:
        """Wait a moment for acknowledgements if the journal has grown: with jobs ahead it is never idle."""
        now = time.monotonic()
        if self._report.journal_bytes <= JOURNAL_BYTES or not self._link.is_open:
            self._hold_until = None
            return False
        if self._hold_until is None:
            self._hold_until = now + JOURNAL_PATIENCE
        return now < self._hold_until

    def _try_again(self, trouble: str) -> None:
        if trouble != self._trouble:  # said once, however long it lasts
            note(self._state_dir, f"{trouble}; trying again")
        self._trouble = trouble
        self._again_at = time.monotonic() + AGAIN_SECONDS

    def _reap(self) -> bool:
        """Reap all that has ended, adopted processes too; tell whether children are left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if self._job is not None:
                self._job.reaped(pid, status, usage)

    def _hand_over(self, job: Job) -> bool:
        """Go on in a child, away from the leftovers; tell whether that worked. Only the child returns."""
        try:
            child = os.fork()
        except OSError as error:
            self._try_again(f"cannot fork away from leftovers: {error.strerror}")
            return False
        pipes = job.give_outputs()
        if child:
            self._link.close()
            self._loop.close()
            job.leave()
            self._ahead.close()
            self._journal.close()  # never LOCK_UN: that would release the child's lock too
            stay_behind(child, pipes)
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)
        self._loop.renew()
        become_reaper()
        self._report.introduce()
        self._report.moved(self._link)
        return True

    # When to wake up, and when to end

    def _is_over(self) -> bool:
        if self._job is not None or self._ahead or not self._report.is_settled:
            return False
        return self._is_dismissed or (not self._link.is_open and time.monotonic() >= self._give_up_at)

    def _timeout(self) -> float | None:
        if self._report.wants_to_send(self._link):
            return 0  # if nothing else is ready, they leave at once
        times = [self._again_at]
        if not self._link.is_open:
            times.append(self._connect_at)
        if self._job is not None:
            times += self._job.timers()
            times += self._job.news_times() if self._link.has_room else []
            times.append(self._long_at if self._ahead else None)
        elif self._ahead:
            times.append(self._hold_until)
        earliest = min((one for one in times if one is not None), default=None)
        return None if earliest is None else max(0.0, earliest - time.monotonic())


if __name__ == "__main__":
    shed_mark()
    reset_signals()
    close_standard()
    main(int(sys.argv[1]), sys.argv[2])
