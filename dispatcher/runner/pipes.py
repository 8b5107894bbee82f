"""The pipes that the supervisor made for jobs, until a worker has begun with them.

Who reads an upload or writes a download makes the pipe and keeps the other end: here are only the
ends for the commands. A job that comes back from a worker is handed to the next with the same ones.
"""

import os
from collections.abc import Iterable, Mapping

from dispatcher.core import messages as m
from dispatcher.core.model import Job
from dispatcher.runner.ends import Ends


class Pipes:
    """The ends for the commands of each job, by its key."""

    def __init__(self) -> None:
        self._ends: dict[str, Ends] = {}

    def offer(
        self, key: str, *, stdin: int | None = None, keeper: int | None = None, stdout: int | None = None
    ) -> None:
        """Take descriptors for a job, before it is submitted; they are closed here, whatever comes.

        `stdin` is the read end of its input, `keeper` a copy of the write end: the worker holds it, so
        that the commands see no end of file when this process dies. `stdout` is the write end of its
        output, or a file. Whoever offers for a job that never starts calls `withdraw`.
        """
        self.withdraw(key)
        self._ends[key] = Ends(stdin=stdin, keeper=keeper, stdout=stdout)
        for end in (stdin, stdout):
            if end is not None:
                os.set_blocking(end, True)  # commands know no other kind

    def ends(self, job: Job) -> Ends:
        """Give the ends that go with the order to start a job; LookupError says why there are none."""
        task = job.submission.task
        ends = self._ends.get(job.key)
        if task is None or not (task.input or task.output):
            return Ends()
        if ends is None or (task.input and ends.stdin is None) or (task.output and ends.stdout is None):
            what = "upload" if task.input else "download"
            raise LookupError(f"its {what} ended with the restart of the dispatcher")
        return ends

    def end_input(self, key: str) -> None:
        """Let the commands see the end of the input once its writer has closed its own end."""
        if key in self._ends:
            self._ends[key].end_input()

    def follow(self, facts: Iterable[m.Fact], jobs: Mapping[int, Job]) -> None:
        """Close the ends of those `jobs` that have begun, or never will, by what these facts say."""
        if not self._ends:
            return
        for fact in facts:
            if isinstance(fact, m.CommandStarted | m.JobEnded | m.JobLost) and fact.job in jobs:
                self.withdraw(jobs[fact.job].key)

    def withdraw(self, key: str) -> None:
        """Close the ends of a job, if they are here: it will not start any more."""
        ends = self._ends.pop(key, None)
        if ends is not None:
            ends.close()

    def close(self) -> None:
        """Close everything."""
        for key in tuple(self._ends):
            self.withdraw(key)
