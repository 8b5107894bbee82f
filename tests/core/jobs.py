"""Ready-made submissions and a shorthand for the machine, for the tests of the core."""

from dispatcher.core import messages as m
from dispatcher.core.machine import Machine
from dispatcher.core.model import Command, CommandEnd, Queue, Submission

SERIAL = Queue("serial", concurrency=1, grace=5.0)
WIDE = Queue("wide", concurrency=3)


def submission(key, queue="serial", commands=("true",)):
    return Submission(queue=queue, commands=tuple(Command((c,), c) for c in commands), key=key, owner="root")


def machine(*queues, **state):
    return Machine(queues or (SERIAL, WIDE), boot_id="boot", **state)


def submit(live, key, queue="serial", commands=("true",), at=1.0):
    return live.handle(m.Submit(submission(key, queue, commands), at))


def kinds(effects):
    return [type(effect).__name__ for effect in effects]


def one(effects, kind):
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def started(effects):
    return one(effects, m.Start).job


def ended(code=0, at=2.0, seconds=1.0, log_end=0, **more):
    return CommandEnd(at=at, code=code, seconds=seconds, log_end=log_end, **more)


def run_to_end(live, job, outcome="success", at=2.0):
    """Feed the facts of a job that runs all its commands."""
    live.handle(m.Taken(job.number, job.worker, at))
    for index in range(len(job.commands)):
        live.handle(m.CommandStarted(job.number, job.worker, index, 100 + index, 0, at))
        live.handle(m.CommandEnded(job.number, job.worker, index, ended(at=at)))
    return live.handle(m.JobEnded(job.number, job.worker, outcome, at))
