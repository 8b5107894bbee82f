"""The FreeBSD service script, run by each shell at hand against small stand-ins for rc.subr(8) and daemon(8)."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.scripts.rc_service import SHELLS, Service


@pytest.fixture(params=SHELLS)
def service(request, tmp_path) -> Iterator[Service]:
    made = Service(tmp_path, request.param)
    yield made
    made.end()


def test_start_runs_serve_under_daemon_and_status_names_its_pid(service):
    before = service("status")
    answer = service("start")
    _, _, arguments = service.started()
    status = service("status")

    assert (before.returncode, before.stdout) == (1, "dispatcher is not running.\n")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "Starting dispatcher.\n", "")
    assert arguments == "serve"
    assert (status.returncode, status.stdout) == (
        0,
        f"dispatcher is running as pid {int(service.pidfile.read_text())}.\ndispatcher status\n",
    )


def test_the_settings_file_and_the_flags_reach_the_dispatcher(service):
    service.config.write_text("queues: {}\n")
    service.set(dispatcher_enable="YES", dispatcher_flags="--log-dir /var/log/d")

    service("start")
    _, _, arguments = service.started()

    assert arguments == f"serve --config {service.config} --log-dir /var/log/d"


def test_stop_ends_the_dispatcher_for_good_and_leaves_its_workers(service):
    service("start")
    pid, worker, _ = service.started()

    answer = service("stop")

    assert answer.returncode == 0
    assert answer.stdout.endswith("stops them):\nwhat runs\nStopping dispatcher.\n")
    assert not psutil.pid_exists(pid)
    assert psutil.pid_exists(worker)
    assert not service.pidfile.exists()
    assert service.nothing_started()


def test_a_dispatcher_that_dies_is_started_again(service):
    service("start")
    pid, _, _ = service.started()

    os.kill(pid, signal.SIGKILL)
    second, _, _ = service.started()

    assert second != pid


def test_restart_ends_one_and_starts_another(service):
    service("start")
    pid, worker, _ = service.started()

    answer = service("restart")
    second, _, _ = service.started()

    assert answer.returncode == 0
    assert not psutil.pid_exists(pid)
    assert psutil.pid_exists(worker)
    assert psutil.pid_exists(second)


def test_broken_settings_are_told_and_neither_start_nor_stop_anything(service):
    service.config.write_text("queues: {}\n")
    service("start")
    pid, _, _ = service.started()
    service.config.write_text("broken\n")

    restart = service("restart")
    still_there = psutil.pid_exists(pid)
    service("stop")
    start = service("start")

    assert (restart.returncode, restart.stderr) == (1, "1:broken\n")
    assert still_there
    assert start.returncode == 1
    assert "1:broken\n" in start.stderr
    assert service.nothing_started()


def test_a_service_that_is_not_enabled_starts_only_by_onestart(service):
    service.set(dispatcher_enable="NO")

    answer = service("start")
    nothing = service.nothing_started()
    service("onestart")
    service.started()

    assert "Set dispatcher_enable to YES" in answer.stdout
    assert nothing


def test_at_faststop_jobs_have_two_thirds_of_the_time_of_a_shutdown_and_a_restart_is_none(service):
    service.set(dispatcher_enable="YES", rcshutdown_timeout="30")
    service("start")
    service.started()

    restart = service("fastrestart")
    service.started()
    stop = service("faststop")
    again = service("faststop")

    assert "stopjobs" not in restart.stdout.replace('"service dispatcher stopjobs"', "")
    assert stop.stdout == "dispatcher stopjobs --reason machine shutdown --wait 20\nStopping dispatcher.\n"
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_the_verbs_of_its_own_reach_the_dispatcher_with_the_settings_file(service):
    service.config.write_text("queues: {}\n")
    option = f"--config {service.config}"

    said = {verb: service(*verb.split()).stdout for verb in ("reload", "stopjobs --wait 5", "configtest")}

    assert said == {
        "reload": f"dispatcher reload {option}\n",
        "stopjobs --wait 5": f"dispatcher stopjobs --reason service dispatcher stopjobs --wait 5 {option}\n",
        "configtest": "The settings are good.\n",
    }


def test_a_log_that_nobody_would_see_is_warned_of_at_the_start(service):
    service.config.write_text("log: stderr\n")

    answer = service("start")
    service.started()

    assert f"write log: syslog in {service.config}" in answer.stderr
    assert answer.returncode == 0
