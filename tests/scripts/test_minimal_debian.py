"""The scripts on a machine with nothing on it: a minimal Debian, made by mmdebstrap and entered by chroot.

It takes two minutes and the network, so it runs only when asked for:
DISPATCHER_CHROOT_TEST=1 .venv/bin/python -m pytest tests/scripts/test_minimal_debian.py
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ROOT
from tests.scripts.installed import SOURCES

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Mounted in a namespace of its own: whatever happens, nothing stays mounted.
ENTER = """\
mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" &&
exec chroot "$1" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    PIP_CERT=/etc/machine.crt sh -euc "cd /src; $2"
"""


def why_not() -> str:
    if os.geteuid() != 0:
        return "chroot takes root"
    for program in ("mmdebstrap", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if os.environ.get("DISPATCHER_CHROOT_TEST") != "1":
        return "it takes two minutes and the network; with DISPATCHER_CHROOT_TEST=1 it runs"
    return ""


pytestmark = [
    pytest.mark.skipif(why_not() != "", reason=f"no minimal Debian: {why_not()}"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def debian() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    root = folder / "root"
    try:
        done = subprocess.run(
            ["mmdebstrap", "--variant=minbase", "bookworm", str(root)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (root / "src").mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, root / "src" / name)
        # Names are looked up, and package servers trusted, as this machine does.
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        if CERTIFICATES.exists():
            shutil.copy(CERTIFICATES, root / "etc" / "machine.crt")
        yield root
    finally:
        shutil.rmtree(folder)


def inside(root: Path, script: str) -> str:
    """Run a script in there; give what it wrote."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(root), script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_script_run_installs_what_it_needs_and_shows_that_all_is_right(debian):
    said = inside(debian, "sh script/run --once")

    assert (
        "installing what is missing: apt-get install -y --no-install-recommends python3 python3-venv" in said
    )
    assert said.endswith("all was right: every outcome, code and log\n")


def test_what_script_install_installs_serves_and_can_be_taken_away(debian):
    said = inside(
        debian,
        "sh script/install; sh script/install; dispatcher serve & dispatcher status --wait 30;"
        " echo secret | dispatcher passwd admin --level full --stdin;"
        " dispatcher run --wait -- echo hello; dispatcher log 1; kill $!; wait $!; sh script/install --remove",
    )

    assert said.count("/usr/local/bin/dispatcher passwd admin --level full\n") == 2
    assert "nothing has changed" in said
    assert "socket   /run/dispatcher/dispatcher.sock\n" in said
    assert "job 1: success" in said
    assert "\nhello\n" in said
    assert not (debian / "usr/local/libexec/dispatcher").exists()
    assert (debian / "var/lib/dispatcher/dispatcher.db").exists()
    assert (debian / "etc/dispatcher/queues.yaml").exists()
