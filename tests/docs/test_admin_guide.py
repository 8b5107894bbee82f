"""Walk the admin's guide from its first command to its last, on a machine of our making.

The dispatcher, the scripts and rc.d/dispatcher are real; rc.subr(8), daemon(8), sysrc(8), shutdown(8) and pkg(8) are
stand-ins, and script/install finds a program in its place already: that it makes one is tested elsewhere.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.daemon import ROOT, Daemon
from tests.docs.test_examples import examples, matches, transcript
from tests.scripts.installed import Place, seemingly_installed
from tests.scripts.rc_service import RealService

PAGE = "docs/admin.md"
PKG = """\
case $1 in
update) echo "Updating FreeBSD repository catalogue..." ;;
upgrade) echo "Your packages are up to date." ;;
fetch) exec sleep 600 ;;
esac
"""


class Machine:
    """A folder with all that the guide's commands are called by."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.daemon = Daemon(folder, settings={"log": "file"})
        self.daemon.script("pkg", PKG)
        self.service = RealService(folder, self.daemon)
        self.programs = folder / "programs"
        self.programs.mkdir()
        self._put("dispatcher", f'exec {self.service.program} --config {self.daemon.config} "$@"')
        self._put("service", f'RC_CONF={self.service.conf} STARTS=none exec sh {self.service.script} "$2"')
        self._put("sysrc", 'echo "${1%=*}: NO -> ${1#*=}"')
        self._put("shutdown", "service dispatcher faststop && service dispatcher start")
        self._put("uname", "echo FreeBSD")
        self._place = place

    def _put(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def call(self, command: str) -> subprocess.CompletedProcess[str]:
        """Carry out one command of the guide."""
        return subprocess.run(
            [
                "sh",
                "-c",
                command.replace("script/install", f"script/install --destdir {self._place.destdir}"),
            ],
            cwd=self._place.source,
            env=os.environ | {"PATH": f"{self.programs}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )


def test_every_command_of_the_guide_does_what_it_says(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("d"), seemingly_installed(tmp_path_factory.mktemp("i")))
    try:
        for example in examples("console"):
            if example.page == PAGE:
                for command, status, output in transcript(example.text):
                    done = machine.call(command)
                    where = f"{PAGE}:{example.line}: {command} wrote:\n{done.stdout}"
                    assert done.returncode == status, where
                    assert matches(done.stdout, output), where
    finally:
        machine.service.end()
        machine.daemon.end()


@pytest.mark.parametrize("path", ["README.md", "docs/index.md"])
def test_the_guide_is_found(path):
    assert "admin.md)" in (ROOT / path).read_text()
