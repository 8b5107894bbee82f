"""SysAdm's REST side, row by row, byte by byte: a real daemon, and sockets without an HTTP library."""

import base64
import json
import socket
from http.client import HTTPResponse
from typing import NamedTuple

import pytest

from tests.acceptance.sysadm_client import Client, Fields
from tests.daemon import FULL, READ, Account, Daemon, running

LIST = b'{"action":"list"}'
PATIENCE = 10.0


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory):
    """One daemon for all tests; each leaves no job in it."""
    auth = {"methods": ["accounts"], "failures": 1000}
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, {"auth": auth})) as daemon:
        yield daemon


class Answer(NamedTuple):
    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> Fields:
        found: Fields = json.loads(self.body)
        return found


def basic(account: Account) -> str:
    return "Basic " + base64.b64encode(f"{account.name}:{account.password}".encode()).decode()


def head(
    method: str = "PUT", target: str = "/rpc/dispatcher", *lines: str, login: str | None = None
) -> bytes:
    """The head of a request; `login` stands for the Authorization, that of `admin` if not given."""
    login = f"Authorization: {basic(FULL)}" if login is None else login
    return "\r\n".join(
        [f"{method} {target} HTTP/1.1", "Host: x", *filter(None, [login]), *lines, "", ""]
    ).encode()


def with_body(body: bytes, method: str = "PUT", target: str = "/rpc/dispatcher", **more: str) -> bytes:
    return head(method, target, f"Content-Length: {len(body)}", **more) + body


def answers(daemon: Daemon, *requests: bytes) -> list[Answer]:
    """Send requests one after the other on one connection; the whole answer to each."""
    found = []
    with socket.create_connection(("127.0.0.1", daemon.plain_port), timeout=PATIENCE) as raw:
        for request in requests:
            raw.sendall(request)
            method = request.split(b" ", 1)[0].decode()
            response = HTTPResponse(raw, method=method)
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            found.append(Answer(response.status, response.reason, headers, response.read()))
    return found


def answer(daemon: Daemon, request: bytes) -> Answer:
    (found,) = answers(daemon, request)
    return found


def test_a_request_without_a_body_is_answered_as_one_with_an_empty_object(shared):
    without = answer(shared, head("GET", "/rpc/query"))
    empty = answer(shared, with_body(b"{}", "GET", "/rpc/query"))
    blank = answer(shared, with_body(b" \r\n", "POST", "/rpc/query"))
    no_action = answer(shared, head("GET"))

    assert (without.status, without.phrase) == (200, "OK")
    assert without.body == empty.body == blank.body
    assert without.fields["args"]["rpc/dispatcher"] == "read/write"
    assert (no_action.status, no_action.fields["args"]["code"]) == (400, "400")


def test_the_body_ends_where_its_length_says_and_braces_in_a_header_are_no_body(shared):
    braces = head("PUT", "/rpc/dispatcher", "X-Odd: {", f"Content-Length: {len(LIST)}") + LIST
    torn = answer(shared, with_body(b'{"action":"list"'))
    # Above 128,000 characters the original throws a body away.
    large = json.dumps({"action": "list", "filler": "}{" * 100_000}).encode()
    chunked = head("POST", "/rpc/dispatcher", "Transfer-Encoding: chunked")
    chunked += b'9\r\n{"action"\r\n8\r\n:"list"}\r\n0\r\n\r\n'

    for request in (braces, with_body(large), chunked):
        found = answer(shared, request)
        assert (found.status, found.fields["args"]) == (200, {"jobs": {}})
    assert torn.status == 400


def test_path_names_what_is_asked_and_the_body_does_not(shared):
    body = json.dumps({"namespace": "x", "name": "y", "id": "7", "args": {"action": "list"}}).encode()
    by_args = answer(shared, with_body(body))
    whole = answer(shared, with_body(b'{"namespace":"x","name":"y","id":"8","action":"list"}'))
    mixed = answer(shared, with_body(LIST, target="/RPC/Dispatcher"))

    reply = {"args": {"jobs": {}}, "name": "response"}
    assert by_args.fields == reply | {"id": "7", "namespace": "rpc"}
    assert whole.fields == reply | {"id": "8", "namespace": "rpc"}
    assert mixed.fields == reply | {"id": "", "namespace": "RPC"}
    assert by_args.body == json.dumps(by_args.fields, indent=4, sort_keys=True).encode()
    for target in ("/rpc/dispatcher?a=1", "/rpc/nonesuch", "/x/rpc/dispatcher"):
        assert answer(shared, with_body(LIST, target=target)).status == 404


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 200), ("PUT", 200), ("POST", 200), ("DELETE", 400), ("PATCH", 400), ("FROB", 400)],
)
def test_three_verbs_mean_the_same_and_others_are_a_bad_request(method, status, shared):
    found = answer(shared, with_body(LIST, method))

    assert found.status == status
    assert found.headers["content-type"] == "text/json; charset=utf-8"
    assert found.headers["content-length"] == str(len(found.body))
    assert "date" in found.headers
    assert (found.fields["name"] == "error") == (status == 400)


def test_options_and_head_are_answered_to_anybody_and_the_connection_goes_on(shared):
    options, only_head, after = answers(
        shared, head("OPTIONS", login=""), head("HEAD", login=""), with_body(LIST)
    )

    for found in (options, only_head):
        assert (found.status, found.body) == (200, b"")
        assert found.headers["accept"] == "text/json"
    assert options.headers["allow"].split(", ")[:2] == ["HEAD", "GET"]
    assert options.headers["hosts"] == "/syscache"
    assert after.fields["args"] == {"jobs": {}}


def test_each_request_is_of_the_one_who_is_named_in_it_and_a_refusal_ends_nothing(shared):
    run = b'{"action":"run","k":"true"}'
    small = f"authorization: {basic(READ)}"  # a header's name has no case
    nobody, wrong, reader, may_not, unknown, admin = answers(
        shared,
        with_body(LIST, login=""),
        with_body(LIST, login=f"Authorization: {basic(Account(FULL.name, 'wrong'))}"),
        with_body(LIST, login=small),
        with_body(run, login=small),
        with_body(LIST, target="/rpc/identify", login=""),
        with_body(LIST),
    )

    assert [one.status for one in (nobody, wrong, reader, may_not, unknown, admin)] == [
        401,
        401,
        200,
        403,
        200,
        200,
    ]
    assert [one.phrase for one in (nobody, may_not)] == ["Unauthorized", "Forbidden"]
    for refused in (nobody, wrong):
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert refused.headers["content-length"] == str(len(refused.body))
        error = refused.fields
        assert (error["name"], error["namespace"], error["args"]["code"]) == ("error", "error", "401")
        assert error["args"]["message"] == "Unauthorized"
    # `identify` needs no login, and a login before does not carry over.
    assert unknown.fields["args"]["type"] == "server"


def test_a_login_over_rest_has_no_rights_of_its_own_and_auth_clear_is_answered(shared):
    token = answer(
        shared,
        with_body(
            json.dumps({"username": FULL.name, "password": FULL.password}).encode(),
            target="/rpc/auth",
            login="",
        ),
    ).fields["args"][0]
    shown, listed = answers(
        shared,
        with_body(json.dumps({"token": token}).encode(), target="/rpc/auth_token", login=""),
        with_body(LIST, login=""),
    )
    cleared = answer(
        shared, with_body(json.dumps({"token": token}).encode(), target="/rpc/auth_clear", login="")
    )
    again = answer(
        shared, with_body(json.dumps({"token": token}).encode(), target="/rpc/auth_token", login="")
    )

    assert (shown.fields["args"], listed.status) == ([token, 900], 401)
    assert (cleared.status, again.status) == (200, 401)


def test_jobs_of_rest_and_of_websockets_are_in_the_same_queues(shared):
    with Client(shared) as client:
        client.subscribe()
        started = answer(shared, with_body(b'{"action":"run","rest":"sleep 1000","id":"no job"}'))
        client.begun("rest")
        refused = client.run_jobs(rest="true")
        listed = client.list_jobs()["jobs"]["no_queue"]
        killed = answer(shared, with_body(b'{"action":"kill","job_id":["rest"]}'))
        end = client.finished("rest")

    assert (started.fields["args"], started.fields["id"]) == ({"started": ["rest"]}, "no job")
    assert (refused["started"], list(refused["rejected"]), list(listed)) == ([], ["rest"], ["rest"])
    assert (killed.fields["args"], end["outcome"]) == ({"killed": {"jobs": ["rest"]}}, "killed")


def test_events_are_not_for_plain_http(shared):
    refused = answer(shared, with_body(b'{"args":["dispatcher"]}', target="/events/subscribe"))

    assert refused.status == 400
    assert "WebSocket" in refused.fields["args"]["reason"]
