"""Match clients' regular expressions in a process apart, which has 1 s for all that one query asks.

A pattern like `(a+)+$` can take for ever, and in a thread it would hold up everybody else. The
process starts when it is first needed and is killed when the query is answered, or takes too long.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from dispatcher.api.truenas.conditions import Matched, Question
from dispatcher.api.truenas.problems import Mistake, Problem, invalid_params

WORK_SECONDS = 1.0
START_SECONDS = 20.0
PROCESSES = 8
_LEAVE_SECONDS = 5.0
_PROGRAM = Path(__file__).with_name("pattern_process.py")
_BATCH_LETTERS = 262_144
_KNOWN_ANSWERS = 20_000
_KNOWN_LETTERS = 100  # of a text whose answer is kept
_CHUNK_BYTES = 65536


def _refused(sentence: str) -> Problem:
    return invalid_params((Mistake("query-filters", sentence),))


class Patterns:
    """All queries' processes: a few at once, of which one works."""

    def __init__(self, seconds: float = WORK_SECONDS) -> None:
        self.seconds = seconds
        self.working = trio.CapacityLimiter(1)
        self.alive = trio.CapacityLimiter(PROCESSES)

    @asynccontextmanager
    async def matcher(self) -> AsyncIterator["Matcher"]:
        """Give what answers one query's questions; its process, if it has one, ends with the block."""
        matcher = Matcher(self)
        try:
            yield matcher
        finally:
            await matcher.aclose()


class Matcher:
    """Answers the questions of one query, and remembers what it may be asked again."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._left = patterns.seconds
        self._process: trio.Process | None = None
        self._read = b""
        self._known: dict[Question, bool] = {}

    async def ask(self, questions: Collection[Question]) -> Matched:
        """Match. Raises Problem for a pattern that is none, or if it takes too long."""
        answers = {one: self._known[one] for one in questions if one in self._known}
        texts: dict[str, list[str]] = {}
        for one in questions:
            if one not in answers:
                texts.setdefault(one[0], []).append(one[1])
        for pattern, asked in texts.items():
            for batch in _batches(asked):
                answers |= await self._match(pattern, batch)
        return answers

    async def aclose(self) -> None:
        """End the process."""
        if self._process is None:
            return
        process, self._process = self._process, None
        # A process that does not die of this signal is in the system's hands; nobody waits for it.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LEAVE_SECONDS):
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await trio.aclose_forcefully(stream)
            await process.wait()
        self._patterns.alive.release_on_behalf_of(self)

    async def _match(self, pattern: str, texts: list[str]) -> Matched:
        process = self._process or await self._start()
        line = json.dumps([pattern, texts]).encode() + b"\n"
        async with self._patterns.working:
            begun = trio.current_time()
            with trio.move_on_after(self._left) as deadline:
                answer = await self._exchange(process, line)
            self._left = max(0.0, self._left - (trio.current_time() - begun))
        if deadline.cancelled_caught:
            raise _refused(
                f"pattern takes too long: there is {self._patterns.seconds:g} s for all that a query matches;"
                " use a simpler one, or the operators ^, $ and rin"
            )
        if answer.startswith("!") or len(answer) != len(texts):
            raise _refused(f"the pattern {pattern!r} cannot be matched: {answer[1:] or 'it needs too much'}")
        found = {(pattern, text): digit == "1" for text, digit in zip(texts, answer, strict=True)}
        if len(self._known) < _KNOWN_ANSWERS:
            self._known |= {one: is_match for one, is_match in found.items() if len(one[1]) <= _KNOWN_LETTERS}
        return found

    async def _start(self) -> trio.Process:
        await self._patterns.alive.acquire_on_behalf_of(self)
        try:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name != "DISPATCHER_JOB"},
                start_new_session=True,
            )
        except BaseException:
            self._patterns.alive.release_on_behalf_of(self)
            raise
        self._process = process
        with trio.move_on_after(START_SECONDS):
            if await self._line(process) == "ready":
                return process
        raise _refused("the process that matches patterns does not start; try again, or use no pattern")

    async def _exchange(self, process: trio.Process, line: bytes) -> str:
        if process.stdin is None:
            raise AssertionError("stdin is a pipe")
        try:
            await process.stdin.send_all(line)
        except trio.BrokenResourceError:
            return ""  # it has died: of the limits that it set itself
        return await self._line(process)

    async def _line(self, process: trio.Process) -> str:
        """Read a line; empty if the process has died."""
        if process.stdout is None:
            raise AssertionError("stdout is a pipe")
        while b"\n" not in self._read:
            piece = await process.stdout.receive_some(_CHUNK_BYTES)
            if not piece:
                return ""
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()


def _batches(texts: Iterable[str]) -> Iterable[list[str]]:
    """Divide texts, so that no line gets very long."""
    batch: list[str] = []
    letters = 0
    for text in texts:
        batch.append(text)
        letters += len(text)
        if letters >= _BATCH_LETTERS or len(batch) == 1000:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch
