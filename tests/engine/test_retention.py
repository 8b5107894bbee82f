"""Finished jobs and their logs go after `keep_days`; nothing else does, and no trouble ends it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace
from trio.testing import wait_all_tasks_blocked

from dispatcher.core.model import Job, Pending
from dispatcher.errors import StoreFailed
from dispatcher.logs.reading import log_path
from dispatcher.retention import AT_ONCE, EVERY, forget_old_jobs
from dispatcher.settings import Limits, Settings
from dispatcher.store.memory import MemoryStore
from dispatcher.store.port import JobFilter
from tests.adapters.sample_jobs import batch, finished, job, numbers, running

DAY = 86400.0
NOW = 1_000 * DAY
OLD, YOUNG = NOW - 3.01 * DAY, NOW - 2.99 * DAY


class Watched(MemoryStore):
    """Says when there was nothing left to forget, or that it failed."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.looked = trio.Event()

    async def forget(self, finished_before: float, limit: int) -> tuple[int, ...]:
        if self.fails:
            self.looked.set()
            raise StoreFailed("cannot save: the disk is full")
        found = await super().forget(finished_before, limit)
        if not found:
            self.looked.set()
        return found

    async def wait(self) -> None:
        await self.looked.wait()
        self.looked = trio.Event()
        await wait_all_tasks_blocked()  # it sleeps now, until a test moves the clock


class House:
    """A store, a folder of logs, and the settings in force."""

    def __init__(self, folder: Path) -> None:
        self.store = Watched()
        self.log_dir = folder
        self.wall = NOW
        self.keep_days = 3.0

    def settings(self) -> Settings:
        at = Path("/nowhere")
        return Settings(None, at, self.log_dir, at, (), limits=Limits(keep_days=self.keep_days))

    async def add(self, *jobs: Job) -> None:
        await self.store.commit(batch(*jobs, next_number=max(numbers(jobs)) + 1))
        for one in jobs:
            path = log_path(self.log_dir, one.number)
            path.parent.mkdir(exist_ok=True)
            path.write_text("output")

    async def kept(self) -> list[int]:
        return sorted(numbers((await self.store.page(JobFilter(), 0, 10_000)).jobs))

    def logs(self) -> list[int]:
        return sorted(int(path.stem) for path in self.log_dir.glob("*/*.log"))

    @contextlib.asynccontextmanager
    async def forgetting(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forget_old_jobs, self.store, self.settings, lambda: self.wall)
            await self.store.wait()
            yield
            nursery.cancel_scope.cancel()


@pytest.fixture
def house(tmp_path, mock_clock) -> House:
    """On a clock that only the test moves: it never fires while threads and files are at work."""
    return House(tmp_path)


async def test_old_jobs_go_with_their_logs_and_young_and_live_ones_stay(house):
    ancient = [replace(job(4, Pending()), submitted_at=1.0), replace(job(5, running()), submitted_at=1.0)]
    await house.add(job(1, finished(OLD)), job(2, finished(YOUNG)), job(1003, finished(OLD)), *ancient)

    async with house.forgetting():
        assert await house.kept() == [2, 4, 5]
        assert house.logs() == [2, 4, 5]


async def test_a_job_without_a_log_goes_like_any_other(house):
    await house.add(job(1, finished(OLD)), job(2, finished(OLD)))
    log_path(house.log_dir, 1).unlink()

    async with house.forgetting():
        assert (await house.kept(), house.logs()) == ([], [])


async def test_it_looks_again_every_hour_by_the_settings_in_force_then(house, mock_clock):
    await house.add(job(1, finished(YOUNG)), job(2, finished(NOW - 0.9 * DAY)))

    async with house.forgetting():
        first = await house.kept()
        house.wall += 3600
        mock_clock.jump(EVERY)
        await house.store.wait()
        second = await house.kept()
        house.keep_days = 0.5
        mock_clock.jump(EVERY)
        await house.store.wait()

        assert (first, second, await house.kept(), house.logs()) == ([1, 2], [2], [], [])


async def test_as_many_as_there_are_go_in_one_look(house):
    await house.add(*(job(number, finished(OLD)) for number in range(1, 2 * AT_ONCE + 2)))

    async with house.forgetting():
        assert (await house.kept(), house.logs()) == ([], [])


async def test_a_store_that_fails_is_tried_again_an_hour_later(house, mock_clock, caplog):
    await house.add(job(1, finished(OLD)))
    house.store.fails = True

    async with house.forgetting():
        failed = await house.kept(), house.logs()
        house.store.fails = False
        mock_clock.jump(EVERY)
        await house.store.wait()

        assert (failed, await house.kept(), house.logs()) == (([1], [1]), [], [])
        assert "the disk is full" in caplog.text


async def test_a_log_that_cannot_be_removed_stops_neither_the_others_nor_the_daemon(house, caplog):
    await house.add(job(1, finished(OLD)), job(2, finished(OLD)), job(3, finished(OLD)))
    stuck = log_path(house.log_dir, 2)
    stuck.unlink()
    stuck.mkdir()

    async with house.forgetting():
        assert (await house.kept(), house.logs()) == ([], [2])
        assert f"cannot remove {stuck}" in caplog.text
