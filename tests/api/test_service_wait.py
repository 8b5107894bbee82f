"""Waiting for the end of a job, over what is read late and what was told early."""

import time

import trio
import trio.testing

from dispatcher.access.roles import Caller, Level
from dispatcher.api.service import JobRequest, Service
from dispatcher.config import load
from dispatcher.core import messages as m
from dispatcher.core.model import Finished, Outcome
from dispatcher.core.schedule import HEADS
from dispatcher.engine import Engine
from dispatcher.hub import Hub
from dispatcher.logs.news import LogNews
from dispatcher.runner.fake import FakeRunner
from dispatcher.store.memory import MemoryStore

ROOT = Caller("root", Level.FULL)


class LateStore(MemoryStore):
    """A store whose answers are as old as its question when they arrive."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.late_at = 0
        self.is_asked = trio.Event()
        self.may_answer = trio.Event()

    async def newest(self, target):
        found = await super().newest(target)
        self.asked += 1
        if self.asked == self.late_at:
            self.is_asked.set()
            await self.may_answer.wait()
        return found


async def test_an_end_that_is_told_while_an_older_state_is_read_is_not_missed(nursery):
    store, hub, runner = LateStore(), Hub(), FakeRunner()
    settings = load(None)
    engine = Engine(store, hub, runner, settings.queues, await store.restore(HEADS), boot_id="b")
    runner.report_to(engine.post)
    service = Service(
        engine, store, hub, LogNews(), settings=lambda: settings, reload=trio.sleep_forever, clock=time.time
    )
    nursery.start_soon(engine.run)
    [submitted] = await service.submit(ROOT, [JobRequest(commands=("true",))])
    assert isinstance(submitted, m.Submitted)
    number = submitted.job.number
    ended = []

    async def wait():
        ended.append(await service.wait(ROOT, number))

    store.late_at = store.asked + 2  # the look at what happened before the waiter watched
    with trio.fail_after(5):
        async with trio.open_nursery() as waiting:
            waiting.start_soon(wait)
            await store.is_asked.wait()
            runner.finish(number)
            while (await store.changed_since(0, 10)).jobs[-1].changed < 3:
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            store.may_answer.set()

    assert isinstance(ended[0].phase, Finished)
    assert ended[0].phase.outcome is Outcome.SUCCESS
