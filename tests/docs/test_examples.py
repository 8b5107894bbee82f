"""Run every example of the docs: what CONTRIBUTING.md says about fences is what is done here.

Names that stand for the reader's own (ports, the account, the certificate) are replaced by the test's.
"""

import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from websockets.sync.client import ClientConnection, connect

from tests.daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ELSEWHERE = {"docs/admin.md"}  # its commands are those of a whole machine: test_admin_guide.py
KNOWN = {"console", "python", "wire sysadm", "wire jsonrpc", "wire truenas", "yaml", "sh", "text"}


class Example(NamedTuple):
    page: str
    line: int
    kind: str
    text: str


def examples(*kinds: str) -> list[Example]:
    """Give the blocks of some kinds, in order."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Example(str(page.relative_to(ROOT)), line, match[1].strip(), match[2]))
    return [one for one in found if not kinds or one.kind in kinds]


def each(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "example", [pytest.param(one, id=f"{one.page}:{one.line}") for one in examples(*kinds)]
    )


def adapted(text: str, daemon: Daemon) -> str:
    """Put this daemon's names in the place of the reader's."""
    for there, here in (
        ("localhost:12150", f"localhost:{daemon.tls_port}"),
        ("localhost:12151", f"localhost:{daemon.tls_port}"),
        ("/var/db/dispatcher/tls.crt", str(daemon.state_dir / "tls.crt")),
    ):
        text = text.replace(there, here)
    return text


def test_every_fence_says_what_it_is():
    unknown = [one for one in examples() if one.kind not in KNOWN]

    assert unknown == []


def test_every_link_between_pages_leads_somewhere():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []


@each("yaml")
def test_settings_pass_the_check(example, tmp_path):
    assert isinstance(yaml.safe_load(example.text), dict)
    file = tmp_path / "queues.yaml"
    file.write_text(example.text)

    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "check", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout != "") == (0, True), done.stderr


@pytest.mark.parametrize("page", sorted({one.page for one in examples("console")} - ELSEWHERE))
def test_the_console_shows_what_the_page_says(page, daemon, tmp_path):
    program = tmp_path / "dispatcher"
    arguments = f"--config {daemon.config} --socket {daemon.socket}"
    program.write_text(f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m dispatcher {arguments} "$@"\n')
    program.chmod(0o755)
    use_the_account_of_the_docs(daemon)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for example in examples("console"):
        if example.page == page:
            for command, status, output in transcript(adapted(example.text, daemon)):
                done = subprocess.run(
                    ["sh", "-c", command],
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    timeout=60,
                )
                where = f"{page}:{example.line}: {command} wrote:\n{done.stdout}"
                assert done.returncode == status, where
                assert matches(done.stdout, output), where


def transcript(text: str) -> list[tuple[str, int, str]]:
    """Give each command with its exit status and the output that follows it."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert parts[0] == "", f"a console begins with a command: {parts[0]!r}"
    found = []
    for part in parts[1:]:
        line, _, output = part.partition("\n")
        exits = re.search(r"\s+# exits (\d+)$", line)
        found.append((line[: exits.start()] if exits else line, int(exits[1]) if exits else 0, output))
    return found


def matches(got: str, wanted: str) -> bool:
    """Compare, `...` being any text, none included."""
    pattern = ".*".join(re.escape(part) for part in wanted.rstrip().split("..."))
    return wanted == "" or re.fullmatch(pattern, got.rstrip(), re.DOTALL) is not None


@each("python")
def test_programs_end_well(example, daemon):
    use_the_account_of_the_docs(daemon)

    done = subprocess.run(
        [sys.executable, "-c", adapted(example.text, daemon)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    assert "error" not in done.stdout
    assert "'state': 'finished'" in done.stdout


@each("wire sysadm", "wire jsonrpc", "wire truenas")
def test_the_wire_carries_what_the_page_says(example, daemon):
    use_the_account_of_the_docs(daemon)
    path = {"wire sysadm": "/", "wire jsonrpc": "/api/current", "wire truenas": "/websocket"}[example.kind]
    if '"name":"iocage"' in example.text:
        daemon.script("iocage", "echo tank")
    if '"name":"pkg"' in example.text:
        daemon.script("pkg", "echo Your packages are up to date.")
    context = ssl.create_default_context(cafile=daemon.state_dir / "tls.crt")
    with connect(f"wss://localhost:{daemon.tls_port}{path}", ssl=context) as socket:
        log_in(socket, example.kind)
        # Whether an answer or an event comes first is not promised; each of the two has its order.
        waiting: dict[bool, list[dict[str, object]]] = {True: [], False: []}
        for line in example.text.splitlines():
            mark, _, text = line.partition(" ")
            message = json.loads(text)
            if mark == ">":
                socket.send(text)
                continue
            same_kind = waiting[is_event(message)]
            while not same_kind:
                got = json.loads(socket.recv(timeout=20))
                waiting[is_event(got)].append(got)
            got = same_kind.pop(0)
            assert is_like(got, message), f"{example.page}: wanted {text}\ngot {json.dumps(got)}"


def is_event(message: dict[str, object]) -> bool:
    if "msg" in message:
        return message["msg"] in ("added", "changed", "nosub")
    return message.get("id", "none") == "none"


def use_the_account_of_the_docs(daemon: Daemon) -> None:
    done = daemon.cli(
        "--config", str(daemon.config), "passwd", "admin", "--level", "full", "--stdin", text="secret\n"
    )
    assert done.returncode == 0, done.stderr


def log_in(socket: ClientConnection, kind: str) -> None:
    name = {"username": "admin", "password": "secret"}
    if kind == "wire sysadm":
        socket.send(json.dumps({"namespace": "rpc", "name": "auth", "id": "0", "args": name}))
    elif kind == "wire truenas":
        socket.send(json.dumps({"msg": "connect", "version": "1", "support": ["1"]}))
        assert json.loads(socket.recv(timeout=20))["msg"] == "connected"
        socket.send(json.dumps({"msg": "method", "id": "0", "method": "auth.login", "params": [name]}))
    else:
        socket.send(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "auth.login", "params": [name]}))
    answer = socket.recv(timeout=20)
    assert "error" not in str(answer), answer


def is_like(got: object, wanted: object) -> bool:
    """Compare; the string "..." is like anything, but keys and lengths count."""
    if wanted == "...":
        return True
    if isinstance(got, dict) and isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(is_like(got[key], wanted[key]) for key in wanted)
    if isinstance(got, list) and isinstance(wanted, list):
        return len(got) == len(wanted) and all(
            is_like(one, other) for one, other in zip(got, wanted, strict=True)
        )
    return got == wanted


def test_an_example_that_is_wrong_is_found():
    assert is_like({"a": [1, "x"]}, {"a": [1, "..."]})
    assert not is_like({"a": 1, "b": 2}, {"a": 1})
    assert not is_like([1, 2], [1])
    assert matches("job 1 (x): success, after 0.1 s\n", "job 1 (...): success, after ...\n")
    assert not matches("job 1: failed\n", "job 1: success\n")
    assert transcript("$ false   # exits 1\n$ echo a\na\n") == [("false", 1, ""), ("echo a", 0, "a\n")]
