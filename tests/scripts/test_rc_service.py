"""The FreeBSD service with the real dispatcher under it: what each verb does to the daemon and to its jobs.

That every shell carries out each verb is tested with a stand-in for the dispatcher, which is faster.
"""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.acceptance.command_line import UNTIL, job, submit, wait_until
from tests.daemon import Daemon
from tests.scripts.rc_service import RealService


@pytest.fixture
def service(tmp_path_factory) -> Iterator[RealService]:
    folder = tmp_path_factory.mktemp("d")
    daemon = Daemon(folder, settings={"log": "file"})
    made = RealService(folder, daemon)
    try:
        yield made
    finally:
        made.end()
        daemon.end()


def test_each_verb_does_what_it_says_and_running_jobs_go_on(service):
    daemon = service.daemon
    gate = service.script.parent / "gate"

    assert service.said("configtest") == "The settings are good.\n"
    assert service.said("start") == "Starting dispatcher.\n"

    command = ("sh", "-c", UNTIL, str(gate))
    lasting = submit(daemon, "-q", "pkg_queue", "--id", "upgrade", "--", *command)
    waiting = submit(daemon, "-q", "pkg_queue", "--", "true")
    wait_until(lambda: job(daemon, lasting)["state"] == "running")
    first = service.supervisor
    *known, last = service.said("status").splitlines()
    assert known == [
        f"dispatcher is running as pid {first.ppid()}.",
        f"socket   {daemon.socket}",
        "running  1",
        "pending  1",
    ]
    assert last.startswith(f"job {lasting} (upgrade) in pkg_queue: sh -c ")

    daemon.configure({"log": "file", "queues": {"backups": {}}})
    assert service.said("reload") == "queue backups is new\n"

    told = service.said("restart")
    assert 'These jobs go on without the daemon ("service dispatcher stopjobs" in time stops them):\n' in told
    assert f"{lasting}  upgrade" in told
    second = service.supervisor
    assert second != first
    assert job(daemon, lasting)["state"] == "running"

    daemon.config.write_text("queues: 7\n")
    for verb in ("configtest", "reload", "restart"):
        assert f"{daemon.config}:1:9: " in service.said(verb, status=1), verb
    assert service.supervisor == second
    daemon.configure({"log": "file"})

    told = service.said("stop")
    assert f"{lasting}  upgrade" in told
    assert told.endswith("Stopping dispatcher.\n")
    assert not second.is_running()
    assert service.said("status", status=1) == "dispatcher is not running.\n"
    gate.touch()
    service.said("start")
    daemon.cli("wait", str(waiting), check=True)
    assert job(daemon, lasting)["outcome"] == "success"


def test_at_faststop_and_stopjobs_running_jobs_get_term_and_pending_ones_run_after_the_next_start(service):
    daemon = service.daemon
    told = service.script.parent / "told"
    trapping = f'trap "echo term >>{told}; exit 1" TERM; echo up; sleep 60 & wait'
    service.said("start")
    # As rc.shutdown(8) does it, then by hand.
    for verb, next_start, reason in (
        ("faststop", "start", "machine shutdown"),
        ("stopjobs --wait 20", "fastrestart", "service dispatcher stopjobs"),
    ):
        told.unlink(missing_ok=True)
        running = submit(daemon, "-q", "pkg_queue", "--", "sh", "-c", trapping)
        later = [submit(daemon, "-q", "pkg_queue", "--", "true") for _ in range(2)]
        wait_until(partial(is_up, daemon, running))

        service.said(*verb.split())
        assert told.read_text() == "term\n"
        if verb == "faststop":
            assert not service.pidfile.exists()
        else:
            assert "held" in service.said("status")
            assert [job(daemon, number)["state"] for number in later] == ["pending", "pending"]
        service.said(next_start)

        for number in later:
            daemon.cli("wait", str(number), check=True)
        record, (one, two) = job(daemon, running), (job(daemon, number) for number in later)
        assert (record["outcome"], record["reason"]) == ("killed", reason)
        assert record["finished"] < one["started"] < two["started"]


def is_up(daemon, job: int) -> bool:
    """Whether the job has said that its trap is set."""
    return "up" in daemon.cli("log", str(job)).stdout
