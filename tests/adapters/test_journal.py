"""Promises of a worker's journal: what it keeps, what it forgives, and when its lock proves life."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.runner import journal
from dispatcher.runner.journal import Journal

TAKEN = {"fact": "taken", "seq": 1, "job": 7, "at": 1.5, "mono": 0.5}
STARTED = {"fact": "started", "seq": 2, "job": 7, "command": 0, "pid": 99, "start": 500, "log": 0}
ENDED = {"fact": "ended", "seq": 3, "job": 7, "command": 0, "code": 0}
AGAIN = {"fact": "started", "seq": 4, "job": 7, "command": 1, "pid": 100, "start": 600, "log": 5}
DONE = {"fact": "done", "seq": 5, "job": 7, "outcome": "success"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "12.journal"


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """End a forked child whatever happens: it must not go on as a second pytest."""
    try:
        yield
    finally:
        os._exit(0)


def test_what_is_written_is_read_in_order_behind_the_header(path):
    kept = Journal.open_locked(path, 12)
    kept.header(4711, 88)
    kept.write(TAKEN)
    kept.write({**ENDED, "error": "name \udcff\n"})
    kept.close()

    header = {"worker": 12, "pid": 4711, "start": 88}
    assert journal.read(path) == [header, TAKEN, {**ENDED, "error": "name \udcff\n"}]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_newest_header_names_the_worker(path):
    kept = Journal.open_locked(path, 12)
    kept.header(4711, 88)
    kept.write(TAKEN)
    kept.header(4712, 99)
    kept.close()

    assert journal.pid_of(journal.read(path)) == (4712, 99)
    assert journal.pid_of([TAKEN]) is None


def test_a_last_line_that_was_cut_short_and_lines_that_are_no_record_do_not_count(path):
    path.write_bytes(b'{"fact":"taken","job":7}\n\xff\xfe\n[1]\n{"fact":\n\n{"fact":"done","job":7}')

    assert journal.read(path) == [{"fact": "taken", "job": 7}]


def test_a_missing_journal_is_empty_and_free(path):
    assert journal.read(path) == []
    assert not journal.is_locked(path)


def test_an_emptied_journal_has_nothing_but_what_is_written_next(path):
    kept = Journal.open_locked(path, 12)
    kept.write(TAKEN)
    kept.empty()
    assert path.stat().st_size == 0
    kept.header(1, 2)
    kept.close()

    assert journal.read(path) == [{"worker": 12, "pid": 1, "start": 2}]


def test_a_full_disk_never_raises_and_keeps_the_facts():
    kept = Journal.open_locked(Path("/dev/full"), 12)
    kept.header(1, 2)
    kept.write(TAKEN)

    assert not kept.is_written()
    kept.close()


def test_facts_that_found_no_room_are_written_in_order_once_there_is_room(path):
    kept = Journal.open_locked(path, 12)
    kept.header(1, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # Room for half of the next line: the write is short and the one after it is refused.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
        kept.write(TAKEN)
        kept.write(STARTED)
        on_disk = journal.read(path)
        assert not kept.is_written()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert kept.is_written()
    kept.write(ENDED)
    kept.close()

    assert on_disk == [{"worker": 12, "pid": 1, "start": 2}]
    assert journal.read(path)[1:] == [TAKEN, STARTED, ENDED]


def test_half_a_line_of_an_earlier_holder_does_not_spoil_the_next_one(path):
    path.write_bytes(b'{"fact":"tak')
    kept = Journal.open_locked(path, 12)
    kept.write(DONE)
    kept.close()

    assert journal.read(path) == [DONE]


# --- the lock ----------------------------------------------------------------------------------


def test_a_journal_is_locked_as_long_as_it_is_open_also_for_its_own_process(path):
    kept = Journal.open_locked(path, 12)
    assert journal.is_locked(path)
    kept.close()

    assert not journal.is_locked(path)


def test_the_lock_ends_with_a_killed_worker_and_not_with_its_commands(path):
    told, tell = os.pipe()
    worker = os.fork()
    if worker == 0:
        with ending():
            Journal.open_locked(path, 12)
            os.write(tell, b"%d\n" % subprocess.Popen(["sleep", "60"], close_fds=False).pid)
            signal.pause()
    command = int(os.read(told, 20))
    try:
        held = journal.is_locked(path)
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        held_after = journal.is_locked(path)
    finally:
        os.kill(command, signal.SIGKILL)
        os.close(told)
        os.close(tell)

    assert (held, held_after) == (True, False)


def test_a_hand_over_keeps_the_lock_in_the_child_when_the_parent_closes(path):
    kept = Journal.open_locked(path, 12)
    gate, open_gate = os.pipe()
    child = os.fork()
    if child == 0:
        with ending():
            os.close(open_gate)
            os.read(gate, 1)
            kept.header(2, 3)
    kept.close()
    held = journal.is_locked(path)
    os.close(open_gate)
    os.waitpid(child, 0)
    os.close(gate)

    assert held
    assert not journal.is_locked(path)
    assert journal.pid_of(journal.read(path)) == (2, 3)


def test_a_probe_does_not_take_another_probe_for_a_worker(path):
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        assert not journal.is_locked(path)
    finally:
        os.close(fd)


def test_a_probe_makes_a_worker_wait_and_not_fail(path):
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    locked: list[Journal] = []
    worker = threading.Thread(target=lambda: locked.append(Journal.open_locked(path, 12)))
    worker.start()
    worker.join(0.1)
    waited = worker.is_alive()
    os.close(fd)
    worker.join()

    assert waited
    locked[0].close()


# --- what recovery needs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "taken", "done", "running"),
    [
        ([], False, False, None),
        ([TAKEN], True, False, None),
        ([TAKEN, STARTED], True, False, (0, 99, 500)),
        ([TAKEN, STARTED, ENDED], True, False, None),
        ([TAKEN, STARTED, ENDED, AGAIN], True, False, (1, 100, 600)),
        ([TAKEN, STARTED, ENDED, DONE], True, True, None),
        ([TAKEN, {**STARTED, "pid": None, "start": None}], True, False, None),
    ],
)
def test_a_journal_is_summed_up_for_one_job(facts, taken, done, running):
    records = [{"worker": 12, "pid": 1, "start": 2}, {**TAKEN, "job": 6}, {**DONE, "job": 6}, *facts]

    view = journal.summary(records, 7)
    assert (view.taken, view.done, view.running) == (taken, done, running)
    assert view.facts == facts
