"""What was recorded of the original server, said to ours: each answer is the same, but for what is listed.

The list is `recorded_differences.py`. What stands there and is no difference any more fails, too.
"""

import base64
import hashlib
import http.client
import itertools
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets import Origin
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.acceptance.daemon_clients import until
from tests.acceptance.recorded import (
    Blanks,
    Fields,
    Found,
    conversation,
    told_otherwise,
    without_uuids,
)
from tests.acceptance.recorded_differences import DIFFERENCES
from tests.acceptance.sysadm_client import PATIENCE, Client, record, tls_context
from tests.daemon import PROGRAM, ROOT, Account, Daemon, running

ACCOUNTS = {Account("whl", "x"): "full", Account("opr", "x"): "read"}
HOLD = "while [ -e {folder}/hold ]; do /bin/sleep 0.02; done"
STAND_INS = {
    "echo": f'{HOLD}\nexec /bin/echo "$@"',
    "sleep": f"case $1 in 0.6) {HOLD};; 1.*) exec /bin/sleep 0.05;; esac\n: >{{folder}}/began.$1\nexec /bin/sleep $1",
    "pkg": f"""\
echo "fakepkg $*"
case $1 in
upgrade) echo "Your packages are up to date.";;
audit) echo "Packages that depend on foo: a, b"; echo "Packages that depend on bar: c, a";;
*) echo "line 1"; echo "line 2"; {HOLD}; echo "line 3";;
esac""",
    "zpool": r"""
printf '%s\t' tank 107G 13.1G 93.9G - 6% 12% 1.00x ONLINE; echo -
printf '%s\t' full 100G 95G 5G - 6% 95% 1.00x ONLINE; echo -
printf '%s\t' bad 100G 5G 95G - 6% 5% 1.00x DEGRADED; echo -""",
}
# What these steps start is held, until the answer to one of the others is there.
HELD = {"run", "pkg install"}
RELEASED = {"list of what was started twice", "list of the queue", "list without a login"}
# These steps kill what sleeps so long; if it did not yet, there would be no return code to compare.
KILLS = {"kill one and an unknown one": 30, "kill it twice at once": 6}
# A kill ends nothing there, but here; so ours have ended before these steps.
KILLED = {"run the same twice": "k", "list after the kill": "killme"}


@pytest.fixture(scope="module")
def recorded_accounts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The users of the recordings."""
    folder = tmp_path_factory.mktemp("recorded")
    config = folder / "accounts.yaml"
    config.write_text(json.dumps({"state_dir": str(folder), "accounts": str(folder / "accounts")}))
    for account, level in ACCOUNTS.items():
        subprocess.run(
            [*PROGRAM, "passwd", account.name, "--level", level, "--stdin", "--config", str(config)],
            input=f"{account.password}\n",
            text=True,
            check=True,
            cwd=ROOT,
        )
    return folder / "accounts"


@pytest.fixture
def fresh(
    recorded_accounts: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Daemon]:
    """A daemon that has seen nothing yet, with stand-ins for what it starts and for what it watches."""
    watch = {
        "system_state": {"first": 0, "every": "1 h"},
        "life_preserver": {"log": str(tmp_path / "lpreserver.log")},
    }
    daemon = Daemon(
        tmp_path_factory.mktemp("d"), recorded_accounts, {"watch": watch} | getattr(request, "param", {})
    )
    for name, text in STAND_INS.items():
        daemon.script(name, text.replace("{folder}", str(daemon.folder)))
    with running(daemon):
        yield daemon


def check(name: str, found: Found) -> None:
    """Compare what was found with the list of differences, both ways."""
    rows = [row for row in DIFFERENCES if row.conversation == name]
    listed = [
        (f"{place}: {path}", ours)
        for row in rows
        for place, (path, ours) in itertools.product(row.places, row.ours.items())
    ]
    allowed = dict(listed)
    assert len(allowed) == len(listed), "a difference is listed twice"

    unlisted = {where: ours for where, ours in found.items() if not is_allowed(ours, allowed.get(where))}
    no_more = sorted(allowed.keys() - found.keys())
    assert (unlisted, no_more) == ({}, [])


def is_allowed(ours: object, listed: object) -> bool:
    return isinstance(ours, listed) if isinstance(listed, type) else ours == listed


def test_each_difference_has_a_reason_and_a_place_in_the_documentation():
    for row in DIFFERENCES:
        page, _, section = row.page.partition("#")
        titles = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)

        assert section in {title.lower().replace(" ", "-") for title in titles}, row
        assert row.why.endswith("."), row


class Replay:
    """One client that says what was recorded; `found` has what is answered otherwise."""

    def __init__(self, daemon: Daemon, client: Client, blanks: Blanks) -> None:
        self.found: Found = {}
        self._daemon = daemon
        self._client = client
        self._blanks = blanks
        self._events: dict[str, list[Fields]] = {}
        self._ended: set[str] = set()
        self._started: set[str] = set()
        self._refused: set[str] = set()  # keys under which no job runs

    def say(self, step: Fields) -> None:
        """Say one step when the jobs have ended that had when it was recorded; compare the answer."""
        name = step["step"]
        for key in [*step.get("ended", ()), *([KILLED[name]] if name in KILLED else [])]:
            self._hear_out(key)
        if name in KILLS:
            began = self._daemon.folder / f"began.{KILLS[name]}"
            until(began.exists, "the command runs that is to be killed")
        if name in HELD:
            (self._daemon.folder / "hold").touch()
        if "say_bytes" in step:
            self._client.socket.send(json.dumps(step["say_bytes"]).encode())
        else:
            self._client.say(step.get("say_text") or self._blanks.fill(step["say"]))
        for wanted in step["hear"]:
            if wanted["namespace"] == "events" and wanted["name"] != "response":
                self.compare(name, wanted, self._client.event())
            else:
                self._compare_answer(name, wanted)
        if name in RELEASED:
            (self._daemon.folder / "hold").unlink()

    def compare(self, place: str, wanted: Fields, ours: Fields) -> None:
        """Note the differences of a message."""
        for path, value in self._blanks.differences(wanted, without_uuids(ours)):
            self.found[f"{place}: {path}"] = value

    def compare_jobs(self, wanted: dict[str, list[Fields]]) -> None:
        """Hear of each job to its end, then compare how it was told."""
        for key, there in wanted.items():
            self._hear_out(key)
            for path, ours in told_otherwise(there, self._events.get(key, []), self._blanks).items():
                self.found[f"{key}: {path}"] = ours

    def _compare_answer(self, name: str, wanted: Fields) -> None:
        while (answer := self._client.answer())["id"] != wanted["id"]:
            self.found[f"{name}: (before)"] = answer["args"]["code"]
        self.compare(name, wanted, answer)
        if isinstance(answer["args"], dict):
            self._started |= set(answer["args"].get("started", ()))
            self._refused |= answer["args"].get("rejected", {}).keys() - self._started

    def _hear_out(self, key: str) -> None:
        while key not in self._ended | self._refused:
            self._hear()

    def _hear(self) -> None:
        event = without_uuids(self._client.event())
        name = record(event["args"])["process_id"]
        self._events.setdefault(name, []).append(event)
        if event["args"]["state"] == "finished":
            self._ended.add(name)


def of_key() -> Blanks:
    """Blanks with a key of the kind that SysAdm's clients have."""
    pem = (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    md5 = hashlib.md5(pem, usedforsecurity=False).digest()
    return Blanks(key=base64.b64encode(pem).decode(), md5_of_the_key=base64.b64encode(md5).decode())


@pytest.mark.parametrize("name", ["envelope", "jobs", "jobs2"])
def test_each_answer_and_event_is_the_recorded_one_but_for_what_is_listed(name, fresh):
    recorded = conversation(name)
    with Client(fresh, None) as client:
        replay = Replay(fresh, client, of_key())
        for step in recorded["steps"]:
            replay.say(step)
        replay.compare_jobs(recorded.get("events", {}))

    check(name, replay.found)


def stock_client(daemon: Daemon, recorded: Fields) -> Client:
    opening = connect(
        f"wss://localhost:{daemon.tls_port}/",
        ssl=tls_context(daemon),
        origin=Origin(recorded["Origin"]),
        compression=None,
    )
    return Client(daemon, None, opening)


@pytest.mark.parametrize("fresh", [{"limits": {"login_time": "3 s"}}], indirect=True)
def test_what_is_told_besides_jobs_is_as_recorded_and_who_says_nothing_is_closed(fresh, tmp_path):
    with Client(fresh, None) as stranger, ExitStack() as stack:
        recorded = conversation("state")
        client = stack.enter_context(stock_client(fresh, recorded))
        state = Replay(fresh, client, Blanks())
        for step in recorded["steps"]:
            state.say(step)
        state.compare("system-state", recorded["events"]["system-state"][0], client.event())
        logged = life_preserver(fresh, client, tmp_path)
        with pytest.raises(ConnectionClosed) as closed:
            stranger.answer()

    check("state", state.found)
    check("lifepreserver", logged.found)
    wanted = conversation("unauth")["closed"]
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (wanted["code"], wanted["reason"])


def life_preserver(daemon: Daemon, client: Client, folder: Path) -> Replay:
    """Write what it wrote, for a client that has subscribed."""
    files = {"log": folder / "lpreserver.log", "progress": folder / "lastrep.log"}
    files["progress"].write_text("total estimated size is 10.0M\n")
    blanks = Blanks(progress=str(files["progress"]))
    replay = Replay(daemon, client, blanks)
    recorded = conversation("lifepreserver")["steps"]
    for added, gathered in itertools.groupby(recorded, lambda step: step.get("append")):
        steps = list(gathered)
        if added is None:
            replay.say(*steps)
            continue
        # The files are looked at once a second, and of progress only the newest is told.
        batches = [steps] if added == "log" else [[step] for step in steps]
        for batch in batches:
            with files[added].open("a") as file:
                file.writelines(f"{blanks.fill(step['line'])}\n" for step in batch)
            for step in batch:
                for wanted in step["hear"]:
                    replay.compare(step["step"], wanted, client.event())
    return replay


# --- HTTP ---------------------------------------------------------------------------------------


def test_each_request_over_http_is_answered_as_recorded_but_for_what_is_listed(fresh):
    found: Found = {}
    for step in conversation("rest")["steps"]:
        name = step["step"]
        if name in HELD:
            (fresh.folder / "hold").touch()
        if name == "list again":
            fresh.cli("wait", "rj")
            fresh.cli("wait", "rk")
        ours = answer_of_raw(fresh, step["raw"]) if "raw" in step else answer_of(fresh, step)
        if step["hear"] is None:
            found[f"{name}: line"] = ours["line"]  # the original never answered
        else:
            for path, value in Blanks().differences(step["hear"], ours):
                found[f"{name}: {path}"] = value
        if name in RELEASED:
            (fresh.folder / "hold").unlink()

    check("rest", found)


def answer_of(daemon: Daemon, step: Fields) -> Fields:
    """Send a request by http.client; give line, headers and body."""
    connection = http.client.HTTPSConnection(
        "localhost", daemon.tls_port, context=tls_context(daemon), timeout=PATIENCE
    )
    headers = dict(step.get("headers", {}))
    if step["user"] is not None:
        headers["authorization"] = "Basic " + base64.b64encode(f"{step['user']}:x".encode()).decode()
    try:
        connection.request(step["method"], step["path"], step["body"] or None, headers)
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    assert text == "" or text.startswith('{\n    "args": ')
    return {
        "line": f"HTTP/1.1 {response.status} {response.reason}",
        "headers": {key.lower(): value for key, value in response.getheaders()},
        "body": json.loads(text) if text else None,
    }


def answer_of_raw(daemon: Daemon, text: str) -> Fields:
    with (
        socket.create_connection(("localhost", daemon.tls_port), timeout=PATIENCE) as raw,
        tls_context(daemon).wrap_socket(raw, server_hostname="localhost") as shielded,
    ):
        shielded.sendall(f"{text}\n\n".encode())
        answer = b"".join(iter(lambda: shielded.recv(4096), b"")).decode()
    return {"line": answer.split("\r\n")[0], "headers": {}, "body": None}
