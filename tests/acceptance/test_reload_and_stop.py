"""New settings while the daemon runs, and its end: nobody connected and no job is in the way."""

import os
import signal
import socket
import ssl
import time

import pytest
import yaml
from websockets.sync.client import connect

from tests.acceptance.command_line import call, line, wait_until
from tests.daemon import PATIENCE, Daemon


def running(daemon: Daemon) -> int:
    return len(yaml.safe_load(daemon.cli("list", "--state", "running", "--json", check=True).stdout)["jobs"])


@pytest.mark.parametrize("way", ["verb", "signal"])
def test_a_bad_file_leaves_the_old_settings_in_force_and_a_good_one_counts_at_once(make_daemon, way):
    daemon = make_daemon({"queues": {"backups": {"concurrency": 1}}})
    before = daemon.cli("queues", "--json", check=True).stdout
    for _ in range(2):
        daemon.cli("run", "-q", "backups", "--", "sleep", "60", check=True)
    wait_until(lambda: running(daemon) == 1)
    start = daemon.stderr

    daemon.configure({"queues": {"backups": {"concurrency": "many"}}})
    said = reload(daemon, way, status=2)
    assert said.startswith(f"cannot reload, the old settings stay in force: {daemon.config}:")
    assert f"error: {said}" in daemon.stderr.splitlines()
    assert yaml.safe_load(daemon.cli("queues", "--json").stdout)[-1]["concurrency"] == 1
    assert running(daemon) == 1

    daemon.configure({"queues": {"backups": {"concurrency": 2}, "more": {}}, "limits": {"connections": 9}})
    said = reload(daemon, way, status=0)
    assert said.splitlines() == [
        "queue backups changed, in force now",
        "queue more is new",
        "limits: connections changed, this takes a restart",
    ]
    wait_until(lambda: running(daemon) == 2)
    assert daemon.stderr.removeprefix(start).count("\n") == 4
    assert daemon.cli("queues", "--json").stdout != before


def reload(daemon: Daemon, way: str, status: int) -> str:
    """Have the settings read again; give what was said of it."""
    if way == "verb":
        done = daemon.cli("reload")
        assert done.returncode == status
        return (done.stderr.removeprefix("dispatcher: ") if status else done.stdout).rstrip("\n")
    before = daemon.stderr
    os.kill(daemon.pid, signal.SIGHUP)
    last = "stay in force" if status else "restart\n"
    wait_until(lambda: last in daemon.stderr.removeprefix(before))
    return daemon.stderr.removeprefix(before).removeprefix("error: ").rstrip("\n")


def test_a_queue_with_pending_jobs_is_not_taken_away_and_at_a_start_it_is_drained(daemon):
    daemon.configure({"queues": {"backups": {"concurrency": 2}}})
    daemon.cli("reload", check=True)
    gate = str(daemon.folder / "gate")
    for key in "abcd":
        daemon.cli(
            "run", "-q", "backups", "--id", key, "--", "sh", "-c", f"until [ -e {gate} ]; do sleep 0.02; done",
            check=True,
        )  # fmt: skip
    wait_until(lambda: running(daemon) == 2)

    # A lower number kills nobody; it counts when jobs end.
    daemon.configure({"queues": {"backups": {"concurrency": 1}}})
    assert reload(daemon, "verb", status=0) == "queue backups changed, in force now"
    assert running(daemon) == 2

    daemon.configure({})
    refused = daemon.cli("reload")
    assert (refused.returncode, refused.stderr) == (
        1,
        (
            "dispatcher: cannot reload, the old settings stay in force: cannot take away queue 'backups': "
            "2 jobs are waiting in it; kill them or let them run first\n"
        ),
    )
    assert "backups" in daemon.cli("queues", check=True).stdout

    daemon.restart()
    refused = daemon.cli("run", "-q", "backups", "--", "true")
    assert (refused.returncode, "cannot use queue 'backups'" in refused.stderr) == (1, True), refused.stderr
    said = [
        line
        for line in daemon.stderr.splitlines()
        if "backups" in line and not line.startswith("warning: refused")
    ]
    assert said == [
        (
            "warning: queue backups is no longer in the settings: its jobs (2 running, 2 pending) "
            "go on to their end, and it takes no others"
        )
    ]
    (daemon.folder / "gate").touch()
    for key in "abcd":
        daemon.cli("wait", key, check=True)


# Its end


def test_term_ends_it_within_3_seconds_whoever_is_connected_and_jobs_go_on(daemon):
    job = daemon.script("slow", 'echo begun; while [ ! -e "$1" ]; do sleep 0.1; done; echo over')
    go = daemon.folder / "go"
    daemon.cli("run", "--id", "slow", "--", str(job), str(go), check=True)
    context = ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")
    with (
        socket.create_connection(("127.0.0.1", daemon.tls_port)),
        socket.create_connection(("127.0.0.1", daemon.plain_port)) as halfway,
        connect(f"wss://localhost:{daemon.tls_port}/", ssl=context),
        call(daemon, "wait", "slow") as waiting,
        call(daemon, "log", "-f", "slow") as following,
    ):
        halfway.sendall(b"PUT /rpc/dispatcher HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfew")
        assert line(following) == "begun\n"

        begun = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begun < 3

        assert "running jobs go on" in daemon.stderr.splitlines()[-1]
        go.touch()
        daemon.start()

        assert following.communicate(timeout=PATIENCE) == ("over\n", "")
        assert waiting.communicate(timeout=PATIENCE)[0].startswith("job 1 (slow): success")
        assert (following.returncode, waiting.returncode) == (0, 0)
