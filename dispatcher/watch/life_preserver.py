"""Follow what life-preserver writes: its log, and the progress of a running replication.

One look a second, in a thread; it costs two calls of stat when nothing has come. How far both files
were read is kept over a restart. What was written while the daemon was away is told to nobody, because
nobody can listen yet, but it is kept and the last of it is what a new subscriber gets first.
"""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from dispatcher.core.model import Value
from dispatcher.watch.lines import Follower, Place
from dispatcher.watch.notes import read_note, write_note
from dispatcher.watch.preserver_lines import (
    Ended,
    PreserverEvent,
    Progress,
    Started,
    read_log_line,
    read_progress,
)

NOTE = "life_preserver.json"
EVERY = 1.0  # seconds between two looks
_TAIL = 1024 * 1024  # of an old log at the very first start

_log = logging.getLogger("dispatcher.watch")


class _Note(Value, frozen=True):
    log: Place
    file: str = ""  # of the progress of the running replication
    place: Place = Place()
    progress: Progress = Progress()
    last: PreserverEvent | None = None


class Preserver:
    """The two files and how far they were read. `look` blocks."""

    def __init__(self, log: Path, state_dir: Path) -> None:
        self.last: PreserverEvent | None = None
        self._note = state_dir / NOTE
        self._noted: _Note | None = None
        self._log = Follower(log)
        self._progress_file: Follower | None = None
        self._progress = Progress()
        self._complaint = ""

    def begin(self) -> None:
        """Take up where an earlier daemon left off."""
        note = self._noted = read_note(self._note, _Note)
        if note is not None:
            self.last = note.last
            self._log.place = note.log
            self._progress = note.progress
            if note.file:
                self._progress_file = Follower(Path(note.file), note.place)
            return
        try:
            self._log.skip_to_tail(_TAIL)
        except OSError:
            return  # it is not there yet, or is complained of at the first look

    def look(self) -> list[PreserverEvent]:
        """Give what has happened since the last look, in order."""
        events: list[PreserverEvent] = []
        try:
            for line in self._log.read():
                events += self._take(line)
            events += self._look_at_progress()
        except OSError as error:
            if str(error) != self._complaint:
                _log.warning("cannot follow life-preserver: %s", error)
            self._complaint = str(error)
        else:
            self._complaint = ""
        self.last = events[-1] if events else self.last
        return events

    def save(self) -> None:
        """Keep how far the files were read, if that is news; after the events were told, or one is lost."""
        file = self._progress_file
        note = _Note(
            self._log.place,
            str(file.path) if file else "",
            file.place if file else Place(),
            self._progress,
            self.last,
        )
        if note != self._noted:
            write_note(self._note, note)
            self._noted = note

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._leave_progress()

    def _take(self, line: str) -> list[PreserverEvent]:
        match read_log_line(line):
            case Started(event=event, progress=file):
                self._leave_progress()
                if file.startswith("/"):
                    self._progress_file = Follower(Path(file))
                self._progress = Progress()
                return [event]
            case Ended(event=event):
                last = self._look_at_progress()
                self._leave_progress()
                return [*last, event]
            case PreserverEvent() as event:
                return [event]
            case None:
                return []

    def _look_at_progress(self) -> list[PreserverEvent]:
        file = self._progress_file
        if file is None:
            return []
        self._progress, event = read_progress(self._progress, [*file.read(), file.unfinished()])
        return [] if event is None else [event]

    def _leave_progress(self) -> None:
        if self._progress_file is not None:
            self._progress_file.close()
            self._progress_file = None


class PreserverWatch:
    """`run` is the task.

    `tell` is awaited with each event; its flag says that it is of before the start. `recall` is called
    first with the last event that an earlier daemon told.
    """

    def __init__(
        self,
        log: Path,
        state_dir: Path,
        tell: Callable[[PreserverEvent, bool], Awaitable[None]],
        recall: Callable[[PreserverEvent], None],
    ) -> None:
        self._preserver = Preserver(log, state_dir)
        self._tell = tell
        self._recall = recall

    async def run(self) -> None:
        """Look every second, until cancelled."""
        preserver = self._preserver
        try:
            await trio.to_thread.run_sync(preserver.begin)
            if preserver.last is not None:
                self._recall(preserver.last)
            is_old = True
            while True:
                events = await trio.to_thread.run_sync(preserver.look)
                for event in events:
                    await self._tell(event, is_old)
                await trio.to_thread.run_sync(preserver.save)
                is_old = False
                await trio.sleep(EVERY)
        finally:
            preserver.close()
