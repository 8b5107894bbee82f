"""A worker whose journal takes nothing more, as on a full disk: what runs goes on, what may run twice waits."""

import resource
from collections.abc import Iterator

import psutil
import pytest

from dispatcher.runner import journal
from tests.integration.fake_supervisor import PATIENCE, Connection, FakeSupervisor, sh


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path_factory.mktemp("w"))
    yield fake
    fake.end()


def fill(supervisor: FakeSupervisor, worker: Connection, *, room: int = 0) -> psutil.Process:
    """Let the journal grow by `room` bytes at most; `empty` lets it grow again."""
    process = psutil.Process(worker.heard[0]["pid"])
    path = supervisor.state_dir / "spool" / "1.journal"
    process.rlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, resource.RLIM_INFINITY))
    return process


def empty(process: psutil.Process) -> None:
    process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_job_does_not_begin_before_the_journal_says_so(supervisor, tmp_path):
    ran = tmp_path / "ran"
    worker = supervisor.worker()
    process = fill(supervisor, worker)
    worker.send(**supervisor.order(7, ["mkdir", str(ran)]))
    worker.facts_until("taken", 7)
    worker.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        worker.read()
    worker.sock.settimeout(PATIENCE)
    assert not ran.exists()

    empty(process)
    facts = worker.facts_until("done", 7)

    assert facts[-1]["outcome"] == "success"
    assert ran.exists()
    assert journal.summary(supervisor.journal(), 7).done


def test_a_job_that_waits_for_the_journal_can_be_stopped(supervisor, tmp_path):
    ran = tmp_path / "ran"
    worker = supervisor.worker()
    fill(supervisor, worker)
    worker.send(**supervisor.order(7, ["mkdir", str(ran)]))
    worker.facts_until("taken", 7)
    worker.send(do="stop", job=7, grace=1.0)
    facts = worker.facts_until("done", 7)

    assert [fact["fact"] for fact in facts] == ["done"]
    assert facts[-1]["outcome"] == "killed"
    assert not ran.exists()


def test_a_job_that_has_begun_goes_on_and_tells_its_end_though_the_journal_is_full(supervisor, tmp_path):
    gate = tmp_path / "gate"
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh(f"until [ -e {gate} ]; do sleep 0.02; done"), ["true"]))
    worker.facts_until("started", 7)
    fill(supervisor, worker)
    gate.touch()
    facts = worker.facts_until("done", 7)

    assert [fact["fact"] for fact in facts] == ["ended", "started", "ended", "done"]
    assert facts[-1]["outcome"] == "success"
