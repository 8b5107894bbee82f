"""Databases that are old, newer, foreign or broken: each is upgraded or refused with a sentence."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dispatcher.core.model import Outcome
from dispatcher.errors import StoreFailed
from dispatcher.store import database
from dispatcher.store.job_query import JobQuery
from dispatcher.store.port import JobFilter
from dispatcher.store.sqlite import open_store
from tests.adapters.sample_jobs import batch, every_kind, job

NEWEST = max(int(file.stem) for file in database.SCHEMA.glob("*.sql"))
OLD = Path(__file__).parent.parent / "data" / "store" / "jobs-v1.db"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@pytest.fixture
async def store(path):
    store = await open_store(path)
    yield store
    await store.aclose()


async def test_a_file_of_the_first_version_is_read_as_it_was_written(path):
    shutil.copy(OLD, path)

    store = await open_store(path)
    restored = await store.restore(5)
    everything = await store.page(JobFilter(), 0, 10)
    changes = await store.changed_since(0, 10)
    await store.aclose()

    assert restored.installation == "1b0c7f0e-2f5d-4f0a-9d53-6a1d6f2f0c11"
    assert (restored.generation, restored.next_number, restored.changed) == (2, 8, 16)
    assert restored.paused == {"pkg_queue"}
    assert {one.number: one for one in everything.jobs} == {one.number: one for one in every_kind()}
    assert (changes.first_kept, changes.jobs) == (11, every_kind())


async def test_a_file_of_the_first_version_has_the_schema_of_a_new_one_when_opened(path):
    shutil.copy(OLD, path)
    new = path.with_name("new.db")

    def schema(file: Path) -> list[tuple[str, ...]]:
        with closing(database.open_writer(file)) as connection:
            return connection.execute(
                "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY 1, 2"
            ).fetchall()

    assert schema(path) == schema(new)


async def test_jobs_of_the_first_version_are_found_by_what_the_second_one_added(path):
    shutil.copy(OLD, path)
    store = await open_store(path)

    methods = await store.methods()
    not_called = await store.search(JobQuery(methods=frozenset([""])), None, 10)
    lost = await store.search(JobQuery(live=frozenset(), outcomes=frozenset([Outcome.LOST])), None, 10)
    await store.commit(batch(job(9, method="catalog.sync_all"), next_number=10))
    called = await store.search(JobQuery(methods=frozenset(["catalog.sync_all"])), None, 10)
    await store.aclose()

    assert methods == ()
    assert [one.number for one in not_called.entries] == [1, 2, 3, 4, 5, 6]
    assert [one.number for one in lost.entries] == [5]
    assert [(one.number, one.method) for one in called.entries] == [(9, "catalog.sync_all")]


def later_schema(folder: Path, script: str) -> Path:
    shutil.copytree(database.SCHEMA, folder)
    (folder / f"{NEWEST + 1:04}.sql").write_text(script)
    return folder


def test_an_old_file_is_upgraded_by_the_numbered_scripts_it_lacks(path, tmp_path):
    shutil.copy(OLD, path)
    later = later_schema(
        tmp_path / "schema", "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    )

    with closing(database.open_writer(path, later)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)
        assert connection.execute("SELECT count(*), sum(priority) FROM job").fetchone() == (6, 0)
    with closing(database.open_writer(path, later)) as again:
        assert again.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)


def test_an_upgrade_that_fails_changes_nothing(path, tmp_path):
    shutil.copy(OLD, path)
    later = later_schema(tmp_path / "schema", "DELETE FROM job; ALTER TABLE absent ADD COLUMN x;")

    with pytest.raises(StoreFailed, match="no such table: absent"):
        database.open_writer(path, later)

    with closing(database.open_writer(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST,)
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (6,)


async def test_a_file_of_a_newer_dispatcher_is_refused(path):
    shutil.copy(OLD, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(
        StoreFailed, match=rf"a newer dispatcher wrote it \(schema 99, this one knows {NEWEST}\)"
    ):
        await open_store(path)


async def test_another_programs_database_is_refused_and_left_as_it_was(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE job (name)")
    before = path.read_bytes()

    with pytest.raises(StoreFailed, match="it is another program's database; move it away"):
        await open_store(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"These are my notes. " * 400, b"\0" * 5000])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path, content):
    path.write_bytes(content)

    with pytest.raises(StoreFailed, match=r"cannot open .*jobs\.db: .*; move it away"):
        await open_store(path)

    assert path.read_bytes() == content


async def test_a_place_where_no_file_can_be_is_named(tmp_path):
    with pytest.raises(StoreFailed, match=r"cannot open .*Is a directory"):
        await open_store(tmp_path)
    with pytest.raises(StoreFailed, match=r"cannot open .*No such file or directory.*; check the disk"):
        await open_store(tmp_path / "nowhere" / "jobs.db")


async def test_a_damaged_file_is_refused_with_a_sentence(path):
    store = await open_store(path)
    await store.commit(batch(*(job(number) for number in range(1, 500)), next_number=500))
    await store.aclose()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    with pytest.raises(StoreFailed, match=r"malformed; stop the dispatcher and bring back a saved copy"):
        await open_store(path)


async def test_a_record_that_no_longer_reads_is_a_sentence(store):
    await store.commit(batch(job(1), next_number=2))
    store._writer.connection.execute('UPDATE job SET progress = \'{"phase":{"type":"resting"}}\'')

    with pytest.raises(StoreFailed, match=r"cannot read .*resting"):
        await store.find([1])
