"""The systemd unit: what systemd thinks of it, and what must stand in it for jobs to outlive the daemon."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd" / "dispatcher.service"


def read() -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text())
    return unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong(tmp_path):
    # It looks whether the programs are there.
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/usr/local/bin/dispatcher", "/bin/true"))

    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / UNIT.name)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_workers_and_commands_are_left_alone():
    service = read()["Service"]

    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert service["TasksMax"] == "infinity"
    assert not {"RuntimeDirectory", "PrivateTmp", "ProtectSystem", "NoNewPrivileges"} & set(service)


def test_its_folders_are_those_of_the_program_and_it_says_when_it_is_ready():
    service = read()["Service"]

    assert service["Type"] == "notify"
    assert (service["StateDirectory"], service["StateDirectoryMode"]) == ("dispatcher", "0700")
    assert (service["LogsDirectory"], service["LogsDirectoryMode"]) == ("dispatcher", "0750")


@pytest.mark.parametrize(("system", "called"), [("running", ""), ("stopping", "stopjobs")])
def test_jobs_are_stopped_only_when_the_machine_goes_down(tmp_path, system, called):
    shell, option, script = read()["Service"]["ExecStop"].split(" ", maxsplit=2)
    for name, text in (("systemctl", f"echo {system}"), ("dispatcher", f'echo "$*" >{tmp_path}/called')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "called").touch()
    # What systemd makes of the line: the quotes go, and $$ is a $.
    script = (
        script.strip("'")
        .replace("$$", "$")
        .replace("/usr/local/bin/dispatcher", str(tmp_path / "dispatcher"))
    )

    done = subprocess.run([shell, option, script], env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, check=False)

    assert done.returncode == 0
    assert (tmp_path / "called").read_text().split(" --")[0].strip() == called
    assert "machine shutdown" in (tmp_path / "called").read_text() or not called
