"""What only SQLite can show: its files, its durability, and what it does when the disk does not help."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from dispatcher.errors import StoreFailed
from dispatcher.store.port import JobFilter
from dispatcher.store.sqlite import open_store
from tests.adapters.sample_jobs import batch, finished, job


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
async def store(path):
    store = await open_store(path)
    yield store
    await store.aclose()


async def test_only_the_daemon_may_read_its_files(path):
    before = os.umask(0)
    try:
        store = await open_store(path)
        await store.commit(batch(job(1), next_number=2))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    await store.aclose()

    assert modes == {"jobs.db": 0o600, "jobs.db-wal": 0o600, "jobs.db-shm": 0o600}


async def test_a_commit_is_synced_through_a_write_ahead_log(store):
    pragma = {
        name: store._writer.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }

    assert pragma == {"journal_mode": "wal", "synchronous": 2}


async def test_closing_leaves_one_file(path):
    store = await open_store(path)
    await store.commit(batch(job(1), next_number=2))
    await store.aclose()

    assert [file.name for file in path.parent.iterdir()] == ["jobs.db"]


async def test_a_forgotten_job_leaves_no_row_behind(store):
    await store.commit(batch(job(1, finished(5.0)), next_number=2))
    await store.forget(6.0, 10)

    count = "SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM submission)"
    assert store._writer.connection.execute(count).fetchone() == (0, 0)


async def test_a_closed_store_says_so(path):
    store = await open_store(path)
    await store.aclose()

    for call in (store.find([1]), store.commit(batch(job(1))), store.restore(1)):
        with pytest.raises(StoreFailed, match="closed database"):
            await call


# --- durability ------------------------------------------------------------------------------

SUBMITTER = """
import sys, trio
from pathlib import Path
from dispatcher.store.sqlite import open_store
from tests.adapters.sample_jobs import batch, finished, job, running

async def main():
    store = await open_store(Path(sys.argv[1]))
    for number in range(1, 1_000_000):
        before = [job(number - 1, finished())] if number > 1 else []
        await store.commit(batch(*before, job(number, running()), next_number=number + 1, changed=number))
        print(number, flush=True)

trio.run(main)
"""


def submit_until_killed(path: Path) -> int:
    """Let a child save jobs one after another, kill it, and return the last number it got acknowledged."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SUBMITTER, str(path)]
    child = subprocess.Popen(command, cwd=root, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child, child.stdout as answers:
        for _ in range(100):
            answers.readline()
        child.send_signal(signal.SIGKILL)
        return 100 + answers.read().count(b"\n")


async def test_what_was_saved_survives_kill_9_in_the_middle_of_commits(path):
    acknowledged = await trio.to_thread.run_sync(submit_until_killed, path)

    store = await open_store(path)
    restored = await store.restore(1)
    (last,) = restored.active
    listed = await store.page(JobFilter(live=False), 0, 1)
    await store.aclose()

    assert last.number - acknowledged in (0, 1)
    assert (restored.next_number, restored.changed) == (last.number + 1, last.number)
    assert listed.total == last.number - 1
    assert listed.jobs[0].number == last.number - 1


async def test_no_reader_is_held_after_an_await(path, store):
    for number in range(1, 20):
        await store.commit(batch(job(number), next_number=number + 1, changed=number))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.page, JobFilter(), 0, 5)
            nursery.start_soon(store.find, [number, "key-1"])
            nursery.start_soon(store.changed_since, 0, 3)
            nursery.start_soon(store.newest, "nobody")
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.page(JobFilter(), 0, 5)
    with pytest.raises(StoreFailed):
        await store._read(lambda connection: connection.execute("SELECT nonsense"))

    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA busy_timeout = 0")
        is_busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert is_busy == 0
    assert len(store._idle) == 3


async def test_a_full_disk_fails_the_batch_and_the_store_works_again_when_there_is_room(path, store):
    await store.commit(batch(job(1), next_number=2, changed=1))
    pages = store._writer.connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer.connection.execute(f"PRAGMA max_page_count = {pages}")
    jobs = [job(number) for number in range(2, 1000)]

    with pytest.raises(StoreFailed, match=rf"cannot save to {path}: database or disk is full; make room"):
        await store.commit(batch(*jobs, next_number=1000, changed=1000))

    assert (await store.page(JobFilter(), 0, 10)).total == 1
    assert (await store.restore(1, count_start=False)).next_number == 2
    store._writer.connection.execute("PRAGMA max_page_count = 1000000")
    await store.commit(batch(*jobs, next_number=1000, changed=1000))
    assert (await store.page(JobFilter(), 0, 10)).total == 999


async def test_text_that_is_no_text_fails_its_batch_with_a_sentence(store):
    with pytest.raises(StoreFailed, match=r"cannot save to .* surrogates not allowed"):
        await store.commit(batch(job(1), job(2, key="half a \ud83d"), next_number=3))

    assert await store.find([1, 2]) == {}


async def test_a_file_that_somebody_else_holds_is_named_after_a_while(path, store, monkeypatch):
    store._writer.connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="locked; end the other program that has the file open"):
            await store.commit(batch(job(1), next_number=2))

    await store.commit(batch(job(1), next_number=2))
