"""What a command finds around it, whatever the daemon was started with, and who may read what we write."""

import json
import os
import pwd
import stat
import sys
import uuid
from pathlib import Path

import pytest
import yaml

from tests.acceptance.daemon_clients import Rpc, SysAdm, until
from tests.daemon import Daemon

# Everything that a process can be handed down, as JSON.
LOOK = f"""#!{sys.executable}
import fcntl, json, os, resource, sys
def is_open(fd):
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True
umask = os.umask(0)
os.umask(umask)
open("{{folder}}/made", "w").close()
json.dump({{{{
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "umask": umask,
    "open": [fd for fd in range(4096) if is_open(fd)],
    "stdin": [os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev, sys.stdin.read()],
    "leads a session": os.getsid(0) == os.getpid() == os.getpgid(0),
    "one pipe": os.fstat(1).st_ino == os.fstat(2).st_ino,
}}}}, sys.stdout)
"""


def put_look(daemon: Daemon) -> None:
    path = daemon.bin / "look"
    path.write_text(LOOK.format(folder=daemon.folder))
    path.chmod(0o755)


def home() -> str:
    return pwd.getpwuid(os.geteuid()).pw_dir


@pytest.fixture
def untidy(make_daemon, monkeypatch) -> Daemon:
    """A daemon that was started from a shell in which everything is different."""
    umask = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            for name, value in (
                ("SECRET", "of the daemon"),
                ("LANG", "tlh"),
                ("TERM", "xterm"),
                ("HOME", "/nowhere"),
            ):
                patch.setenv(name, value)
            daemon: Daemon = make_daemon()
    finally:
        os.umask(umask)
    put_look(daemon)
    return daemon


def test_a_command_gets_exactly_the_environment_of_the_settings_and_a_clean_process(untidy):
    with Rpc(untidy) as rpc:
        # When the second one starts, its worker has the log, the journal and its sockets open.
        number = rpc.submit("echo first", "look")
        rpc.wait(number)
        found = json.loads(rpc.call("log", job=number, command=1)["text"])
    path = yaml.safe_load(untidy.config.read_text())["environment"]["PATH"]
    mark = found["env"].pop("DISPATCHER_JOB")

    installation, job, command = mark.split(":")
    assert found["env"] == {"PATH": path, "HOME": home(), "LANG": "C.UTF-8", "TERM": "dumb"}
    assert (job, command) == (str(number), "1")
    assert uuid.UUID(installation)
    assert (found["cwd"], found["umask"], found["open"]) == ("/", 0o022, [0, 1, 2])
    assert found["stdin"] == [True, ""]
    assert found["leads a session"]
    assert found["one pipe"]
    assert mode(untidy.folder / "made") == 0o644


def test_without_settings_the_path_has_usr_local(make_daemon):
    daemon = make_daemon({"environment": {}})
    with Rpc(daemon) as rpc:
        number = rpc.submit(["env"])
        rpc.wait(number)
        lines = dict(line.split("=", 1) for line in rpc.log(number).splitlines())

    assert sorted(lines) == ["DISPATCHER_JOB", "HOME", "LANG", "PATH", "TERM"]
    assert lines["PATH"] == "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


def test_a_job_may_choose_its_directory_and_add_variables(untidy):
    with Rpc(untidy) as rpc:
        number = rpc.submit("look", cwd=str(untidy.bin), env={"LANG": "de", "A": "b=c"})
        rpc.wait(number)
        found = json.loads(rpc.log(number))
        refused = rpc.answer("submit", commands=["look"], env={"DISPATCHER_JOB": "1:2:3"})

    assert Path(found["cwd"]) == untidy.bin.resolve()
    assert (found["env"]["LANG"], found["env"]["A"], found["env"]["TERM"]) == ("de", "b=c", "dumb")
    assert "DISPATCHER_JOB is the dispatcher's own" in str(refused["error"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows it as a file")
def test_no_signal_of_a_command_is_ignored_or_blocked(untidy):
    with Rpc(untidy) as rpc:
        number = rpc.submit(["grep", "Sig[BI]", "/proc/self/status"])
        rpc.wait(number)
        lines = rpc.log(number).splitlines()

    assert [line.split() for line in lines] == [["SigBlk:", "0" * 16], ["SigIgn:", "0" * 16]]


def test_nobody_else_may_read_what_the_dispatcher_keeps(untidy):
    with Rpc(untidy) as rpc, SysAdm(untidy):
        rpc.run("look")
        kept = [untidy.state_dir, untidy.log_dir, *untidy.state_dir.rglob("*"), *untidy.log_dir.rglob("*")]
        # A journal may go while we look.
        modes = {path: mode(path) for path in kept if path.exists()}

    names = {path.name for path in modes}
    assert {
        "1.log",
        "dispatcher.db",
        "dispatcher.db-wal",
        "tls.key",
        "lock",
        "spool",
        "dispatcher.sock",
    } <= names
    open_to_others = {str(path): oct(found) for path, found in modes.items() if found & 0o077}
    # The socket lets anybody knock: who it is, the kernel says. But its directory lets nobody in.
    assert {path: found for path, found in open_to_others.items() if not path.endswith(".sock")} == {}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_old_jobs_and_their_logs_are_forgotten_and_a_client_that_missed_them_is_told(daemon):
    put_look(daemon)
    with Rpc(daemon) as rpc:
        old = rpc.run("look")["number"]
        gate = daemon.folder / "gate"
        live = rpc.submit(["sh", "-c", f'echo on; until [ -e "{gate}" ]; do sleep 0.02; done'])
        until(lambda: rpc.log(live) == "on\n", "it runs")
    daemon.configure({"limits": {"keep_days": 0}})
    daemon.restart()
    until(lambda: not (daemon.log_dir / "0" / f"{old}.log").exists(), "its log is removed")
    with Rpc(daemon) as rpc:
        gone = rpc.answer("show", job=old)
        left = [job["number"] for job in rpc.call("list", all=True)["jobs"]]
        missed = rpc.call("events", since=1)
        gate.touch()
        ended = rpc.wait(live)
        log = rpc.log(live)

    assert "there is no job with number" in str(gone["error"])
    assert left == [live]
    assert missed["truncated"] is not None
    assert (ended["outcome"], log) == ("success", "on\n")
