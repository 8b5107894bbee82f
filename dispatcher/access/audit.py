"""The audit: one line for each request that changes something, each login, and what becomes of connections.

Who, from where, by which protocol, what, and what was answered. A request never waits for the disk:
its line goes into a bounded queue that one task empties in a thread. If the disk does not keep up,
a request waits a second for room; then its line is left out, and the next line says how many were.
"""

import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio

from dispatcher.access.failures import AddressRefused
from dispatcher.access.refusal_lines import refusal_lines
from dispatcher.access.refused_tries import RefusedTries
from dispatcher.access.roles import Caller, Level
from dispatcher.errors import DispatcherError
from dispatcher.logs.history import History, line
from dispatcher.settings import Settings

NAME = "audit.log"
QUEUE_BYTES = 4 * 1024 * 1024
PATIENCE = 1.0  # seconds that a request waits for room in the queue
_LAST_WORDS = 5.0  # seconds for what is left at the end of the daemon
_LONGEST_NAME = 255

Details = Callable[[], Mapping[str, object] | None]

_log = logging.getLogger("dispatcher.audit")
_refusals = logging.getLogger("dispatcher.refusals")
_encoder = msgspec.json.Encoder()


def audit_files(settings: Settings) -> History:
    """Give the files of the audit."""
    return History(settings.log_dir / NAME, settings.audit.file_bytes, settings.audit.files)


class Audit:
    """Takes entries and writes them by `run`. Without a history nothing is kept."""

    def __init__(self, history: History | None, clock: Callable[[], float]) -> None:
        self._history = history
        self._clock = clock
        self._tries = RefusedTries(trio.current_time)
        self._lines: list[bytes] = []
        self._size = 0
        self._missed = 0
        self._news = trio.Event()
        self._room = trio.Event()
        self._complained = False
        self._thread = trio.CapacityLimiter(1)

    @asynccontextmanager
    async def request(self, caller: Caller, what: str, details: Details) -> AsyncIterator[None]:
        """Note a request when the block is left, with its error if it was left by one.

        `details` is asked then; it gives None if nothing was changed that is worth a line.
        """
        if self._history is None:
            yield
            return
        await self._wait_for_room()
        try:
            yield
        except DispatcherError as error:
            self._note(caller, what, details() or {}, error)
            raise
        except trio.Cancelled:
            # The client has gone; what it asked for may have been done all the same.
            self._note(caller, what, details() or {}, None, "its client did not wait for the answer")
            raise
        found = details()
        if found is not None:
            self._note(caller, what, found, None)

    def refused(self, caller: Caller, what: str, error: DispatcherError) -> None:
        """Note a request that was refused before it was looked into."""
        self._note(caller, what, {}, error)

    def login(self, caller: Caller, by: str, error: DispatcherError | None = None) -> None:
        """Note a login, or with `error` a try; then the name is what the client claimed to be.

        Tries from an address that is refused already are only counted.
        """
        if isinstance(error, AddressRefused):
            self._tries.note(error.address or caller.origin)
            self._news.set()  # `run` must know when it has to tell of them
            return
        self._note(caller, "login", {"by": by}, error)

    def logout(self, caller: Caller) -> None:
        """Note that somebody has ended a login, and its token with it."""
        self._note(caller, "logout", {}, None)

    def connected(self, caller: Caller) -> None:
        """Note a connection, when somebody logs in on it: strangers fill no disk."""
        self._note(caller, "connect", {}, None)

    def idle(self, caller: Caller) -> None:
        """Note that a connection is closed because nothing has come for too long."""
        self._note(caller, "idle", {}, None)

    def blocked(self, address: str) -> None:
        """Note that an address is refused from now on, because too many logins have failed."""
        self._tries.begin(address)
        self._note(Caller("", Level.NOBODY), "block", {"address": address}, None)

    async def run(self) -> None:
        """Write what is noted, until cancelled; then write the rest."""
        try:
            while True:
                while not self._lines:
                    self._news = trio.Event()
                    with trio.move_on_at(self._tries.next_at):
                        await self._news.wait()
                    self._note_tries()
                await self._write_out()
        finally:
            self._note_tries(all_of_them=True)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
                while self._lines:
                    await self._write_out()

    def _note_tries(self, *, all_of_them: bool = False) -> None:
        for address, many in self._tries.due(all_of_them=all_of_them):
            details = {"address": address, "tries": many}
            self._note(Caller("", Level.NOBODY), "refused_logins", details, None, "refused")

    async def _wait_for_room(self) -> None:
        if self._size >= QUEUE_BYTES:
            with trio.move_on_after(PATIENCE):
                while self._size >= QUEUE_BYTES:
                    await self._room.wait()

    def _note(
        self,
        caller: Caller,
        what: str,
        details: Mapping[str, object],
        error: DispatcherError | None,
        answer: str = "done",
    ) -> None:
        if self._history is None:
            return
        for sentence in refusal_lines(caller, what, details, error):
            _refusals.warning("%s", sentence)
        if self._size >= QUEUE_BYTES:
            self._missed += 1
            return
        entry = {
            "who": caller.name[:_LONGEST_NAME],
            "from": caller.origin,
            "protocol": caller.protocol,
            "what": what,
            **details,
            "answer": answer if error is None else f"{error.code}: {error.sentence}",
        }
        self._put(entry)

    def _put(self, entry: Mapping[str, object]) -> None:
        # Lone surrogates, which JSON from clients may hold, cannot be written as UTF-8.
        try:
            encoded = _encoder.encode(entry)
        except UnicodeEncodeError:
            encoded = _encoder.encode(_writable(entry))
        one = line(self._clock(), encoded)
        self._lines.append(one)
        self._size += len(one)
        self._news.set()

    async def _write_out(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        missed, self._missed = self._missed, 0
        self._room.set()
        self._room = trio.Event()
        noted = len(lines)
        if missed:
            gap = {"what": "gap", "lines": missed, "answer": "these could not be written"}
            lines.append(line(self._clock(), _encoder.encode(gap)))
        # Shielded: in a cancelled scope this would raise before the thread begins, and lose the lines.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS):
            try:
                await trio.to_thread.run_sync(
                    self._append, lines, limiter=self._thread, abandon_on_cancel=True
                )
            except OSError as error:
                self._missed += missed + noted
                self._complain(error)
            else:
                self._complained = False

    def _append(self, lines: list[bytes]) -> None:
        if self._history is not None:
            self._history.append(lines)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            reason = os.strerror(error.errno) if error.errno else str(error)
            _log.error("cannot write the audit: %s; requests go on, make room in log_dir", reason)
        self._complained = True


def _writable(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_writable(key): _writable(one) for key, one in value.items()}
        case list() | tuple():
            return [_writable(one) for one in value]
        case _:
            return value
