"""Commands that would ask, and get no answer."""

import pytest

from dispatcher.core.askers import warn_of_question
from dispatcher.core.splitting import read_command


def warning(*commands: str | list[str], env: dict[str, str] | None = None) -> str | None:
    return warn_of_question([c for c in map(read_command, commands) if c], env)


@pytest.mark.parametrize(
    "command",
    [
        "pkg install nginx",
        "pkg upgrade",
        "pkg delete -f x",
        "pkg remove x",
        "pkg autoremove",
        "pkg-static -d upgrade",
        "pkg -j jail-y install x",
        "pkg -o A=b install x",
        "pkg clean -a",
        "pkg install --no-repo-update x",
        "pkg lock x",
        "pkg set -n a:b",
        "sudo env ASSUME_ALWAYS_YES=no pkg install x",
        ["pkg", "install", "", "-"],
    ],
)
def test_pkg_without_yes_is_warned_of(command):
    assert "add -y" in (warning(command) or "")


@pytest.mark.parametrize(
    "command",
    [
        "pkg install -y nginx",
        "pkg install nginx -y",
        "pkg upgrade -fy",
        "pkg upgrade --yes",
        "pkg upgrade -n",
        "pkg lock -l",
        "pkg info",
        "pkg update",
        "pkg add ./x.pkg",
        "pkg",
        "pkg -v",
        "pkg -o ASSUME_ALWAYS_YES=yes install x",
        "pkg -oASSUME_ALWAYS_YES=true install x",
        "env ASSUME_ALWAYS_YES=yes pkg upgrade",
        "iocage destroy -f web",
        "iocage list",
        "echo pkg install",
        ["pkg", ""],
    ],
)
def test_what_does_not_ask_is_not_warned_of(command):
    assert warning(command) is None


def test_the_sentence_names_the_command_and_the_remedy():
    assert warning("true", "sudo pkg install x") == (
        "pkg install asks before it acts, and nobody can answer: a command's stdin is empty; add -y"
    )
    assert warning("iocage destroy web") == (
        "iocage destroy asks before it acts, and nobody can answer: a command's stdin is empty; add -f"
    )


def test_the_environment_of_the_job_may_answer():
    assert warning("pkg upgrade", env={"ASSUME_ALWAYS_YES": "YES"}) is None
    assert warning("pkg upgrade", env={"ASSUME_ALWAYS_YES": ""}) is not None
