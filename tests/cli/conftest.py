"""Fixtures of the command line's tests: a scripted daemon, and `dispatcher VERB` called in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dispatcher.cli import main
from tests.cli.fake_daemon import FakeDaemon, fake_daemon


class Said(NamedTuple):
    """What a call left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeDaemon]:
    with fake_daemon(tmp_path_factory.mktemp("d") / "d.sock") as daemon:
        yield daemon


@pytest.fixture
def say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Said]:
    """Call a verb; `socket` is the scripted daemon's, if the test has one."""

    def call(*arguments: str, socket: Path | None = None) -> Said:
        if socket is None and "scripted" in request.fixturenames:
            socket = request.getfixturevalue("scripted").path
        try:
            status = main(["--socket", str(socket or tmp_path / "none.sock"), *arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return call
