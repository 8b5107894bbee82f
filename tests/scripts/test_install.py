"""script/install: into a folder that stands for /, started from there, brought up to date, and taken away again."""

import os
import shutil
import socket
import subprocess

import pytest
import yaml

from tests.daemon import ROOT, Daemon
from tests.scripts.installed import Place, seemingly_installed

NEXT = [
    "systemctl enable dispatcher",
    "systemctl start dispatcher",
    "/usr/local/bin/dispatcher passwd admin --level full",
]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Place, subprocess.CompletedProcess[str]]:
    """The installed program, and what was said meanwhile; the tests of this file leave it as it is."""
    made = Place(tmp_path_factory.mktemp("i"))
    return made, made.install()


def test_the_last_words_are_the_next_three_commands(place):
    _, said = place

    assert said.stdout.splitlines() == NEXT


def test_everything_is_where_it_belongs_and_nothing_is_anywhere_else(place):
    installed, _ = place
    link = (installed.destdir / "usr/local/libexec/dispatcher/bin/python").resolve()
    unit = (installed.destdir / "etc/systemd/system/dispatcher.service").read_text()

    assert "ExecStart=/usr/local/bin/dispatcher serve\n" in unit
    assert (installed.destdir / "etc/dispatcher/queues.yaml").read_bytes() == (
        ROOT / "queues.yaml"
    ).read_bytes()
    assert installed.mode("var/lib/dispatcher") == "drwx------"
    assert installed.mode("var/log/dispatcher") == "drwxr-x---"
    assert installed.mode("run/dispatcher") == "drwxr-xr-x"
    assert (installed.destdir / "etc/logrotate.d/dispatcher").is_file()
    assert installed.mode("usr/local/bin/dispatcher") == "-rwxr-xr-x"
    assert link.is_file()
    assert set(installed.source.rglob("*")) == installed.before
    assert not (installed.home / ".cache").exists()


def test_no_file_knows_the_folder_that_stands_for_root(place):
    installed, _ = place
    name = str(installed.destdir).encode()

    assert [path for path, found in installed.tree().items() if name in found[-1]] == []


def test_a_second_time_nothing_changes(place):
    installed, _ = place
    before = installed.tree()

    said = installed.install()

    assert installed.tree() == before
    assert "nothing has changed" in said.stderr
    assert said.stdout.splitlines() == NEXT


def test_it_is_started_from_there_and_tells_a_manager_that_it_is_ready(
    place, accounts_file, tmp_path_factory
):
    installed, _ = place
    command = installed.destdir / "usr/local/bin/dispatcher"
    folder = tmp_path_factory.mktemp("d")
    link = folder / "link"
    link.symlink_to(command)
    daemon = Daemon(folder, accounts_file, program=(str(link),))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "manager"))
        manager.settimeout(20)
        os.environ["NOTIFY_SOCKET"] = str(folder / "manager")
        try:
            daemon.start()
            done = daemon.cli("run", "--wait", "--", "sh", "-c", "echo ${NOTIFY_SOCKET-none}")
            told = manager.recv(100)
        finally:
            del os.environ["NOTIFY_SOCKET"]
            daemon.end()

    assert done.returncode == 0, done.stderr
    assert told == b"READY=1"


def test_a_file_called_dispatcher_in_the_working_directory_is_not_the_program(place, tmp_path):
    installed, _ = place
    (tmp_path / "dispatcher.py").write_text("raise SystemExit('a stranger')\n")

    done = subprocess.run(
        [str(installed.destdir / "usr/local/bin/dispatcher"), "--version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert (done.returncode, done.stderr) == (0, "")


# What follows needs no libraries: the program that is there passes for an old one or the newest one.


@pytest.fixture
def quick(tmp_path) -> Place:
    return seemingly_installed(tmp_path)


def test_settings_that_are_there_are_kept_and_new_ones_go_beside_them(quick):
    settings = quick.destdir / "etc/dispatcher/queues.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("log: syslog\n")

    quick.install()
    sample = settings.with_name("queues.yaml.sample").read_bytes()
    before = quick.tree()
    quick.install()

    assert settings.read_text() == "log: syslog\n"
    assert sample == (ROOT / "queues.yaml").read_bytes()
    assert quick.tree() == before


def test_remove_takes_the_program_and_leaves_settings_state_and_logs(quick):
    quick.install()
    kept = ("etc/dispatcher/queues.yaml", "var/lib/dispatcher/dispatcher.db", "var/log/dispatcher/1.log")
    for name in kept[1:]:
        (quick.destdir / name).touch()

    quick.call("--destdir", str(quick.destdir), "--remove")

    assert {name for name in quick.tree() if (quick.destdir / name).is_file()} == set(kept)
    assert not (quick.destdir / "usr/local/libexec/dispatcher").exists()


def test_on_freebsd_it_is_the_rc_script_with_the_prefix_and_the_log_goes_to_syslog(quick, monkeypatch):
    folder = quick.home / "bin"
    folder.mkdir()
    (folder / "uname").write_text("#!/bin/sh\necho FreeBSD\n")
    (folder / "uname").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    shutil.move(quick.destdir / "usr", quick.destdir / "opt")

    said = quick.call("--destdir", str(quick.destdir), "--prefix=/opt/local")

    script = (quick.destdir / "opt/local/etc/rc.d/dispatcher").read_text()
    settings = yaml.safe_load((quick.destdir / "opt/local/etc/dispatcher/queues.yaml").read_text())
    assert ': "${dispatcher_config:=/opt/local/etc/dispatcher/queues.yaml}"\n' in script
    assert quick.mode("opt/local/etc/rc.d/dispatcher") == "-rwxr-xr-x"
    assert settings["log"] == "syslog"
    assert (quick.destdir / "opt/local/etc/newsyslog.conf.d/dispatcher.conf").is_file()
    assert quick.mode("var/db/dispatcher") == "drwx------"
    assert said.stdout.splitlines() == [
        "sysrc dispatcher_enable=YES",
        "service dispatcher start",
        "/opt/local/bin/dispatcher passwd admin --level full --config /opt/local/etc/dispatcher/queues.yaml",
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prefix"], "--prefix wants a folder that begins with /"),
        (["--destdir", "here"], "--destdir wants a folder that begins with /"),
        (["--prefix", "/a b"], "--prefix /a b has characters that service files cannot hold"),
        (["--delete"], "there is no option --delete"),
    ],
)
def test_wrong_options_are_a_sentence_and_2(quick, options, sentence):
    said = quick.call(*options, status=2)

    assert said.stderr == f"script/install: {sentence}; see: sh script/install --help\n"


def test_help_names_every_option_and_installs_nothing(quick):
    before = quick.tree()

    said = quick.call("--help", "--destdir", str(quick.destdir))

    assert all(option in said.stdout for option in ("--prefix", "--destdir", "--remove"))
    assert quick.tree() == before
