"""SysAdm's REST side as curl sees it: https to a real daemon, one login with each request."""

import json
import subprocess
from typing import NamedTuple

import pytest

from tests.acceptance.sysadm_client import Client, answer_to, documented
from tests.daemon import FULL, READ, Account, Daemon

COLONS = Account("colons", "a:b::c:")


class Answer(NamedTuple):
    line: str
    headers: dict[str, str]
    body: str


def curl(
    daemon: Daemon, *options: str, account: Account | None = FULL, path: str = "/rpc/dispatcher"
) -> Answer:
    """Send a request over https; the certificate is checked."""
    login = ["-u", f"{account.name}:{account.password}"] if account else []
    done = subprocess.run(
        ["curl", "-sSi", "--max-time", "20", "--cacert", str(daemon.state_dir / "tls.crt"), *login, *options]
        + [f"https://localhost:{daemon.tls_port}{path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    line, *headers = head.split("\n")
    return Answer(
        line, {name.lower(): value for name, _, value in (h.partition(": ") for h in headers)}, body
    )


def indented(answer: object) -> str:
    return json.dumps(answer, indent=4, sort_keys=True, ensure_ascii=False)


def test_the_documented_calls_get_the_documented_answers_from_curl_over_https(daemon):
    daemon.script("pkg", "exec sleep 1000")
    with Client(daemon, READ) as listener:
        listener.subscribe()
        started = curl(daemon, "-X", "PUT", "-d", documented("run.request.json"))
        listener.begun(KEY)
        listed = curl(daemon, "-X", "PUT", "-d", documented("list.rest.json"))
        listed_by_another = listener.ask(documented("list.request.json"))
        killed = curl(daemon, "-X", "PUT", "-d", documented("kill.rest.json"))
        end = listener.finished(KEY)

    assert json.loads(started.body) == answer_to("run")  # with `args` in the body its id comes back
    assert listed.line == "HTTP/1.1 200 OK"
    assert listed.headers["content-type"] == "text/json; charset=utf-8"
    assert listed.headers["content-length"] == str(len(listed.body))
    assert listed.body == indented(answer_to("list") | {"id": ""})
    assert listed_by_another == answer_to("list")  # the same queues for REST and WebSocket
    assert killed.body == indented(answer_to("kill") | {"id": ""})
    assert end["outcome"] == "killed"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_get_put_and_post_mean_the_same(method, daemon):
    answer = curl(daemon, "-X", method, "-d", documented("list.rest.json"))

    assert answer.line == "HTTP/1.1 200 OK"
    assert json.loads(answer.body)["args"] == {"jobs": {}}


def test_a_password_may_hold_colons(daemon):
    settings = ("--config", str(daemon.config))
    daemon.cli(
        *settings,
        "passwd",
        COLONS.name,
        "--level",
        "read",
        "--stdin",
        text=f"{COLONS.password}\n",
        check=True,
    )

    right = curl(daemon, "-X", "PUT", "-d", documented("list.rest.json"), account=COLONS)
    cut = curl(daemon, "-X", "PUT", "-d", documented("list.rest.json"), account=Account("colons", "a"))

    assert (right.line, cut.line) == ("HTTP/1.1 200 OK", "HTTP/1.1 401 Unauthorized")


def test_options_and_head_need_no_login_and_have_no_body(daemon):
    options = curl(daemon, "-X", "OPTIONS", account=None)
    head = curl(daemon, "-I", account=None)

    for answer in (options, head):
        assert (answer.line, answer.body) == ("HTTP/1.1 200 OK", "")
        assert answer.headers["content-type"] == "text/json; charset=utf-8"
        assert answer.headers["accept"] == "text/json"
    assert {"GET", "HEAD"} <= set(options.headers["allow"].split(", "))
    assert options.headers["hosts"] == "/syscache"


@pytest.mark.parametrize("account", [None, Account("admin", "wrong"), Account("", ""), Account("root", "")])
def test_without_a_login_every_answer_is_401_and_asks_for_one(account, daemon):
    with Client(daemon):  # while somebody else is logged in
        answer = curl(daemon, "-X", "PUT", "-d", documented("run.request.json"), account=account)

    body = json.loads(answer.body)
    assert answer.line == "HTTP/1.1 401 Unauthorized"
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert (body["name"], body["namespace"], body["args"]["code"]) == ("error", "error", "401")
    assert curl(daemon, "-d", documented("list.rest.json")).body == indented(
        {"args": {"jobs": {}}, "id": "", "name": "response", "namespace": "rpc"}
    )


@pytest.mark.parametrize(
    ("options", "account", "path", "line"),
    [
        (("-X", "PUT", "-d", "{"), FULL, "/rpc/dispatcher", "HTTP/1.1 400 Bad Request"),
        (("-X", "PUT", "-d", '{"action": "zzz"}'), FULL, "/rpc/dispatcher", "HTTP/1.1 400 Bad Request"),
        (("-X", "PATCH", "-d", "{}"), FULL, "/rpc/dispatcher", "HTTP/1.1 400 Bad Request"),
        (
            ("-X", "PUT", "-d", '{"action": "run", "k": "true"}'),
            READ,
            "/rpc/dispatcher",
            "HTTP/1.1 403 Forbidden",
        ),
        (("-X", "PUT", "-d", "{}"), FULL, "/rpc/nonesuch", "HTTP/1.1 404 Not Found"),
    ],
)
def test_a_refusal_has_its_code_in_the_status_line_and_in_the_body(options, account, path, line, daemon):
    answer = curl(daemon, *options, account=account, path=path)

    body = json.loads(answer.body)
    assert answer.line == line
    assert body["args"]["code"] == line.split(" ")[1]
    assert body["args"]["reason"] != ""
    assert (body["name"], body["namespace"]) == ("error", "error")
