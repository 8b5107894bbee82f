"""The supervisor's side of the workers: hand jobs over, bring facts back, settle what is unclear.

Workers outlive the supervisor and connect to it. What a dead worker leaves open is settled from
its journal; a worker that holds its lock is asked, never overruled.
"""

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import trio

from dispatcher.core import messages as m
from dispatcher.core.model import Job
from dispatcher.errors import StartupError
from dispatcher.logs.news import LogNews
from dispatcher.runner import wire_facts
from dispatcher.runner.orders import handover_of, not_started, returned, start_order, worker_of
from dispatcher.runner.pipes import Pipes
from dispatcher.runner.place import Place
from dispatcher.runner.settling import Settling
from dispatcher.runner.spawning import Spawning
from dispatcher.runner.worker_link import WorkerLink, listen
from dispatcher.settings import Settings

WARM = 2  # idle workers that are kept
IDLE_LIMIT = 60.0  # seconds after which further idle workers go home
CONNECT_LIMIT = 10.0  # seconds that a new worker has to connect

_log = logging.getLogger("dispatcher.runner")

Post = Callable[[m.Fact, Callable[[], None] | None], None]


class Pool:
    """All workers of this state directory. The engine's runner. `pipes` takes those of jobs to come."""

    def __init__(self, place: Place, settings: Callable[[], Settings], news: LogNews) -> None:
        self.pipes = Pipes()
        self._place = place
        self._settings = settings
        self._news = news
        self._post: Post = _nowhere
        self._links: dict[int, WorkerLink] = {}
        self._unflushed: set[WorkerLink] = set()
        self._assigned: dict[int, dict[int, Job]] = {}
        self._fresh: dict[int, list[Job]] = {}  # forked and not yet connected: what waits for them
        self._dead: set[int] = set()  # settled, but the machine may not know it yet
        self._spawning = Spawning(place.state_dir, self._spawner_died)
        self._settling = Settling(place, settings, self._links.__contains__)
        self._nursery: trio.Nursery | None = None

    def report_to(self, post: Post) -> None:
        """Name the engine's door for facts, before anything runs."""
        self._post = post

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen for workers and keep a spawner, until cancelled. Workers with jobs go on after that."""
        try:
            self._place.spool.mkdir(mode=0o700, exist_ok=True)
            listener = listen(self._place.socket)
        except OSError as error:
            sentence = f"cannot make {self._place.spool} and {self._place.socket}: {error.strerror}"
            raise StartupError(f"{sentence}; state_dir must be writable for us") from error
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._spawning.run)
                nursery.start_soon(self._retire_idle)
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(listener)
                    self._accept(listener, nursery)
        finally:
            self.pipes.close()
            listener.close()  # never unlinked: the next supervisor may have bound the name already

    # --- what the engine asks ---------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Hand a saved job to its worker, forking it first if it is new."""
        worker = worker_of(job)
        self._assigned.setdefault(worker, {})[job.number] = job
        if worker in self._links:
            self._send_start(self._links[worker], job)
        elif worker in self._fresh:
            self._fresh[worker].append(job)
        elif worker in self._dead:
            self._post(returned(job), None)
        elif not self._settling.is_settling(worker):  # else the job is settled with its others
            self.fork(worker)
            self._fresh[worker].append(job)

    def withdraw(self, number: int, worker: int) -> None:
        """Ask a job back that a worker may not have taken yet."""
        if worker in self._links:
            self._put(self._links[worker], {"do": "withdraw", "job": number})

    def stop(self, number: int, worker: int, grace: float) -> None:
        """Have a worker stop a job; one that connects later is told when it does."""
        if worker in self._links:
            self._put(self._links[worker], {"do": "stop", "job": number, "grace": grace})
        else:
            self._settling.stop(worker)

    def end_input(self, number: int, key: str) -> None:
        """Let the commands of a job see the end of their input; its writer has closed its end of the pipe."""
        self.pipes.end_input(key)  # for an order that is still to be sent, now or after it came back
        for worker, link in self._links.items():
            if number in self._assigned.get(worker, {}):
                self._put(link, {"do": "end_input", "job": number})
                link.flush()

    def fork(self, worker: int) -> None:
        """Fork a worker; what is to be handed to it waits until it connects."""
        self._fresh[worker] = []
        self._spawning.fork(worker)
        self._in_background(self._expect, worker)

    def end(self, worker: int) -> None:
        """Send an idle worker home."""
        if worker in self._links:
            self._put(self._links[worker], {"do": "exit"})

    def flush(self) -> None:
        """Send what was gathered for each worker in one piece: every send wakes its worker up."""
        for link in self._unflushed:
            link.flush()
        self._unflushed.clear()

    def adopt(self, jobs: Sequence[Job]) -> None:
        """Settle jobs that a worker has or may have: ask the living, read the journals of the dead."""
        self._assigned.clear()
        for job in jobs:
            self._assigned.setdefault(worker_of(job), {})[job.number] = job
        for link in self._links.values():
            self._report(link)
        for worker in self._assigned:
            if worker not in self._links and worker not in self._fresh:
                self._settle(worker)

    # --- connections ------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            _log.error("cannot accept a worker: %s", error)
            return
        nursery.start_soon(self._serve, WorkerLink(connection))

    async def _serve(self, link: WorkerLink) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.push_on)
                async for lines in link.pieces():
                    self._take(link, lines)
                    self.flush()
                nursery.cancel_scope.cancel()
        finally:
            link.close()
        if self._links.get(link.worker) is link:
            del self._links[link.worker]
            self._settle(link.worker)

    def _take(self, link: WorkerLink, lines: Sequence[bytes]) -> None:
        """Take lines that came together; the last fact among them is acknowledged for all."""
        said = wire_facts.read(lines, link.worker, link.complain)
        if said.hello is not None:
            self._greet(link, said.hello.hello or 0, said.hello.jobs)
        for number, length in said.lengths:
            self._news.grew(number, length)
        facts, newest = said.facts, said.newest
        self.pipes.follow(facts, self._assigned.get(link.worker, {}))
        for fact in facts:
            if isinstance(fact, m.JobEnded | m.JobReturned) and self._has_left(fact, link.worker):
                # Now, not when it is saved: by then a job that came back may be here again.
                link.known.discard(fact.job)
                self._assigned.get(link.worker, {}).pop(fact.job, None)
                self._news.ended(fact.job)
        for fact in facts[:-1]:
            self._post(fact, None)
        if facts:
            self._post(facts[-1], (lambda: self._saved(link, newest)) if newest else None)
        elif newest:
            self._put(link, {"do": "ack", "seq": newest})
        link.last_busy = trio.current_time()

    def _has_left(self, fact: m.JobEnded | m.JobReturned, worker: int) -> bool:
        job = self._assigned.get(worker, {}).get(fact.job)
        # Told again after a crash, it may speak of an earlier hand-over of a job that is there now.
        return isinstance(fact, m.JobEnded) or job is None or handover_of(job) == fact.handover

    def _put(self, link: WorkerLink, message: Mapping[str, object]) -> None:
        link.put(message)
        self._unflushed.add(link)

    def _saved(self, link: WorkerLink, newest: int) -> None:
        self._put(link, {"do": "ack", "seq": newest})
        # One that died meanwhile must not be called free: it would get the next job.
        if link.is_late and not link.known and self._links.get(link.worker) is link:
            link.is_late = False  # what it ended may be unknown to the machine, that it is free must not be
            self._report(link)

    def _greet(self, link: WorkerLink, worker: int, jobs: Sequence[int]) -> None:
        link.worker = worker
        link.known = set(jobs)
        link.is_late = bool(jobs)
        waiting = self._fresh.pop(worker, None)
        if waiting is None and not jobs and not self._assigned.get(worker):
            self._put(link, {"do": "exit"})  # forked for an earlier supervisor: nobody counts on it
            return
        self._links[worker] = link
        self._settling.came_back(worker)
        for job in waiting or ():
            self._send_start(link, job)
        self._report(link)

    def _report(self, link: WorkerLink) -> None:
        assigned = self._assigned.get(link.worker, {})
        missing = [job for number, job in assigned.items() if number not in link.known]
        for job in missing:
            del assigned[job.number]
        pairs = tuple((job.number, handover_of(job)) for job in missing)
        known = tuple(sorted(link.known))
        self._post(m.WorkerReported(link.worker, known, pairs, time.time()), None)

    def _send_start(self, link: WorkerLink, job: Job) -> None:
        try:
            ends = self.pipes.ends(job)
            order = start_order(job, self._settings(), self._place, ends)
            link.put(order, tuple(ends.named.values()))
        except (LookupError, OSError) as error:
            self._assigned.get(link.worker, {}).pop(job.number, None)
            for fact in not_started(job, str(error)):
                self._post(fact, None)
            return
        link.known.add(job.number)
        link.last_busy = trio.current_time()
        self._unflushed.add(link)

    # --- workers that are not there -----------------------------------------------------------

    async def _expect(self, worker: int) -> None:
        """Give a new worker time to connect; without it, what was meant for it starts elsewhere."""
        with trio.move_on_after(CONNECT_LIMIT):
            await self._settling.wait_until_back(worker)
            return
        self._give_up(worker)

    def _give_up(self, worker: int) -> None:
        if self._fresh.pop(worker, None) is not None:
            _log.error("worker %d did not come up", worker)
            self._settle(worker)

    def _spawner_died(self) -> None:
        for worker in list(self._fresh):
            self._give_up(worker)

    def _settle(self, worker: int) -> None:
        if self._settling.begin(worker):
            self._in_background(self._settle_now, worker)

    async def _settle_now(self, worker: int) -> None:
        facts = await self._settling.settle(worker, lambda: self._assigned.get(worker, {}), self._post)
        if facts is None:
            return  # it is back, and speaks for itself
        self.pipes.follow(facts, self._assigned.pop(worker, {}))
        self._dead.add(worker)
        self._post(m.WorkerGone(worker), lambda: self._dead.discard(worker))
        for fact in facts:
            self._post(fact, None)
            if isinstance(fact, m.JobEnded | m.JobLost | m.JobReturned):
                self._news.ended(fact.job)
        self._post(m.WorkerGone(worker), lambda: self._place.journal(worker).unlink(missing_ok=True))

    async def _retire_idle(self) -> None:
        while True:
            await trio.sleep(IDLE_LIMIT / 4)
            idle = [link for link in self._links.values() if not link.known]
            idle.sort(key=lambda link: link.last_busy)
            for link in idle[: max(0, len(idle) - WARM)]:
                if trio.current_time() - link.last_busy > IDLE_LIMIT:
                    self._post(m.WorkerRested(link.worker), None)

    def _in_background(self, task: Callable[[int], object], worker: int) -> None:
        if self._nursery is None:
            raise RuntimeError("the pool is not running")
        self._nursery.start_soon(task, worker)  # type: ignore[arg-type]


def _nowhere(fact: m.Fact, _saved: Callable[[], None] | None) -> None:
    raise RuntimeError(f"nobody to tell of {fact}")
