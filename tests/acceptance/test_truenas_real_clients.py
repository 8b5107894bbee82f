"""Clients that other people wrote for TrueNAS drive the daemon, over ws, wss and the Unix socket."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import jsonrpcclient
import pytest

from tests.acceptance.official_client import CallFailed, OfficialClient
from tests.acceptance.truenas_client import JOBS, Current
from tests.daemon import FULL, ROOT, Daemon, running

PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PROGRAM = ROOT / "tests" / "acceptance" / "aiotruenas_program.py"
WAIT = 'while [ ! -e "$1" ]; do sleep 0.02; done; sleep 0.3'
SETTINGS = {
    "tasks": {
        "line.up": {
            "parameters": {"file": {"type": "string"}},
            "commands": [["sh", "-c", WAIT, "x", "{file}"]],
            "result": "return_code",
        },
        "line.fail": {
            "parameters": {"file": {"type": "string"}},
            "commands": [["sh", "-c", f"{WAIT}; echo no; exit 3", "x", "{file}"]],
        },
    }
}


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, SETTINGS)) as daemon:
        yield daemon


@pytest.mark.skipif(not PYTHON.exists(), reason="there is no .venv-clients; script/test makes it")
@pytest.mark.parametrize(
    ("how", "by_key"), [("ws", False), ("ws", True), ("wss", False), ("wss", True), ("unix", False)]
)
def test_aiotruenas_client_runs_jobs_and_learns_of_their_ends(how, by_key, shared, tmp_path):
    ports = {"ws": shared.plain_port, "wss": shared.tls_port}
    address = str(shared.socket) if how == "unix" else f"127.0.0.1:{ports[how]}"
    secrets = [key_of(shared, how)] if by_key else list(FULL)
    with Current(shared) as other:
        other.result("dispatcher.run", {"commands": ["true"]})  # jobs of others do not confuse it

    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", str(PROGRAM), how, address, *secrets, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["info"]["version"].startswith("TrueNAS-")
    assert found["success"] == [True, "line.up", "JobStatus.SUCCESS", 0, None]
    method, status, result, error = found["failed"]
    assert (method, status, result) == ("line.fail", "JobStatus.FAILED", None)
    assert error.startswith("[EFAULT] Command sh -c")
    assert error.endswith("failed (code 3):\nno")
    assert found["listed"] == ["SUCCESS"]
    assert found["seen again"] == "line.up"


@pytest.mark.parametrize("how", ["ws", "wss", "unix"])
def test_jsonrpcclient_calls_methods_and_reads_results_and_errors(how, shared, tmp_path):
    (tmp_path / "go").touch()
    with Current(shared, how) as connection:

        def ask(method: str, *params: object) -> Any:
            request = jsonrpcclient.request_json(method, params=list(params))
            connection.send(request)
            call_id = json.loads(request)["id"]
            return jsonrpcclient.parse(connection.take(lambda one: one.get("id") == call_id))

        if how != "unix":
            assert ask("auth.login", *FULL).result is True
        assert ask("core.ping").result == "pong"
        number = ask("line.up", str(tmp_path / "go")).result
        assert ask("core.job_wait", number).result == number + 1
        assert connection.finished(number + 1)["result"] == 0
        assert [one["id"] for one in ask(JOBS, [["id", "=", number]]).result] == [number]
        wrong, unknown = ask("core.job_abort", "x"), ask("nonesuch")
        assert isinstance(wrong, jsonrpcclient.Error)
        assert (wrong.code, wrong.message) == (-32602, "Invalid params")
        assert wrong.data["extra"][0][0] == "id"
        assert (unknown.code, unknown.message) == (-32601, "Method does not exist")


@pytest.mark.parametrize("how", ["ws", "wss", "unix"])
def test_the_official_client_finds_everything_that_it_reads(how, shared, tmp_path):
    go = tmp_path / "go"
    go.touch()
    with OfficialClient(shared, how) as client:
        assert client.call("core.ping") == "pong"
        if how != "unix":
            assert "PASSWORD_PLAIN" in client.call("auth.mechanism_choices")
            login = {"mechanism": "PASSWORD_PLAIN", "username": FULL.name, "password": FULL.password}
            assert client.call("auth.login_ex", login | {"password": "wrong"})["response_type"] == "AUTH_ERR"
            assert client.call("auth.login_ex", login)["response_type"] == "SUCCESS"
        assert client.call("auth.me")["privilege"]["roles"] == {"$set": ["FULL_ADMIN"]}

        assert client.run("line.up", str(go)) == 0
        assert client.run("core.bulk", "core.ping", []) == [], "a job that is over at once"
        with pytest.raises(CallFailed, match=r"failed \(code 3\):\nno"):
            client.run("line.fail", str(go))
        with pytest.raises(CallFailed) as wrong:
            client.run("line.up", 5)
        assert wrong.value.extra == [("file", "a number is no string", 22)]
        number = client.call("line.up", str(tmp_path / "never"))
        assert client.call("core.job_abort", number) is None
        with pytest.raises(CallFailed, match="state ABORTED"):
            client.ending(number)
        with pytest.raises(CallFailed, match="Method does not exist"):
            client.call("nonesuch")
        assert client.run("core.job_wait", number) is None
        assert client.call("core.unsubscribe", "unknown") is None
        started = [fields["id"] for what, fields in client.told if what == "ADDED"]
        assert started == sorted(set(started)), "each is added once"


def key_of(daemon: Daemon, name: str) -> str:
    """Make an API key that may do all."""
    made = daemon.cli(
        "--config", str(daemon.config), "apikey", "add", name, "--user", FULL.name, "--json", check=True
    )
    key: str = json.loads(made.stdout)["key"]
    return key
