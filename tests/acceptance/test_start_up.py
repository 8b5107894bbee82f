"""Starting, being told new settings, and ending: as an admin sees it, with the real daemon.

Whatever keeps it from starting is one sentence with the next move; never a traceback.
"""

import hashlib
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import yaml

from dispatcher.cli import main
from tests.acceptance.command_line import wait_until
from tests.acceptance.launchers import changed
from tests.daemon import PATIENCE, PROGRAM, ROOT, Daemon

MISTAKES = ROOT / "tests" / "data" / "settings"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may look into, with a short name: sockets' paths are short."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def write(folder: Path, **settings: object) -> Path:
    """Write queues.yaml; without a `listen` of its own, only a plain port that the system chooses."""
    config = folder / "queues.yaml"
    known = {"state_dir": f"{folder}/state", "listen": [{"address": "127.0.0.1", "port": 0, "tls": False}]}
    config.write_text(yaml.safe_dump(known | settings, sort_keys=False))
    return config


def unprivileged(folder: Path) -> tuple[str, ...]:
    """Give the program as nobody runs it, whom root's rights do not help."""
    if os.geteuid() != 0:
        return PROGRAM
    # Read first, for the interpreter may lie where nobody can go.
    return changed(
        folder,
        "import os, encodings.utf_8_sig, dispatcher.supervisor, dispatcher.config, dispatcher.cli.parser",
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)",
    )


def refusal(config: Path, status: int, *options: str, program: Sequence[str] = PROGRAM) -> str:
    """Start the daemon, which must end with this status and one sentence; give the sentence."""
    done = subprocess.run(
        [*program, "serve", "--config", str(config), *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert re.fullmatch(r"dispatcher: [^\n]+; [^\n]+\n", done.stderr), done.stderr
    return done.stderr.removeprefix("dispatcher: ").rstrip("\n")


# Settings that are wrong


@pytest.mark.parametrize("verb", ["serve", "check"])
def test_each_mistake_is_one_sentence_with_its_place_and_2(verb, capsys, monkeypatch):
    # What is right and cannot be used is no mistake in the file, and 1.
    statuses = {"state_dir_long": 1}
    monkeypatch.setattr("dispatcher.supervisor.run", lambda *_: pytest.fail("it started"))
    mistakes = sorted(MISTAKES.glob("*.yaml"))
    assert len(mistakes) > 50

    for file in mistakes:
        option = ["--config"] if verb == "serve" else []
        status = main([verb, *option, str(file)])
        said = capsys.readouterr()

        assert (status, said.out) == (statuses.get(file.stem, 2), ""), file
        assert re.fullmatch(rf"dispatcher: {re.escape(str(file))}:\d+:\d+: [^\n]+; [^\n]+\n", said.err), (
            said.err
        )


def test_a_mistake_starts_nothing(folder):
    config = folder / "queues.yaml"
    config.write_text(f"state_dir: {folder}/state\nqueues:\n  pkg_queue: {{concurency: 1}}\n")

    said = refusal(config, 2)

    assert (
        said
        == f"{config}:3:15: /queues/pkg_queue/concurency: there is no such key; did you mean 'concurrency'?"
    )
    assert list(folder.iterdir()) == [config]


def test_settings_that_are_not_there_are_2(folder):
    assert "there is no such file" in refusal(folder / "none.yaml", 2)


def test_a_state_dir_too_long_for_a_socket_is_named_with_its_place(folder):
    long = str(folder / ("x" * 100))

    assert refusal(write(folder, state_dir=long), 1).startswith(f"{folder}/queues.yaml:1:12: ")
    assert "too long" in refusal(write(folder), 1, "--state-dir", long)
    assert not Path(long).exists()


# A place that is wrong


def test_a_taken_port_is_named_with_its_setting_and_who_holds_it(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = [{"address": "127.0.0.1", "port": port, "tls": True}]
        said = refusal(write(folder, listen=listen), 1)

    me = f"{psutil.Process().name()} (pid {os.getpid()})"
    place, remedy = f"cannot listen on 127.0.0.1 port {port}: ", "stop it or change listen: in queues.yaml"
    assert said == f"{place}{me} listens there; {remedy}"


def test_a_file_in_the_place_of_the_socket_is_named(folder):
    occupied = folder / "file"
    occupied.write_text("precious")

    assert str(occupied) in refusal(write(folder, listen=[{"unix": str(occupied)}]), 1)
    assert occupied.read_text() == "precious"


@pytest.mark.parametrize("key", ["state_dir", "log_dir"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_directory_that_cannot_be_written_is_named(folder, key, is_there):
    wanted = folder / "closed" / "dir"
    wanted.mkdir(parents=True, mode=0o555)
    state = folder / "state"
    state.mkdir()
    state.chmod(0o777)
    if not is_there:
        wanted.rmdir()
        (folder / "closed").chmod(0o555)
    said = refusal(write(folder, **{key: str(wanted)}), 1, program=unprivileged(folder))
    (folder / "closed").chmod(0o755)

    assert f"{key} {wanted}" in said


def test_a_directory_that_is_a_file_is_named(folder):
    (folder / "state").write_text("")

    assert refusal(write(folder), 1).startswith(f"cannot make state_dir {folder}/state: ")


def test_a_database_that_cannot_be_opened_is_named(folder):
    state = folder / "state"
    state.mkdir()
    state.chmod(0o777)
    database = state / "dispatcher.db"
    database.touch()
    database.chmod(0o000)

    assert refusal(write(folder), 1, program=unprivileged(folder)).startswith(
        f"cannot open {database}: Permission denied; "
    )


def nonsense(file: Path) -> None:
    file.write_bytes(b"no database" * 999)


def torn(file: Path) -> None:
    file.write_bytes((ROOT / "tests" / "data" / "store" / "jobs-v1.db").read_bytes()[:5000])


def strangers(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


@pytest.mark.parametrize("broken", [nonsense, torn, strangers])
def test_a_broken_database_is_named_and_left_alone(folder, broken):
    database = folder / "state" / "dispatcher.db"
    database.parent.mkdir()
    broken(database)
    before = database.read_bytes()

    assert refusal(write(folder), 1).startswith(f"cannot open {database}: ")
    assert database.read_bytes() == before


def test_a_certificate_that_is_missing_or_none_is_named(folder):
    listen = [{"address": "127.0.0.1", "port": 0, "tls": True}]
    pair = {"certificate": f"{folder}/tls.crt", "key": f"{folder}/tls.key"}
    config = write(folder, listen=listen, tls=pair)

    assert refusal(config, 1).startswith(f"cannot read {folder}/tls.crt: ")
    for path in pair.values():
        Path(path).write_text("no certificate")
    assert refusal(config, 1).startswith(f"cannot use certificate {folder}/tls.crt: ")


def test_a_directory_in_the_place_of_the_workers_socket_is_named(folder):
    (folder / "state" / "workers.sock").mkdir(parents=True)

    assert f"{folder}/state/workers.sock" in refusal(write(folder), 1)


@pytest.mark.parametrize(
    ("mode", "text", "complaint"),
    [
        (0o644, "", "others may read or write the file; chmod 600 "),
        (0o620, "", "others may read or write the file; chmod 600 "),
        (0o600, "admin:full\n", "cannot understand this account; "),
    ],
)
def test_an_accounts_file_that_cannot_be_used_is_named(folder, mode, text, complaint):
    accounts = folder / "accounts"
    accounts.write_text(text)
    accounts.chmod(mode)

    said = refusal(write(folder, accounts=str(accounts)), 1)

    assert said.startswith(f"{accounts}:")
    assert complaint in said


def test_a_second_daemon_on_the_same_state_is_refused_and_the_first_serves_on(daemon, tmp_path):
    impatient = changed(
        tmp_path,
        "from dispatcher.runner.lock import SupervisorLock",
        "SupervisorLock.acquire.__func__.__defaults__ = (0.5,)",
    )

    said = refusal(daemon.config, 1, program=impatient)

    assert said.startswith(
        f"cannot start: another dispatcher (pid {daemon.pid}) holds {daemon.state_dir}/lock; "
    )
    assert daemon.cli("list").returncode == 0


# What it says


def lines(daemon: Daemon) -> list[str]:
    return daemon.stderr.splitlines()


def test_the_start_tells_what_was_found_where_it_listens_and_who_may(make_daemon, tmp_path):
    daemon = make_daemon(
        {
            "accounts": str(tmp_path / "none"),
            "listen": [
                {"unix": "dispatcher.sock"},
                {"address": "127.0.0.1", "port": 0, "tls": True},
                {"address": "0.0.0.0", "port": 0, "tls": False},
            ],
        }
    )
    certificate = daemon.state_dir / "tls.crt"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).digest().hex(":").upper()

    assert lines(daemon) == [
        "no jobs from before",
        f"certificate {certificate}, SHA-256 {digest}",
        f"listening on 127.0.0.1 port {daemon.tls_port}, with TLS",
        f"listening on 0.0.0.0 port {daemon.plain_port}, without TLS",
        f"listening on {daemon.folder}/dispatcher.sock",
        f"no accounts yet: only local root may use this dispatcher, over its Unix socket; add one with: dispatcher passwd NAME --level full --config {daemon.config}",
        "warning: listen: 0.0.0.0 port 0 is open to other machines without tls, so anybody on the way can read and change what is sent; write tls: true",
        "ready",
    ]


def test_the_next_start_tells_of_the_jobs_from_before(daemon):
    daemon.cli("run", "-q", "pkg_queue", "--", "sleep", "60", check=True)
    daemon.cli("run", "-q", "pkg_queue", "--", "true", check=True)

    assert "no accounts" not in daemon.stderr
    daemon.restart()
    assert lines(daemon)[0] == "jobs from before: 1 to take over, 1 pending"


def test_nobody_who_reads_its_messages_is_no_reason_to_end(daemon):
    reader, writer = os.pipe()
    os.close(reader)
    daemon.stop()
    with subprocess.Popen(
        [*PROGRAM, "serve", "--config", str(daemon.config)], cwd=ROOT, stderr=writer
    ) as deaf:
        os.close(writer)
        try:
            wait_until(lambda: daemon.cli("list").returncode == 0)
        finally:
            deaf.terminate()

        assert deaf.wait(PATIENCE) == 0


def test_a_start_reads_no_library_that_it_does_not_need():
    program = (
        "import sys, dispatcher.supervisor;"
        "print(sorted({'cryptography', 'psutil', 'rich', 'argparse', 'asyncio', 'websockets'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
