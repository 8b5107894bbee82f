"""The only door into the core: messages come in, in batches, and their effects are carried out.

One batch is one transaction. Nobody hears of a change, and no command starts, before the
change is on disk. Only this task touches the machine, so there is no lock.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import trio

from dispatcher.batch import Posted, Waiting, Work
from dispatcher.core import messages as m
from dispatcher.core.live import NUMBERS_PER_START
from dispatcher.core.machine import Machine
from dispatcher.core.model import Job, Queue, Value
from dispatcher.core.schedule import HEADS
from dispatcher.errors import DispatcherError, Refused, StoreFailed
from dispatcher.hub import Hub
from dispatcher.runner.port import Runner
from dispatcher.store.port import Batch, Restored, Store

BATCH = 512  # messages in one transaction at most
INBOX = 100_000  # requests that may wait; more are refused
RETRY = 1.0  # seconds until facts are tried again after the store has failed

_log = logging.getLogger("dispatcher.engine")


class QueueStatus(Value, frozen=True):
    """A queue's rules and how it stands; `is_held` as long as no queue starts a job at all."""

    queue: Queue
    is_paused: bool
    running: int
    pending: int
    is_held: bool = False


class Engine:
    """Bring messages to the machine and effects to the store, the hub and the workers.

    `restored` is what the store holds; `queues` are the rules; the clock gives wall time.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        runner: Runner,
        queues: Sequence[Queue],
        restored: Restored,
        *,
        boot_id: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hub = hub
        self._runner = runner
        self._clock = clock
        self._boot_id = boot_id
        self._machine = self._load(restored, queues, restored.generation * NUMBERS_PER_START)
        self._is_stale = False
        self._hold = self._machine.hold  # as last saved and answered
        self.settled = trio.Event()  # when it is known of all jobs from before what became of them
        self._inbox: deque[Waiting | Posted] = deque()
        self._arrived = trio.Event()

    # --- the door ---------------------------------------------------------------------------

    async def execute(self, request: m.Request) -> m.Reply:
        """Apply one request; return when its changes are saved and told.

        Cancelling the wait does not undo the request. Raises DispatcherError and changes
        nothing if the request is not possible now.
        """
        (answer,) = await self.execute_all([request])
        if isinstance(answer, DispatcherError):
            raise answer
        return answer

    async def execute_all(self, requests: Sequence[m.Request]) -> list[m.Reply | DispatcherError]:
        """Apply requests in order, saved together as far as they fit; one answer for each."""
        if len(self._inbox) + len(requests) > INBOX:
            raise Refused(f"{len(self._inbox)} requests are waiting already; try again in a moment")
        entries = [Waiting(request) for request in requests]
        self._inbox.extend(entries)
        self._arrived.set()
        for entry in entries:
            await entry.answered.wait()
        return [entry.error or entry.reply for entry in entries]

    def post(self, fact: m.Fact, saved: Callable[[], None] | None = None) -> None:
        """Bring a fact; `saved` is called when it is on disk. Facts are never refused."""
        self._inbox.append(Posted(fact, saved))
        self._arrived.set()

    @property
    def queues(self) -> list[QueueStatus]:
        """How each queue stands now."""
        return [
            QueueStatus(line.queue, line.is_paused, len(line.running), line.pending, self._hold is not None)
            for line in self._machine.lines.values()
        ]

    @property
    def changed(self) -> int:
        """The number of the newest event."""
        return self._machine.changed

    @property
    def newest(self) -> int:
        """The highest number that a job has."""
        return self._machine.next_number - 1

    # --- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Work through the inbox until cancelled; a batch that has begun is always finished.

        Raises StoreFailed only if the very first save is not possible.
        """
        with trio.CancelScope(shield=True):
            await self._begin(self._machine.lose_own(self._clock()))
        while True:
            if not self._inbox:
                self._arrived = trio.Event()
                await self._arrived.wait()
            # A cancelled wait between "saved" and "told" would leave the machine ahead of the
            # disk, or clients without the news: the batch is one whole.
            with trio.CancelScope(shield=True):
                is_saved = await self._batch()
            await trio.sleep(0 if is_saved else RETRY)

    async def _begin(self, first: Sequence[m.Effect] = ()) -> None:
        """Settle what a worker may have, and start what may start."""
        self._runner.adopt(self._machine.unsettled())
        work = Work()
        work.add(first, None)
        work.add(self._machine.start_all(self._clock()), None)
        await self._carry_out(work)
        if not self._machine.unknown:
            self.settled.set()

    async def _batch(self) -> bool:
        """Handle what has gathered; False if the store failed, and all is as it was before."""
        batch = [self._inbox.popleft() for _ in range(min(BATCH, len(self._inbox)))]
        work = Work()
        try:
            if self._is_stale:
                await self._start_over()
            wanted = {target for entry in batch for target in self._machine.needs(entry.message)}
            found = await self._store.find(list(wanted)) if wanted else {}
            for index, entry in enumerate(batch):
                # What was looked up is true only until this batch changes it, so the rest waits.
                needed = set(self._machine.needs(entry.message))
                if needed and (not needed <= wanted or needed & work.touched):
                    self._inbox.extendleft(reversed(batch[index:]))
                    del batch[index:]
                    break
                self._handle(entry, found, work)
            await self._carry_out(work)
        except StoreFailed as failure:
            self._give_back(batch, failure)
            return False
        self._hold = self._machine.hold
        if not self._machine.unknown:
            self.settled.set()
        return True

    def _handle(self, entry: Waiting | Posted, found: Mapping[int | str, Job], work: Work) -> None:
        try:
            effects = self._machine.handle(entry.message, found)
        except DispatcherError as error:
            if not isinstance(entry, Waiting):
                raise
            entry.error = error
            effects = []
        work.add(effects, entry)

    async def _carry_out(self, work: Work) -> None:
        """Save; then start and stop, and acknowledge facts; then tell; then answer."""
        if work.changes_disk:
            machine = self._machine
            batch = Batch(tuple(work.saves.values()), work.paused, machine.next_number, machine.changed)
            loaded = await self._store.commit(batch, work.loads)
            for (queue, _, _), jobs in zip(reversed(work.loads), reversed(loaded), strict=True):
                # In front: what was read is true only until the next message.
                self._inbox.appendleft(Posted(m.Loaded(queue, jobs, self._clock()), None))
        for effect in work.runs:
            self._run_effect(effect)
        for entry in work.done:
            if isinstance(entry, Posted) and entry.saved is not None:
                entry.saved()
        self._runner.flush()
        for job in work.tells:
            self._hub.tell(job)
        for entry in work.done:
            if isinstance(entry, Waiting):
                entry.answered.set()

    def _run_effect(self, effect: m.Effect) -> None:
        match effect:
            case m.Start(job=job):
                self._runner.start(job)
            case m.Withdraw(job=number, worker=worker):
                self._runner.withdraw(number, worker)
            case m.StopJob(job=number, worker=worker, grace=grace):
                self._runner.stop(number, worker, grace)
            case m.Fork(worker=worker):
                self._runner.fork(worker)
            case m.EndWorker(worker=worker):
                self._runner.end(worker)
            case _:
                raise AssertionError(effect)

    # --- when the store fails ---------------------------------------------------------------

    def _give_back(self, batch: Sequence[Waiting | Posted], failure: StoreFailed) -> None:
        """Refuse the requests of a batch that could not be saved; keep its facts for later.

        The machine is ahead of the disk now, so it is thrown away before anything else is done.
        """
        _log.error("%s", failure.sentence)
        self._is_stale = True
        for entry in reversed(batch):
            if isinstance(entry, Waiting):
                entry.error = entry.error or failure
                entry.answered.set()
            elif not isinstance(entry.message, m.Loaded | m.WorkerReported):  # both come anew
                self._inbox.appendleft(entry)

    async def _start_over(self) -> None:
        """Load the machine from the store, which is what is true."""
        before = self._machine
        queues = [line.queue for line in before.lines.values() if not line.is_closed]
        restored = await self._store.restore(HEADS, count_start=False)
        self._machine = self._load(restored, queues, before.next_serial)
        self._machine.hold = self._hold
        await self._begin()
        self._is_stale = False

    def _load(self, restored: Restored, queues: Sequence[Queue], next_serial: int) -> Machine:
        return Machine(
            queues,
            boot_id=self._boot_id,
            next_serial=next_serial,
            next_number=restored.next_number,
            changed=restored.changed,
            active=restored.active,
            heads=restored.heads,
            waiting=restored.waiting,
            paused=restored.paused,
        )
