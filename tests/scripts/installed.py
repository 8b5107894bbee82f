"""A copy of the sources, and a folder that stands for / into which script/install installs."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

from tests.daemon import ROOT

SOURCES = ("dispatcher", "script", "rc.d", "systemd", "pyproject.toml", "queues.yaml", "README.md", "LICENSE")


class Place:
    """A copy of the sources, and the folder that they are installed into."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.destdir = folder / "root"
        self.home = folder / "home"
        self.home.mkdir()
        self.source.mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, self.source / name)
        self.before = set(self.source.rglob("*"))

    def call(self, *options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["sh", "script/install", *options],
            cwd=self.source,
            env=os.environ | {"HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=140,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.call("--destdir", str(self.destdir))

    def tree(self) -> dict[str, tuple[int, int, bytes]]:
        """What lies below the folder: mode, time, and contents or target."""
        found = {}
        for path in self.destdir.rglob("*"):
            known = path.lstat()
            holds = (
                bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            )
            found[str(path.relative_to(self.destdir))] = (known.st_mode, known.st_mtime_ns, holds)
        return found

    def mode(self, path: str) -> str:
        return stat.filemode((self.destdir / path).stat().st_mode)


def seemingly_installed(folder: Path) -> Place:
    """Give sources whose program seems to be installed already, so that script/install does only the rest."""
    made = Place(folder)
    python = made.destdir / "usr/local/libexec/dispatcher/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    contents = "find dispatcher queues.yaml pyproject.toml -type f ! -name '*.pyc' | LC_ALL=C sort | xargs cksum | cksum"
    done = subprocess.run(["sh", "-c", contents], cwd=made.source, capture_output=True, check=True)
    (python.parent.parent / "contents").write_bytes(done.stdout)
    return made
