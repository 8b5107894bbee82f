"""The repository's own scripts: every shell reads them, they set up what they say, and the demonstration is right."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "rc"
SCRIPTS = [ROOT / "script" / name for name in ("lib.sh", "run", "test", "install", "floors")]
SCRIPTS += [ROOT / ".ci" / "run", ROOT / "rc.d" / "dispatcher", *sorted(DATA.iterdir())]
SHELLS = [shell for shell in ("sh", "dash", "busybox") if shutil.which(shell)]
TOOLS = ("cat", "cksum", "dirname", "sed", "sh", "uname", "mkdir", "chmod", "rm")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("script", SCRIPTS, ids=names)
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_can_read_it(shell, script):
    program = ["busybox", "sh"] if shell == "busybox" else [shell]

    done = subprocess.run([*program, "-n", str(script)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    done = subprocess.run(
        ["shellcheck", "-x", *map(str, SCRIPTS)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout == ""


class Machine:
    """A machine of our making: a copy of the scripts, and a PATH with nothing on it but what is put there.

    Programs that are put there append their names and arguments to `calls`.
    """

    def __init__(self, folder: Path, shell: str) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        self.calls.touch()
        shutil.copytree(ROOT / "script", folder / "script", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.shell = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else [])]
        self.put("id", "echo 0", is_told=False)

    def put(self, name: str, text: str, *, is_told: bool = True, folder: Path | None = None) -> None:
        tell = f'echo "{name} $*" >>{self.calls}\n' if is_told else ""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # What is there may be a link to the machine's own program, which writing would go through to.
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{tell}{text}\n")
        path.chmod(0o755)

    def put_python(self) -> None:
        """Put a Python there that makes a .venv whose Python only tells how it was called."""
        inside = f'#!/bin/sh\\necho "venv-python $*" >>{self.calls}\\n'
        make = f"mkdir -p .venv/bin; printf '{inside}' >.venv/bin/python; chmod +x .venv/bin/python"
        self.put("python3", f"case $1 in -c) ;; -m) {make} ;; esac")

    def call(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.shell, "-euc", f". script/lib.sh; {text}"],
            cwd=self.folder,
            env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def told(self, start: str = "") -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.startswith(start)]


@pytest.fixture(params=SHELLS)
def machine(request, tmp_path):
    return Machine(tmp_path, request.param)


def test_a_machine_without_python_gets_one_and_is_told_so_first(machine):
    machine.put("apt-get", f'[ "$1" = update ] || cp {machine.bin}/later {machine.bin}/python3')
    (machine.bin / "cp").symlink_to(str(shutil.which("cp")))
    machine.put_python()
    (machine.bin / "python3").rename(machine.bin / "later")

    done = machine.call("make_venv test")

    assert done.returncode == 0, done.stderr
    assert (
        "installing what is missing: apt-get install -y --no-install-recommends python3 python3-venv"
        in done.stderr
    )
    assert machine.told("apt-get")[1] == "apt-get install -y --no-install-recommends python3 python3-venv -qq"
    assert machine.told("venv-python")[-1].endswith("-e .[test]")


def test_who_is_not_root_is_told_what_to_run_as_root(machine):
    machine.put("apt-get", "")
    machine.put("id", "echo 1000", is_told=False)

    done = machine.call("make_venv test")

    assert done.returncode == 1
    assert "needs root; run this as root, then try again: apt-get install" in done.stderr
    assert machine.told() == []


def test_on_freebsd_pkg_is_used(machine):
    machine.put("pkg", "exit 1")

    done = machine.call("make_venv test")

    assert done.returncode == 1
    assert machine.told() == ["pkg install -y python311"]


def test_a_machine_without_a_package_manager_gets_a_sentence(machine):
    done = machine.call("make_venv test")

    assert done.returncode == 1
    assert "neither apt-get nor pkg is here; install it by hand" in done.stderr


def test_the_second_time_nothing_is_installed_until_pyproject_changes(machine):
    machine.put_python()

    def installs() -> int:
        assert machine.call("make_venv test").returncode == 0
        return len([line for line in machine.told("venv-python") if "pip install" in line])

    first, second = installs(), installs()
    with (machine.folder / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    third = installs()

    assert (first, second, third) == (1, 1, 2)


def test_script_run_needs_nothing_more_where_the_tests_were_set_up(machine):
    machine.put_python()
    machine.call("make_venv test")
    before = len(machine.told())

    done = machine.call('make_venv ""')

    assert done.returncode == 0
    assert not [line for line in machine.told()[before:] if "pip install" in line]


def test_the_program_that_makes_networks_is_installed_where_it_can_be(machine):
    machine.put("apt-get", "")
    (machine.bin / "ip").unlink(missing_ok=True)

    machine.call("need_ip")
    machine.put("ip", "")
    machine.call("need_ip")

    assert machine.told("apt-get install") == [
        "apt-get install -y --no-install-recommends iproute2 -qq",
    ]


class FreeBSD:
    """Makes a machine of ours a FreeBSD whose Python lacks `missing`, and whose pkg does not have `absent`."""

    def __init__(self, machine: Machine, missing: str, absent: str = "none") -> None:
        imports = " | ".join(f'"import {name}"' for name in missing.split())
        inside = f'#!/bin/sh\\necho "venv-python $*" >>{machine.calls}\\n'
        make = f"mkdir -p .venv/bin; printf '{inside}' >.venv/bin/python; chmod +x .venv/bin/python"
        machine.put("uname", "echo FreeBSD", is_told=False)
        machine.put("pkg", f'[ "$1" != rquery ] || case $3 in *-{absent}) ;; *) echo "$3" ;; esac')
        machine.put(
            "python3",
            f"case $1 in -m) {make} ;; esac; case $2 in *%d%d*) echo 311 ;; {imports}) exit 1 ;; esac",
        )


def test_on_freebsd_what_would_be_compiled_comes_from_pkg_and_the_environment_sees_it(machine):
    FreeBSD(machine, missing="sqlite3 cryptography yaml")

    done = machine.call("make_venv test")

    assert done.returncode == 0, done.stderr
    assert machine.told("pkg install") == ["pkg install -y py311-sqlite3 py311-cryptography py311-pyyaml"]
    assert machine.told("python3 -m venv") == ["python3 -m venv --clear --system-site-packages .venv"]
    assert "compil" not in done.stderr


def test_what_freebsd_has_no_package_for_is_compiled_and_that_is_said_first(machine):
    FreeBSD(machine, missing="msgspec", absent="msgspec")

    done = machine.call("make_venv test")

    assert done.returncode == 0, done.stderr
    assert "pkg has no py311-msgspec: pip will compile that" in done.stderr.splitlines()[0]
    assert machine.told("pkg install") == []


def test_a_python_of_freebsd_without_sqlite_is_refused_before_anything_is_done(machine):
    FreeBSD(machine, missing="sqlite3", absent="sqlite3")

    done = machine.call("make_venv test")

    assert done.returncode == 1
    assert "python3 has no sqlite3, and pkg has no py311-sqlite3; name another one: PYTHON=" in done.stderr
    assert machine.told("python3 -m") == []


def test_nothing_is_compiled_unless_ready_made_packages_are_not_enough_and_that_is_said(machine):
    machine.put_python()
    machine.call("make_venv test")
    ready_made = machine.told("venv-python -m pip install")
    machine.put(
        "python",
        'case "$*" in *--only-binary*) exit 1 ;; esac',
        folder=machine.folder / ".venv" / "bin",
    )
    (machine.folder / ".venv" / "installed-test").unlink()

    done = machine.call("make_venv test")
    compiled = machine.told("python -m pip install")

    assert ["--only-binary :all:" in line for line in ready_made] == [True]
    assert done.returncode == 0, done.stderr
    assert ["--only-binary :all:" in line for line in compiled] == [True, False]
    assert "not everything is there ready-made for this system (see above): compiling" in done.stderr


def test_ci_runs_exactly_script_test_with_its_arguments(tmp_path):
    for folder in ("script", ".ci"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "script" / "test").write_text('echo "$PWD: $*"; exit 7\n')

    done = subprocess.run(
        ["sh", str(tmp_path / ".ci" / "run"), "-k", "x"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (7, f"{tmp_path}: -k x\n")


def test_script_test_runs_every_check_and_pytest_last(machine):
    program = {"ruff": "", "mypy": "", "python": ""}
    for name in program:
        machine.put(name, "", folder=machine.folder / ".venv" / "bin")
    for name in ("curl", "busybox", "shellcheck"):
        machine.put(name, "")
    machine.call("wanted test >.venv/installed-test")

    done = machine.call("exec sh script/test tests/core -k queue")
    checks = [line for line in machine.told() if not line.startswith("python -c")]

    assert done.returncode == 0, done.stderr
    assert checks[:3] == ["ruff check .", "ruff format --check .", "mypy "]
    assert re.fullmatch(r"python -m pytest -n 3 .*--cov .* tests/core -k queue", checks[3])
    assert len(checks) == 4


@pytest.mark.parametrize("status", [0, 1])
def test_script_test_tests_with_the_oldest_libraries_before_it_tests_everything(machine, status):
    for name in ("ruff", "mypy", "python"):
        machine.put(name, "", folder=machine.folder / ".venv" / "bin")
    for name in ("curl", "busybox", "shellcheck"):
        machine.put(name, "")
    machine.put("floors", f"exit {status}", folder=machine.folder / "script")
    machine.call("wanted test >.venv/installed-test")

    done = machine.call("exec sh script/test")
    order = [line.split(" -n")[0].strip() for line in machine.told() if not line.startswith("python -c")]

    assert done.returncode == 0
    assert order[-2:] == ["floors", "python -m pytest"]
    outcome = (machine.folder / "var" / "floors" / "outcome").read_text()
    assert outcome == ("failed\n" if status else "passed\n")


def test_script_test_tests_nothing_that_the_checks_refuse(machine):
    for name, text in (("ruff", "exit 1"), ("mypy", "exit 1"), ("python", "")):
        machine.put(name, text, folder=machine.folder / ".venv" / "bin")
    for name in ("curl", "busybox", "shellcheck"):
        machine.put(name, "")
    machine.call("wanted test >.venv/installed-test")

    done = machine.call("exec sh script/test")

    assert done.returncode == 1
    assert "not good yet: ruff-check ruff-format mypy" in done.stderr
    assert machine.told("python -m pytest") == []


def test_the_demonstration_runs_once_and_all_is_right():
    before = set((ROOT / "var").glob("once-*"))

    done = subprocess.run(
        [sys.executable, "-m", "script.demo", "--once"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all was right: every outcome, code and log\n")
    for queue in ("no_queue", "pkg_queue", "iocage_queue"):
        assert f"-q {queue} " in done.stdout
    assert set((ROOT / "var").glob("once-*")) == before
