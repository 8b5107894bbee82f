"""A queue in which 100,000 jobs wait: lists, submits, kills and starts cost what they cost in an empty one."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import trio

from dispatcher.core.model import Command, Job, Pending, Submission
from dispatcher.store.port import Batch
from dispatcher.store.sqlite import open_store
from tests.acceptance import counting_daemon
from tests.acceptance.daemon_clients import Rpc, SysAdm, until
from tests.daemon import Daemon, running

BACKLOG = 100_000
AT_ONCE = 10_000
QUEUE = "pkg_queue"
MIB = 1024 * 1024


def waiting(number: int) -> Job:
    command = Command(("pkg", "update", str(number)), f"pkg update {number}")
    submission = Submission(QUEUE, (command,), f"job-{number}", "admin", protocol="sysadm")
    return Job(number, submission, 1_000_000.0 + number, Pending(), changed=number)


async def fill(path: Path, jobs: int) -> None:
    """Write jobs into the store as the daemon would have, the queue being paused."""
    store = await open_store(path)
    try:
        await store.commit(Batch((), {QUEUE: True}, 1, 0))
        for first in range(1, jobs, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            batch = tuple(waiting(number) for number in numbers)
            await store.commit(Batch(batch, {}, numbers.stop, numbers.stop - 1))
    finally:
        await store.aclose()


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[int, Path]:
    """A database with nothing in it and one with the backlog, by the number of jobs; made once."""
    folder = tmp_path_factory.mktemp("stores")
    paths = {jobs: folder / f"{jobs}.db" for jobs in (0, BACKLOG)}
    for jobs, path in paths.items():
        trio.run(fill, path, jobs)
    return paths


@contextmanager
def daemon_on(
    store: Path, folder: Path, accounts: Path, program: tuple[str, ...] | None = None
) -> Iterator[Daemon]:
    folder.mkdir()
    daemon = Daemon(folder, accounts) if program is None else Daemon(folder, accounts, program=program)
    daemon.state_dir.mkdir(mode=0o700)
    (daemon.state_dir / "dispatcher.db").write_bytes(store.read_bytes())
    with running(daemon):
        yield daemon


@pytest.fixture
def daemon(stores, accounts_file, tmp_path) -> Iterator[Daemon]:
    """A daemon with the backlog."""
    with daemon_on(stores[BACKLOG], tmp_path / "d", accounts_file) as started:
        yield started


def test_100_000_pending_jobs_are_listed_in_pages(daemon):
    text = daemon.cli("list")
    with Rpc(daemon) as rpc, SysAdm(daemon) as sysadm:
        pages = [rpc.call("list", offset=offset, limit=3) for offset in (0, 50_000, 99_998, BACKLOG)]
        whole = sysadm.call(action="list")
        part = sysadm.call(action="list", queue=QUEUE, offset=99_990, limit=20)
        status = rpc.queue(QUEUE)
    several = daemon.cli("list", "--limit", "1200", "--offset", "700", "--json")

    assert len(text.stdout.splitlines()) == 101
    assert text.stderr == "100 of 100000 jobs; the next ones: --offset 100\n"
    assert [[job["number"] for job in page["jobs"]] for page in pages] == [
        [1, 2, 3],
        [50_001, 50_002, 50_003],
        [99_999, 100_000],
        [],
    ]
    assert {page["total"] for page in pages} == {BACKLOG}
    assert several.stdout.count('"number"') == 1200
    assert (status["paused"], status["running"], status["pending"]) == (True, 0, BACKLOG)
    assert whole["truncated"] == {QUEUE: BACKLOG}
    assert list(whole["jobs"][QUEUE]) == sorted(f"job-{number}" for number in range(1, 10_001))
    assert whole["jobs"][QUEUE]["job-10000"] == {
        "commands": ["pkg update 10000"],
        "queue_position": "9999",
        "state": "pending",
    }
    assert "truncated" not in part
    assert {job["queue_position"] for job in part["jobs"][QUEUE].values()} == {
        str(place) for place in range(99_990, BACKLOG)
    }


def work_of(store: Path, folder: Path, accounts: Path, monkeypatch) -> dict[str, counting_daemon.Counts]:
    """Tell what some calls cost the database of a daemon, and keep the statements of a submit."""
    folder.mkdir()
    monkeypatch.setenv(counting_daemon.VARIABLE, str(folder))
    program = (sys.executable, "-m", "tests.acceptance.counting_daemon")
    spent = {}
    with daemon_on(store, folder / "d", accounts, program) as daemon, Rpc(daemon) as rpc:

        def cost(name: str, method: str, **params: object) -> None:
            (folder / "statements").write_bytes(b"")
            before = counting_daemon.counts(folder)
            rpc.call(method, **params)
            after = counting_daemon.counts(folder)
            spent[name] = counting_daemon.Counts(after.steps - before.steps, after.rows - before.rows)

        cost("list", "list", limit=10)
        # The first of a kind also fills what SQLite knows of the schema.
        rpc.submit("pkg info")
        cost("submit", "submit", commands=["pkg info"], id="new")
        (folder / "submit").write_bytes((folder / "statements").read_bytes())
        cost("show", "show", job="new")
        cost("kill", "kill", job="new")
    return spent


def test_a_submit_reads_no_more_rows_with_100_000_pending_jobs_than_with_none(
    stores, accounts_file, tmp_path, monkeypatch
):
    none = work_of(stores[0], tmp_path / "none", accounts_file, monkeypatch)
    many = work_of(stores[BACKLOG], tmp_path / "many", accounts_file, monkeypatch)

    print(f"with none {none}\nwith {BACKLOG} {many}")
    assert none["submit"].steps > 0
    # Behind the horizon the key has to be looked up in its index: that is a few steps, and no row.
    assert many["submit"].rows == none["submit"].rows == 0
    assert many["submit"].steps - none["submit"].steps < 100
    assert many["show"] == none["show"]
    assert many["kill"].rows - none["kill"].rows <= 1
    assert many["kill"].steps - none["kill"].steps < 100
    assert many["list"].rows < 10 * 2 + 10
    assert many["list"].steps < 1000
    assert plans_that_read_all(tmp_path / "many" / "submit", stores[BACKLOG]) == {}


def plans_that_read_all(statements: Path, store: Path) -> dict[str, list[str]]:
    """Give the statements for which SQLite plans to read a whole table or index."""
    asked = {sql for sql in statements.read_text().split("\0") if sql and not sql.startswith("--")}
    assert sum("INSERT INTO job" in sql for sql in asked) == 1
    assert sum("job_live_key" in sql for sql in asked) == 1
    plans = {}
    with closing(sqlite3.connect(store)) as connection:
        for sql in asked - {"COMMIT", "ROLLBACK"}:
            if not sql.startswith("BEGIN"):
                lines = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql)]
                plans[sql] = [line for line in lines if "SCAN" in line or "TEMP" in line]
    # The table with the counters has one row.
    return {sql: lines for sql, lines in plans.items() if lines not in ([], ["SCAN meta"])}


def test_100_000_pending_jobs_take_no_memory(stores, accounts_file, tmp_path):
    used = {}
    for jobs, store in stores.items():
        with daemon_on(store, tmp_path / str(jobs), accounts_file) as daemon, Rpc(daemon) as rpc:
            for _ in range(20):
                rpc.submit("pkg info")
            assert rpc.call("list", limit=10)["total"] == jobs + 20
            used[jobs] = psutil.Process(daemon.pid).memory_info().rss

    print({jobs: f"{size / MIB:.1f} MiB" for jobs, size in used.items()})
    assert used[BACKLOG] - used[0] < 4 * MIB


def test_kills_resume_and_pause_are_exact_in_a_backlog_of_100_000(daemon):
    ran = daemon.folder / "ran"
    daemon.script("pkg", f'echo "$2" >> "{ran}"')
    killed = [1, 300, 600, 50_000, 70_000, 100_000]  # of the heads, and of those that are on disk only
    with Rpc(daemon) as rpc:
        for number in killed:
            name = f"job-{number}" if number == 70_000 else number
            assert rpc.call("kill", job=name)["killed"]["outcome"] == "killed"
        again = rpc.call("kill", job=50_000)["killed"]
        late = rpc.submit("pkg update late", id="late")
        refused = rpc.answer("submit", commands=["pkg info"], id="job-90000")
        before = rpc.queue(QUEUE)
        rpc.call("resume", queue=QUEUE)
        rpc.wait(700)
        rpc.call("pause", queue=QUEUE)
        until(lambda: rpc.queue(QUEUE)["running"] == 0, "what ran has ended")
        after = rpc.queue(QUEUE)
        ended = rpc.call("list", queue=QUEUE, outcome="success", limit=1)["total"]
    daemon.kill9()
    daemon.start()
    with Rpc(daemon) as rpc:
        restarted = rpc.queue(QUEUE)
        still = rpc.call("list", queue=QUEUE, limit=1)
        last = rpc.call("show", job="late")

    numbers = [int(line) for line in ran.read_text().split()]
    assert again is None
    assert "job 90000" in str(refused["error"])
    assert before["pending"] == BACKLOG - len(killed) + 1
    assert numbers == [number for number in range(1, numbers[-1] + 1) if number not in killed]
    assert len(numbers) == ended >= 697
    assert after["pending"] == restarted["pending"] == still["total"] == before["pending"] - ended
    assert restarted["paused"]
    assert still["jobs"][0]["number"] == numbers[-1] + 1
    assert (last["number"], last["state"], late) == (BACKLOG + 1, "pending", BACKLOG + 1)
