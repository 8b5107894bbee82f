"""SysAdm's REST side as curl sees it: https to a real daemon, one login with each request."""

import json
import subprocess
from typing import NamedTuple

import pytest

from tests.acceptance.sysadm_client import KEY, Client, answer_to, documented
from tests.daemon import FULL, READ, Account, Daemon, running

COLONS = Account("colons", "a:b::c:")


class Answer(NamedTuple):
    line: str
    headers: dict[str, str]
    body: str


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory):
    """One daemon for all: no job is left in it."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file)) as daemon:
        yield daemon


def curl(
    daemon: Daemon, *options: str, account: Account | None = FULL, path: str = "/rpc/dispatcher"
) -> Answer:
    """Send a request over https; the certificate is checked."""
    login = ["-u", f"{account.name}:{account.password}"] if account else []
    done = subprocess.run(
        [
            *("curl", "-sSi", "--max-time", "20", "--cacert", str(daemon.state_dir / "tls.crt")),
            *(*login, *options, f"https://localhost:{daemon.tls_port}{path}"),
        ],
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


def test_the_documented_calls_get_the_documented_answers_from_curl_over_https(shared):
    shared.script("pkg", "exec sleep 1000")
    with Client(shared, READ) as listener:
        listener.subscribe()
        started = curl(shared, "-X", "PUT", "-d", documented("run.request.json"))
        listener.begun(KEY)
        listed = curl(shared, "-X", "PUT", "-d", documented("list.rest.json"))
        listed_by_another = listener.ask(documented("list.request.json"))
        killed = curl(shared, "-X", "PUT", "-d", documented("kill.rest.json"))
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
def test_get_put_and_post_mean_the_same(method, shared):
    answer = curl(shared, "-X", method, "-d", documented("list.rest.json"))

    assert answer.line == "HTTP/1.1 200 OK"
    assert json.loads(answer.body)["args"] == {"jobs": {}}


def test_a_password_may_hold_colons(shared):
    settings = ("--config", str(shared.config))
    shared.cli(
        *settings,
        "passwd",
        COLONS.name,
        "--level",
        "read",
        "--stdin",
        text=f"{COLONS.password}\n",
        check=True,
    )

    right = curl(shared, "-X", "PUT", "-d", documented("list.rest.json"), account=COLONS)
    cut = curl(shared, "-X", "PUT", "-d", documented("list.rest.json"), account=Account("colons", "a"))

    assert (right.line, cut.line) == ("HTTP/1.1 200 OK", "HTTP/1.1 401 Unauthorized")


def test_options_and_head_need_no_login_and_have_no_body(shared):
    options = curl(shared, "-X", "OPTIONS", account=None)
    head = curl(shared, "-I", account=None)

    for answer in (options, head):
        assert (answer.line, answer.body) == ("HTTP/1.1 200 OK", "")
        assert answer.headers["content-type"] == "text/json; charset=utf-8"
        assert answer.headers["accept"] == "text/json"
    assert {"GET", "HEAD"} <= set(options.headers["allow"].split(", "))
    assert options.headers["hosts"] == "/syscache"


@pytest.mark.parametrize("account", [None, Account("admin", "wrong"), Account("", ""), Account("root", "")])
def test_without_a_login_every_answer_is_401_and_asks_for_one(account, shared):
    with Client(shared):  # while somebody else is logged in
        answer = curl(shared, "-X", "PUT", "-d", documented("run.request.json"), account=account)

    body = json.loads(answer.body)
    assert answer.line == "HTTP/1.1 401 Unauthorized"
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.headers["content-length"] == str(len(answer.body))
    assert (body["name"], body["namespace"], body["args"]["code"]) == ("error", "error", "401")
    assert curl(shared, "-d", documented("list.rest.json")).body == indented(
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
def test_a_refusal_has_its_code_in_the_status_line_and_in_the_body(options, account, path, line, shared):
    answer = curl(shared, *options, account=account, path=path)

    body = json.loads(answer.body)
    assert answer.line == line
    assert body["args"]["code"] == line.split(" ")[1]
    assert body["args"]["reason"] != ""
    assert (body["name"], body["namespace"]) == ("error", "error")
