"""How much 10,000 wrong passwords slow a client who is logged in: rpc/dispatcher `list`, quiet and attacked.

Each round has a daemon of its own. The attacker is a process on 127.0.0.2 with 50 connections over TLS, the
client is on 127.0.0.1; it makes one list after the other for as long as the attack lasts.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.client import Connection
from bench.contestants import BUILD
from bench.guesser import call, log_in, secured
from bench.ours import PASSWORD, ROOT, add_account, serving
from bench.rounds import Row, percentile, show

CONNECTIONS = 50
GUESSES = 10_000
QUIET_SECONDS = 5.0
TITLE = f"list during {GUESSES} wrong passwords over {CONNECTIONS} connections"


class _Attacked(NamedTuple):
    lists: list[float]  # seconds of each
    guesses: int
    seconds: float


def passwords(rounds: int) -> dict[str, list[Row]]:
    """Milliseconds of a list; less is better. The value of a round is its median."""
    print(f"\n{TITLE}", flush=True)
    quiet: list[float] = []
    attacked: list[float] = []
    top = Path(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    try:
        for number in range(rounds):
            folder = top / str(number)
            folder.mkdir()
            before, during = _round(folder)
            quiet.append(1000 * statistics.median(before))
            attacked.append(1000 * statistics.median(during.lists))
            print(
                f"  round {number + 1} of {rounds}: quiet {quiet[-1]:.3g} ms (p99 {_p99(before):.3g}),"
                f" attacked {attacked[-1]:.3g} ms (p99 {_p99(during.lists):.3g}), ratio"
                f" {attacked[-1] / quiet[-1]:.2f}; {during.guesses} guesses in {during.seconds:.1f} s",
                flush=True,
            )
    finally:
        shutil.rmtree(top, ignore_errors=True)
    ratios = [one / other for one, other in zip(attacked, quiet, strict=True)]
    rows = [
        Row("quiet", "", quiet, "quiet", [1.0] * rounds),
        Row("attacked", "", attacked, "quiet", ratios),
    ]
    show(TITLE, "ms", rows, {})
    return {TITLE: rows}


def _round(folder: Path) -> tuple[list[float], _Attacked]:
    config, state = folder / "queues.yaml", folder / "state"
    settings = {
        "state_dir": str(state),
        "accounts": str(folder / "accounts"),
        "auth": {"methods": ["accounts"]},
        "listen": [
            {"unix": str(state / "dispatcher.sock")},
            {"address": "127.0.0.1", "port": 0, "tls": True},
        ],
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    add_account(config)
    with serving(config):
        listening = json.loads((state / "listening.json").read_text())
        port = next(one["port"] for one in listening if "port" in one)
        certificate = str(state / "tls.crt")
        client = Connection(secured(certificate, port, "127.0.0.1"), "/")
        if b'"response"' not in _answer(client, log_in(PASSWORD)):
            raise RuntimeError("the right password was refused")
        until = time.perf_counter() + QUIET_SECONDS
        quiet = _lists(client, lambda: time.perf_counter() < until)
        return quiet, _attack(client, certificate, port)


def _attack(client: Connection, certificate: str, port: int) -> _Attacked:
    attacker = subprocess.Popen(
        [sys.executable, "-m", "bench.guesser", certificate, str(port), str(CONNECTIONS), str(GUESSES)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert attacker.stdin is not None
        assert attacker.stdout is not None
        if attacker.stdout.readline() != "open\n":
            raise RuntimeError("the attacker could not connect")
        attacker.stdin.write("go\n")
        attacker.stdin.flush()
        took = _lists(client, lambda: attacker.poll() is None)
        refused, let_in, seconds = json.loads(attacker.stdout.read())
    finally:
        attacker.kill()
        attacker.communicate()
    if (refused, let_in) != (GUESSES, 0):
        raise RuntimeError(f"{refused} of {GUESSES} guesses were refused, {let_in} let in")
    return _Attacked(took, refused, seconds)


def _lists(client: Connection, goes_on: Callable[[], bool]) -> list[float]:
    took = []
    question = call("dispatcher", {"action": "list"})
    while goes_on():
        begun = time.perf_counter()
        answer = _answer(client, question)
        took.append(time.perf_counter() - begun)
        if b'{"jobs":{}}' not in answer:
            raise RuntimeError(f"no list: {answer!r}")
    return took


def _answer(client: Connection, question: bytes) -> bytes:
    client.send([question])
    while not (answers := list(client.messages())):
        pass
    return answers[0]


def _p99(values: list[float]) -> float:
    return 1000 * percentile(values, 0.99)
