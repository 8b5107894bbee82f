"""Whatever happens in whatever order: nothing is lost, nothing runs twice or too early, limits hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core import messages as m
from dispatcher.core import schedule
from dispatcher.core.model import Finished, Outcome, Pending, Queue, Running
from dispatcher.core.recovery import verdict
from dispatcher.errors import Refused
from tests.core.jobs import machine, submission

QUEUES = (Queue("serial", concurrency=1), Queue("wide", concurrency=2))


class World:
    """The machine, a disk that keeps what it saves, and workers that do as they are told."""

    def __init__(self):
        self.live = machine(*QUEUES)
        self.disk = {}
        self.paused = set()
        self.workers = {}  # worker -> jobs received, the first may be taken
        self.flying = {}  # worker -> orders that it has not read yet
        self.refusing = set()  # workers that gave jobs back: what was sent ahead before comes back, too
        self.taken = []  # every job that a worker ever took
        self.told = 0
        self.time = 0.0
        self.stops = set()

    def handle(self, message):
        self.time += 0.001
        found = {}
        for target in self.live.needs(message):
            for job in self.disk.values():
                is_key = job.key == target and not isinstance(job.phase, Finished)
                if is_key or job.number == target:
                    found[target] = job
        self.carry_out(self.live.handle(message, found))

    def carry_out(self, effects):
        loads = []
        for effect in effects:
            match effect:
                case m.Save(job=job):
                    self.disk[job.number] = job
                case m.SavePaused(queue=queue, paused=paused):
                    (self.paused.add if paused else self.paused.discard)(queue)
                case m.Tell(job=job):
                    assert job.changed == self.told + 1
                    self.told = job.changed
                case m.Start(job=job):
                    assert self.disk[job.number] == job, "started before it was saved"
                    self.workers.setdefault(job.worker, [])
                    self.flying.setdefault(job.worker, []).append(effect)
                case m.Withdraw(worker=worker):
                    self.flying.setdefault(worker, []).append(effect)
                case m.StopJob(job=number):
                    self.stops.add(number)
                case m.Load():
                    loads.append(effect)
        for load in loads:
            waiting = [j for n, j in sorted(self.disk.items()) if n > load.after and j.queue == load.queue]
            jobs = tuple(j for j in waiting if isinstance(j.phase, Pending) and j.worker is None)
            self.handle(m.Loaded(load.queue, jobs[: load.count], self.time))

    # --- what may happen ----------------------------------------------------------------------

    def submit(self, pick):
        key, queue = f"k{pick % 40}", QUEUES[pick % 2].name
        try:
            self.handle(m.Submit(submission(key, queue), self.time))
        except Refused:
            assert any(j.key == key and not isinstance(j.phase, Finished) for j in self.disk.values())

    def kill(self, pick):
        self.handle(m.Kill(pick % (len(self.disk) + 1), "alice", self.time))

    def pause(self, pick):
        self.handle(m.Pause(QUEUES[pick % 2].name))

    def resume(self, pick):
        self.handle(m.Resume(QUEUES[pick % 2].name, self.time))

    def take(self, pick):
        busy = [worker for worker, jobs in self.workers.items() if jobs and jobs[0] not in self.taken]
        if busy:
            worker = busy[pick % len(busy)]
            number = self.workers[worker][0]
            self.taken.append(number)
            self.handle(m.Taken(number, worker, self.time))

    def end(self, pick):
        busy = [worker for worker, jobs in self.workers.items() if jobs and jobs[0] in self.taken]
        if busy:
            worker = busy[pick % len(busy)]
            number = self.workers[worker].pop(0)
            outcome = Outcome.KILLED if number in self.stops else Outcome.SUCCESS
            fact = m.JobEnded(number, worker, outcome, self.time)
            self.handle(fact)
            if pick % 3 == 0:
                self.handle(fact)  # facts may come again

    def read(self, pick):
        """A worker reads the next order."""
        waited_for = [worker for worker, orders in self.flying.items() if orders]
        if not waited_for:
            return
        worker = waited_for[pick % len(waited_for)]
        match self.flying[worker].pop(0):
            case m.Start(job=job):
                is_ahead = isinstance(job.phase, Pending)
                if not is_ahead:
                    self.refusing.discard(worker)
                self.workers[worker].append(job.number)
                if is_ahead and worker in self.refusing:
                    self.return_last(worker)
            case m.Withdraw(job=number):
                if number in self.workers[worker] and number not in self.taken:
                    self.workers[worker].remove(number)
                    self.workers[worker].append(number)
                    self.return_last(worker)

    def give_back(self, pick):
        """What runs turns out to be long: all that lies ahead of it comes back, the last first."""
        ahead = [worker for worker, jobs in self.workers.items() if len(jobs) > 1 and jobs[0] in self.taken]
        if ahead:
            worker = ahead[pick % len(ahead)]
            while len(self.workers[worker]) > 1:
                self.return_last(worker)

    def return_last(self, worker):
        self.refusing.add(worker)
        number = self.workers[worker].pop()
        job = self.disk[number]
        self.handle(m.JobReturned(number, worker, job.phase.handover, self.time))

    def die(self, pick):
        """A worker is killed; its jobs are settled by its journal."""
        if not self.workers:
            return
        worker = sorted(self.workers)[pick % len(self.workers)]
        self.workers.pop(worker)
        self.flying.pop(worker, None)
        jobs = [job for job in self.disk.values() if job.worker == worker]
        self.handle(m.WorkerGone(worker))
        for job in jobs:
            facts = [m.Taken(job.number, worker, self.time)] if job.number in self.taken else []
            for fact in verdict(job, facts, boot_id="boot", at=self.time, log_end=0):
                self.handle(fact)

    def restart(self, _pick):
        """The supervisor is killed; the machine is what the disk says, and workers report."""
        self.flying.clear()
        jobs = sorted(self.disk.values(), key=lambda job: job.number)
        live = [job for job in jobs if not isinstance(job.phase, Finished)]
        waiting = {q.name: [j for j in live if j.queue == q.name and j.worker is None] for q in QUEUES}
        self.live = machine(
            *QUEUES,
            next_serial=self.live.next_serial + 1000,
            next_number=max(self.disk, default=0) + 1,
            changed=self.told,
            active=[job for job in live if job.worker is not None],
            heads={name: jobs[: schedule.HEADS] for name, jobs in waiting.items()},
            waiting={name: len(jobs) for name, jobs in waiting.items()},
            paused=self.paused,
        )
        self.carry_out(self.live.start_all(self.time))
        for worker, known in list(self.workers.items()):
            missing = [j for j in self.disk.values() if j.worker == worker and j.number not in known]
            pairs = tuple((job.number, job.phase.handover) for job in missing)
            self.handle(m.WorkerReported(worker, tuple(known), pairs, self.time))

    def check(self):
        assert len(self.taken) == len(set(self.taken)), "a job ran twice"
        serial = [number for number in self.taken if self.disk[number].queue == "serial"]
        assert serial == sorted(serial), "a job was overtaken"
        for queue in QUEUES:
            running = [
                j for j in self.disk.values() if j.queue == queue.name and isinstance(j.phase, Running)
            ]
            assert len(running) <= queue.concurrency
        for number, job in self.live.jobs.items():
            assert self.disk[number] == job, "the machine knows what the disk does not"

    def drain(self):
        for queue in QUEUES:
            self.handle(m.Resume(queue.name, self.time))
        for _ in range(10_000):
            if not any(self.workers.values()) and not any(self.flying.values()):
                return
            self.read(0)
            self.take(0)
            self.end(1)
        raise AssertionError("it goes round and round")


# How often each is drawn: what lies ahead is only interesting if it grows between the disasters.
WEIGHTS = {"submit": 12, "read": 8, "take": 4, "end": 4, "give_back": 3, "resume": 2, "kill": 1, "pause": 1}
ACTIONS = [*(name for name, weight in WEIGHTS.items() for _ in range(weight)), "die", "restart"]


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), min_size=80, max_size=160))
@settings(max_examples=100, deadline=None)
def test_every_accepted_job_ends_once_and_none_runs_twice_or_is_overtaken(steps):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HEADS", 6), ("LOW", 2), ("AHEAD", 3), ("RECENT", 1), ("QUICK", 1000.0)):
            patch.setattr(schedule, name, value)
        world = World()
        for action, pick in steps:
            getattr(world, action)(pick)
            world.check()
        world.drain()
        world.check()

    assert all(isinstance(job.phase, Finished) for job in world.disk.values())
    assert world.live.jobs == {}
    assert world.live.keys == {}
    assert all(line.pending == 0 and not line.running for line in world.live.lines.values())
    for job in world.disk.values():
        if job.phase.outcome is Outcome.SUCCESS:
            assert job.number in world.taken
