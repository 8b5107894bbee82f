"""What the daemon says of a night goes where the settings say: one line for each thing that happened."""

import os
import re
import signal
import subprocess

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.sysadm_client import Client, call
from tests.daemon import FULL, PROGRAM, ROOT, Daemon, running

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error) .+")


class QuietDaemon(Daemon):
    """A daemon that says nothing on stderr, all in its file."""

    def start(self) -> None:
        with (self.folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [*PROGRAM, "serve", "--config", str(self.config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                text=True,
            )
        file = self.log_dir / "dispatcher.log"
        until(lambda: file.exists() and "info ready\n" in file.read_text(), "it is ready")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


def test_a_file_gets_a_line_for_the_start_each_end_of_a_job_each_refusal_and_the_stop(
    accounts_file, tmp_path_factory
):
    settings = {"queues": {"tiny": {"max_pending": 1}}, "log": "file"}
    with running(QuietDaemon(tmp_path_factory.mktemp("d"), accounts_file, settings)) as daemon:
        live_through_a_night(daemon)


def live_through_a_night(daemon: Daemon) -> None:
    file = daemon.log_dir / "dispatcher.log"
    with Rpc(daemon) as rpc:
        good = rpc.run("true", id="good")["number"]
        bad = rpc.run(["sh", "-c", "exit 3"], id="bad")["number"]
        rpc.submit("sleep 60", queue="tiny", id="first")
        rpc.submit("true", queue="tiny", id="second")
        rpc.answer("submit", commands=["true"], queue="tiny", id="third")
        rpc.call("kill", job="second")
    with Client(daemon, account=None) as stranger:
        assert stranger.ask(call("auth", {"username": FULL.name, "password": "no"}))["args"]["code"] == "401"
    moved = file.with_suffix(".log.0")
    file.rename(moved)
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: file.exists() and "nothing has changed" in file.read_text(), "it goes on in a new file")
    daemon.stop()

    assert daemon.stderr == ""
    lines = moved.read_text().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    said = [line.partition("Z ")[2] for line in lines]
    assert said[0] == "info no jobs from before"
    assert [re.sub(r"after [\d.]+ s", "after T", line) for line in said if line.startswith("info job ")] == [
        f"info job {good} (good) in no_queue: success, after T",
        f"info job {bad} (bad) in no_queue: failed, command 1 exited with 3, after T",
        "info job 4 (second) in tiny: killed, killed by root",
    ]
    refusals = [re.sub(r":\d+ \(", ":PORT (", line) for line in said if line.startswith("warning refused")]
    assert refusals == [
        (
            "warning refused submit of root from unix uid 0 (jsonrpc): cannot add to queue 'tiny': 1 jobs are "
            "waiting (max_pending: 1); raise it or kill one"
        ),
        f"warning refused login of {FULL.name} from 127.0.0.1:PORT (sysadm): wrong user name or password",
    ]
    assert [line.partition("Z ")[2] for line in file.read_text().splitlines()][-2:] == [
        "info stopping on SIGTERM",
        "info stopped; running jobs go on with their workers",
    ]


def test_why_a_start_failed_stands_in_the_file_too(tmp_path):
    daemon = Daemon(tmp_path)
    occupied = daemon.folder / "occupied"
    occupied.touch()
    daemon.configure({"log": "file", "log_file": "own.log", "listen": [{"unix": str(occupied)}]})
    done = daemon.cli("serve", "--config", str(daemon.config))

    assert done.returncode == 1
    sentence = done.stderr.removeprefix("dispatcher: ")
    assert (daemon.folder / "own.log").read_text().endswith(f"Z error {sentence}")
