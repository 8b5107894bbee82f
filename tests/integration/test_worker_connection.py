"""A worker and its supervisor: one that dies, one that does not read, one that is not there yet."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.fake_supervisor import PATIENCE, FakeSupervisor, sh


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path_factory.mktemp("w"))
    yield fake
    fake.end()


def test_a_worker_goes_on_without_supervisor_and_tells_everything_to_the_next(supervisor, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh(f"read x <{gate}"), sh("echo second"), sh(f"read x <{gate}")))
    before = worker.facts_until("started", 7)
    worker.send(do="ack", seq=1)
    supervisor.die()
    gate.write_text("go\n")

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    hello = worker.read()
    again = worker.facts_until("started", 7)
    gate.write_text("go\n")
    rest = worker.facts_until("done", 7)

    assert hello is not None
    assert hello["jobs"] == [7]
    assert again[0] == before[1], "the same fact, time and all"
    assert [fact["seq"] for fact in again + rest] == list(range(2, 9))


def test_facts_that_nobody_saved_keep_an_idle_worker_alive(supervisor):
    worker = supervisor.worker()
    facts = worker.run(supervisor.order(7, ["true"]))
    supervisor.die()

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    hello = worker.read()
    again = worker.facts_until("done", 7)
    worker.send(do="ack", seq=again[-1]["seq"])
    supervisor.die()

    assert hello is not None
    assert hello["jobs"] == [7], "all it has facts about"
    assert again == facts
    assert supervisor.started[0].wait(PATIENCE) == 0


def test_a_job_that_was_only_given_back_is_no_job_of_the_worker(supervisor, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh(f"read x <{gate}")))
    worker.send(**supervisor.order(8, ["true"]))
    worker.facts_until("returned", 8)  # because 7 is long
    supervisor.die()

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    hello = worker.read()
    again = worker.facts_until("returned", 8)
    gate.write_text("go\n")

    assert hello is not None
    assert hello["jobs"] == [7], "8 may be handed to it again, and that it would not know of"
    assert again[-1]["handover"] == 1008


def test_an_idle_worker_without_supervisor_ends(supervisor):
    supervisor.worker()
    supervisor.die()

    assert supervisor.started[0].wait(PATIENCE) == 0


def test_an_order_that_the_supervisor_sent_before_it_died_is_carried_out(supervisor):
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh("echo ran")))
    supervisor.die()

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    facts = worker.facts_until("done", 7)

    assert facts[-1]["outcome"] == "success"
    assert supervisor.log(7).read_text() == "ran\n"


def test_a_new_worker_waits_for_a_supervisor_that_is_about_to_listen(supervisor):
    supervisor.die()
    supervisor.run("dispatcher.runner.worker", 1, supervisor.state_dir)
    with pytest.raises(subprocess.TimeoutExpired):
        supervisor.started[0].wait(0.5)

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()

    assert worker.run(supervisor.order(7, ["true"]))[-1]["outcome"] == "success"


def test_a_supervisor_that_does_not_read_blocks_nothing_and_misses_nothing(supervisor, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker = supervisor.worker()
    jobs = range(1, 21)
    for job in jobs:
        worker.send(**supervisor.order(job, [str(job) * 20_000]))
    worker.send(**supervisor.order(99, sh(f"echo here >{gate}; read x <{gate}")))

    assert gate.read_text() == "here\n", "all are done, though nobody has read of any"
    worker.send(do="stop", job=99, grace=5.0)
    facts = worker.facts_until("done", 99)

    assert [fact["seq"] for fact in facts] == list(range(1, 4 * len(jobs) + 5))
    assert facts[-1]["outcome"] == "killed"


def test_a_journal_stays_small_though_the_worker_is_never_idle(supervisor):
    worker = supervisor.worker()
    path = supervisor.state_dir / "spool" / "1.journal"
    for job in range(1, 31):
        worker.send(**supervisor.order(job, ["x" * 30_000]))
    sizes = []
    for job in range(1, 31):
        facts = worker.facts_until("done", job)
        sizes.append(path.stat().st_size)
        worker.send(do="ack", seq=facts[-1]["seq"])

    assert max(sizes) < 400_000
