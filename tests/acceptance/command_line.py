"""Call the command line against a real daemon, and compare its `--json` with golden files.

In those, what differs from run to run stands as its kind: <time>, <seconds>, <pid>, <uuid>, <event>,
<bytes>, <folder>, <user>, <home>.
"""

import json
import os
import pwd
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.daemon_clients import until
from tests.daemon import PATIENCE, PROGRAM, ROOT, Daemon

ME = pwd.getpwuid(os.geteuid())
DATA = ROOT / "tests" / "data" / "cli" / "daemon"
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("submitted", "started", "finished", "ended", "at"),
        ("<time>", lambda it: bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", it))),
    ),
    **dict.fromkeys(("duration", "seconds"), ("<seconds>", lambda it: 0 <= it < 60)),
    "pid": ("<pid>", lambda it: it > 1),
    **dict.fromkeys(("seq", "changed"), ("<event>", lambda it: isinstance(it, list) or it >= 1)),
}
SETTINGS = {"queues": {"brief": {"grace": "100 ms"}}}
UNTIL = 'echo begun; while [ ! -e "$0" ]; do sleep 0.05; done; echo over'
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def kinds(value: Any, folder: Path, name: str = "") -> Any:
    """Put kinds in the place of what differs; a value that is not of its kind stays, and is found."""
    match value:
        case dict():
            known = {key: kinds(one, folder, key) for key, one in value.items()}
            if known.get("error"):
                known["log_end"] = "<bytes>"  # the sentence names the PATH, which holds the folder
            return known
        case list():
            return [kinds(one, folder) for one in value]
        case None:
            return None
        case str() if UUID.fullmatch(value):
            return "<uuid>"
    kind, is_right = KINDS.get(name, ("", lambda _: False))
    if kind and is_right(value):
        return kind
    if isinstance(value, str):
        for here, there in ((str(folder), "<folder>"), (f"by {ME.pw_name}", "by <user>")):
            value = value.replace(here, there)
        return {ME.pw_name: "<user>", ME.pw_dir: "<home>"}.get(value, value)
    return value


def golden(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


def documents(daemon: Daemon, text: str) -> list[Any]:
    """Read what `--json` wrote: one document a line."""
    return [kinds(json.loads(line), daemon.folder) for line in text.splitlines()]


@contextmanager
def call(daemon: Daemon, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Call a verb and go on meanwhile; it is ended, if it has not by then."""
    command = [*PROGRAM, "--socket", str(daemon.socket), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """Read the next line of its output."""
    assert process.stdout is not None
    return process.stdout.readline()


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what nothing tells of; an AssertionError if it does not come."""
    until(is_so, "it came", PATIENCE)


def job(daemon: Daemon, name: int | str) -> Any:
    """Give a job's record."""
    return json.loads(daemon.cli("show", str(name), "--json", check=True).stdout)


def submit(daemon: Daemon, *arguments: str) -> int:
    """Run a job; give its number."""
    number: int = json.loads(daemon.cli("run", "--json", *arguments, check=True).stdout)["number"]
    return number
