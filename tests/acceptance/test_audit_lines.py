"""`dispatcher audit --follow` beside a real daemon, and what the audit and rpc/logs tell of connections."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.acceptance.daemon_clients import Rpc, until
from tests.acceptance.sysadm_client import Client, call, tls_context
from tests.daemon import FULL, PROGRAM, READ, ROOT, Account, Daemon


@contextmanager
def following(daemon: Daemon, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`dispatcher audit --follow`, ended if the test has not ended it, and if it says nothing for long."""
    process = subprocess.Popen(
        [*PROGRAM, "audit", "--follow", "--config", str(daemon.config), *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    patience = threading.Timer(30, process.kill)
    patience.start()
    with process:
        try:
            yield process
        finally:
            patience.cancel()
            process.kill()


def noted(process: subprocess.Popen[str]) -> list[str]:
    """Read up to the entry of a `reload`; give what each entry is about."""
    assert process.stdout is not None
    found: list[str] = []
    for line in process.stdout:
        entry = json.loads(line)
        found.append(entry.get("queue") or entry["what"])
        if entry["what"] == "reload":
            break
    return found


def test_the_audit_is_followed_over_its_rotation_until_ctrl_c(make_daemon):
    daemon = make_daemon({"audit": {"file_bytes": "4 KiB", "files": 20}})
    with Rpc(daemon) as rpc, following(daemon, "--since", "1h", "--json") as process:
        rpc.call("reload")
        assert noted(process) == ["reload"]  # it follows now
        for _ in range(40):
            rpc.call("pause", queue="pkg_queue")
            rpc.call("resume", queue="iocage_queue")
        rpc.call("reload")
        found = noted(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert found == ["pkg_queue", "iocage_queue"] * 40 + ["reload"]
    assert len(list(daemon.log_dir.glob("audit.log.*"))) >= 2
    assert (process.returncode, out, err) == (130, "", "")


def test_without_since_only_what_is_new_is_told_and_a_reader_that_leaves_ends_it(daemon):
    with Rpc(daemon) as rpc:
        rpc.call("pause", queue="pkg_queue")
        until(lambda: "pause" in audit_of(daemon), "the line was written")
        with following(daemon) as process:
            assert process.stdout is not None
            until(lambda: holds_open(process, daemon), "the file was opened")
            rpc.call("resume", queue="pkg_queue")
            first = process.stdout.readline()
            process.stdout.close()
            assert process.wait(30) == 141  # though nothing more is noted

    assert "resume  pkg_queue" in first


def audit_of(daemon: Daemon) -> str:
    path = daemon.log_dir / "audit.log"
    return path.read_text() if path.exists() else ""


def holds_open(process: subprocess.Popen[str], daemon: Daemon) -> bool:
    """Whether the process has the audit open."""
    return str(daemon.log_dir / "audit.log") in {one.path for one in psutil.Process(process.pid).open_files()}


def test_a_folder_that_is_not_there_is_said_and_not_waited_for(daemon, tmp_path):
    config = tmp_path / "other.yaml"
    config.write_text(f"log_dir: {tmp_path}/nowhere\n")

    done = subprocess.run(
        [*PROGRAM, "audit", "-f", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("dispatcher: cannot read the audit: there is no")


def test_what_becomes_of_connections_is_told_in_the_words_of_the_original(make_daemon):
    limits = {"idle_time": "3 s", "ping_time": "10 min"}
    daemon = make_daemon({"limits": limits, "auth": {"methods": ["accounts"], "failures": 2}})
    with Client(daemon, READ) as silent, pytest.raises(ConnectionClosed):
        silent.socket.recv(30)
    opening = connect(
        f"wss://localhost:{daemon.tls_port}/",
        ssl=tls_context(daemon),
        compression=None,
        source_address=("127.0.0.2", 0),
    )
    with Client(daemon, None, opening) as guesser:
        for _ in range(3):
            assert guesser.log_in(Account(FULL.name, "wrong"))["args"]["code"] == "401"
    with Client(daemon) as client:
        until(lambda: len(host_lines(client)) >= 8, "all was written")
        told = host_lines(client)

    assert told == [
        "New Connection: 127.0.0.1",
        f"User Login Attempt: {READ.name}   Success: true   IP: 127.0.0.1",
        "Connection Idle: 127.0.0.1",
        f"User Login Attempt: {FULL.name}   Success: false   IP: 127.0.0.2",
        "Blacklisting IP Temporarily: 127.0.0.2",
        f"User Login Attempt: {FULL.name}   Success: false   IP: 127.0.0.2",
        "New Connection: 127.0.0.1",
        f"User Login Attempt: {FULL.name}   Success: true   IP: 127.0.0.1",
    ]
    assert (
        daemon.cli("--config", str(daemon.config), "audit", check=True).stdout.count("block  127.0.0.2") == 1
    )


def host_lines(client: Client) -> list[str]:
    answer = client.ask(call("logs", {"action": "read_logs", "logs": "hostinfo"}))
    return list(answer["args"].get("hostinfo", {}).values())
