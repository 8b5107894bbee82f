"""The exit status of each verb that stays with a job, and of all that can go wrong, with the real daemon."""

import signal

import psutil
import pytest

from tests.acceptance.command_line import UNTIL, call, job, line, submit, wait_until
from tests.daemon import PATIENCE, Daemon

ENDS = {
    "success": ("exit 0", 0),
    "failed": ("exit 3", 3),
    "by a signal": ("kill -SEGV $$", 139),
    "by KILL from outside of us": ("kill -9 $$", 137),
    "could not start": (None, 127),
}


@pytest.mark.parametrize("end", ENDS)
def test_whoever_stays_with_a_job_exits_as_it_did(scratch, end):
    text, status = ENDS[end]
    command = ["/nonexistent"] if text is None else ["sh", "-c", text]
    followed = scratch.cli("run", "--follow", "--id", end, "--", *command)

    assert followed.returncode == status, followed.stderr
    assert scratch.cli("run", "--wait", "--", *command).returncode == status
    assert scratch.cli("wait", end).returncode == status
    assert scratch.cli("log", "-f", end).returncode == status
    assert scratch.cli("run", "--", *command).returncode == 0


@pytest.mark.parametrize(("trap", "status"), [("", 143), ("trap '' TERM; ", 137)])
def test_a_killed_job_is_143_or_137(scratch, trap, status):
    key = f"killed-{status}"
    command = ["sh", "-c", trap + UNTIL, "/nothing"]
    with call(scratch, "run", "--follow", "-q", "brief", "--id", key, "--", *command) as run:
        assert line(run) == "begun\n"
        said = scratch.cli("kill", key, check=True).stdout

        assert said.endswith(f" ({key}) is being stopped\n")
        assert run.wait(PATIENCE) == status
    assert scratch.cli("wait", key).returncode == status


def test_a_job_killed_before_it_began_is_143(world):
    with call(world, "run", "--wait", "-q", "pkg_queue", "--id", "early", "--", "true") as run:
        assert run.stderr is not None
        assert run.stderr.readline().endswith(" (early) is pending in pkg_queue\n")
        assert world.cli("kill", "early").stdout.endswith(" (early) was pending and is killed\n")
        assert run.wait(PATIENCE) == 143


def test_a_job_that_lost_its_worker_is_75(scratch):
    with call(scratch, "run", "--follow", "--id", "orphan", "--", "sh", "-c", UNTIL, "/nothing") as run:
        assert line(run) == "begun\n"
        worker = psutil.Process(job(scratch, "orphan")["commands"][0]["pid"]).parent()
        assert worker is not None
        worker.kill()

        assert run.wait(PATIENCE) == 75


@pytest.mark.parametrize("verb", ["run --follow", "run --wait", "wait", "log -f"])
def test_ctrl_c_ends_only_the_watching(scratch, verb):
    key = f"watched by {verb}"
    go = scratch.folder / key
    command = ["sh", "-c", UNTIL, str(go)]
    is_run = verb.startswith("run")
    name: int | str = key if is_run else submit(scratch, "--id", key, "--", *command)
    rest = ["--id", key, "--", *command] if is_run else [str(name)]
    with call(scratch, *verb.split(), *rest) as watch:
        if is_run:
            assert watch.stderr is not None
            assert "is pending" in watch.stderr.readline()
        else:
            wait_until(lambda: psutil.Process(watch.pid).net_connections("unix"))
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=PATIENCE)
    number = job(scratch, name)["number"]

    assert watch.returncode == 130
    assert err == f"\njob {number} goes on; stop it with: dispatcher kill {number}\n"
    assert job(scratch, name)["state"] != "finished"
    go.touch()
    assert scratch.cli("wait", str(name)).returncode == 0


@pytest.mark.parametrize("verb", ["show", "log", "wait", "kill", "log -f"])
@pytest.mark.parametrize("name", ["99", "nobody"])
def test_an_unknown_job_is_4(world, verb, name):
    done = world.cli(*verb.split(), name)

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("dispatcher: ")
    assert name in done.stderr


def test_what_is_refused_or_unknown_is_1_or_4_with_a_sentence(world):
    twice = world.cli("run", "--id", "lasting", "--", "true")
    nowhere = world.cli("run", "-q", "nowhere", "--", "true")
    paused = world.cli("pause", "nowhere")

    assert (twice.returncode, nowhere.returncode, paused.returncode) == (1, 1, 4)
    assert "'lasting'" in twice.stderr
    for done in (nowhere, paused):
        assert "iocage_queue" in done.stderr, "it names those that there are"


def test_without_a_daemon_it_is_69_with_the_socket_and_how_to_start_one(accounts_file, tmp_path):
    daemon = Daemon(tmp_path, accounts_file)
    for verb in (["list"], ["run", "--", "true"], ["wait", "1"], ["reload"]):
        done = daemon.cli(*verb)

        assert (done.returncode, done.stdout) == (69, "")
        assert done.stderr.startswith(f"dispatcher: cannot reach the daemon at {daemon.socket}: ")
        assert "dispatcher serve" in done.stderr
