"""Promises of the supervisor's lock: one holder, found by its pid, gone with its process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dispatcher.errors import StartupError
from dispatcher.runner import lock
from dispatcher.runner.lock import SupervisorLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_the_holder_is_known_by_its_pid_as_long_as_it_holds(path):
    assert lock.holder(path) is None
    with SupervisorLock.acquire(path):
        assert lock.holder(path) == os.getpid()

    assert lock.holder(path) is None
    assert path.exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_longer_pid_of_an_earlier_holder_is_written_over(path):
    path.write_text("123456789012\n")
    with SupervisorLock.acquire(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_second_dispatcher_is_told_who_holds_the_lock_and_what_to_do(path):
    with SupervisorLock.acquire(path), pytest.raises(StartupError) as raised:
        SupervisorLock.acquire(path, patience=0.2)

    assert raised.value.sentence == (
        f"cannot start: another dispatcher (pid {os.getpid()}) holds {path};"
        " stop it or give this one another state_dir"
    )


def test_a_restart_waits_for_the_old_supervisor_to_end(path):
    with SupervisorLock.acquire(path):
        source = (
            "import sys, time; from pathlib import Path\n"
            "from dispatcher.runner.lock import SupervisorLock\n"
            "sleep = time.sleep\n"
            "time.sleep = lambda seconds: (print('waiting', flush=True), sleep(seconds))\n"
            "SupervisorLock.acquire(Path(sys.argv[1])); print('mine', flush=True)"
        )
        other = subprocess.Popen([sys.executable, "-c", source, path], stdout=subprocess.PIPE)
        assert other.stdout is not None
        assert other.stdout.readline() == b"waiting\n"
    said, _ = other.communicate(timeout=10)

    assert said.splitlines()[-1] == b"mine"


def test_the_lock_ends_with_a_killed_supervisor_and_not_with_what_it_executed(path):
    told, tell = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        try:
            SupervisorLock.acquire(path)
            os.write(tell, b"%d\n" % subprocess.Popen(["sleep", "60"], close_fds=False).pid)
            signal.pause()
        finally:
            os._exit(1)
    spawner = int(os.read(told, 20))
    try:
        held_by = lock.holder(path)
        os.kill(supervisor, signal.SIGKILL)
        os.waitpid(supervisor, 0)
        held_after = lock.holder(path)
    finally:
        os.kill(spawner, signal.SIGKILL)
        os.close(told)
        os.close(tell)

    assert (held_by, held_after) == (supervisor, None)


def test_a_state_directory_that_cannot_be_used_is_one_sentence(tmp_path):
    with pytest.raises(StartupError) as raised:
        SupervisorLock.acquire(tmp_path / "missing" / "lock", patience=0)

    assert raised.value.sentence.startswith(f"cannot lock {tmp_path}/missing/lock: No such file")


def test_a_full_disk_is_one_sentence_and_lets_go():
    begun = time.monotonic()
    with pytest.raises(StartupError, match="cannot write /dev/full: No space left"):
        SupervisorLock.acquire(Path("/dev/full"))

    assert time.monotonic() - begun < 5
