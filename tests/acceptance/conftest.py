"""Fixtures of the acceptance tests: a daemon that has seen something, for those that only look."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_line import SETTINGS, submit
from tests.daemon import Daemon, running


@pytest.fixture(scope="module")
def world(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon in which one job of each kind is: ended in each way, running, pending."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)) as daemon:
        daemon.cli(
            "run", "--file", "-", text="{id: good, commands: [echo one, [echo, two words]]}", check=True
        )
        for command in (
            ["sh", "-c", "echo bad >&2; exit 3"],
            ["no-such-program"],
            ["sh", "-c", "kill -9 $$"],
        ):
            daemon.cli("wait", str(submit(daemon, "--", *command)))
        submit(daemon, "--id", "stopped", "--", "sleep", "60")
        daemon.cli("kill", "stopped", check=True)
        daemon.cli("wait", "stopped")
        submit(daemon, "--id", "lasting", "-q", "pkg_queue", "--", "sleep", "600")
        submit(daemon, "--id", "next", "-q", "pkg_queue", "--cwd", "/tmp", "--", "true")
        yield daemon


@pytest.fixture(scope="module")
def scratch(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for jobs that end within their test; which numbers they get, nobody knows."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)) as daemon:
        yield daemon
