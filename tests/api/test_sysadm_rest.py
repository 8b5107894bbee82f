"""SysAdm over plain HTTP: the whole object, indented, with the code as status."""

import base64
import json

import pytest

from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.rest import answer_rest
from dispatcher.net.http import Request
from tests.api.fakes import PLAIN_PEER, TLS_PEER, UNIX_PEER, house
from tests.api.told_jobs import pending, running

ADMIN, READER = "admin:a:b", "reader:r"


def basic(account):
    return (
        ()
        if account is None
        else (("authorization", "Basic " + base64.b64encode(account.encode()).decode()),)
    )


async def ask(
    built, body=b"", *, account=ADMIN, target="/rpc/dispatcher", method="PUT", peer=TLS_PEER, headers=()
):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await answer_rest(built.parts, Request(method, target, (*basic(account), *headers), peer), raw)


def read(response):
    return json.loads(response.body)


@pytest.mark.parametrize("method", ["PUT", "GET", "POST"])
async def test_a_list_is_the_whole_object_indented(method, autojump_clock):
    async with house() as built:
        built.jobs.jobs[1] = running(pending(1, "pkg info", key="k", queue="pkg_queue"), 2)

        response = await ask(built, {"action": "list", "id": "fooid"}, method=method, account=READER)

        assert response.status == 200
        assert dict(response.headers) == {"content-type": "text/json; charset=utf-8"}
        assert response.body.startswith(b'{\n    "args": {\n        "jobs": {\n')
        assert read(response) == {
            "args": {
                "jobs": {
                    "pkg_queue": {"k": {"commands": ["pkg info"], "queue_position": "0", "state": "running"}}
                }
            },
            "id": "fooid",
            "name": "response",
            "namespace": "rpc",
        }


async def test_args_in_the_body_win_and_its_name_and_namespace_do_not(autojump_clock):
    async with house() as built:
        body = {"args": {"action": "run", "id": "true"}, "name": "x", "namespace": "y", "id": "q"}

        response = await ask(built, body)

        assert read(response) == {
            "args": {"started": ["id"]},
            "id": "q",
            "name": "response",
            "namespace": "rpc",
        }


async def test_without_args_the_bodys_id_names_no_job(autojump_clock):
    async with house() as built:
        response = await ask(built, {"action": "run", "rj": "echo hi", "rk": ["echo a", "echo b"], "id": "7"})

        assert read(response)["args"] == {"started": ["rj", "rk"]}
        assert read(response)["id"] == "7"


async def test_a_password_may_hold_colons(autojump_clock):
    async with house() as built:
        assert (await ask(built, {"action": "list"}, account="admin:a:b")).status == 200
        assert (await ask(built, {"action": "list"}, account="admin:a")).status == 401


@pytest.mark.parametrize("account", [None, "", ":", "admin", "admin:wrong", "nobody:x", "operator:"])
async def test_without_the_right_password_a_request_is_401_with_a_challenge(account, autojump_clock):
    async with house() as built:
        await built.client()  # somebody else is logged in meanwhile

        response = await ask(built, {"action": "run", "x": "true"}, account=account)

        assert response.status == 401
        assert dict(response.headers)["www-authenticate"].startswith("Basic ")
        assert read(response)["args"]["code"] == "401"
        assert (read(response)["name"], read(response)["namespace"]) == ("error", "error")
        assert built.jobs.submitted == []


@pytest.mark.parametrize(
    "target", ["/rpc/query", "/rpc/nosuch", "/events/subscribe", "/rpc/Identify", "/rpc/auth_ssl"]
)
async def test_without_a_login_nothing_is_told(target, autojump_clock):
    async with house() as built:
        assert (await ask(built, {"action": "list"}, target=target, account=None)).status == 401


@pytest.mark.parametrize("value", ["Basic", "Basic !!", "Basic /w==", "Bearer x", "YWRtaW46YTpi"])
async def test_a_broken_authorization_is_401(value, autojump_clock):
    async with house() as built:
        headers = (("authorization", value),)

        assert (await ask(built, {"action": "list"}, account=None, headers=headers)).status == 401


async def test_no_password_is_taken_over_an_open_network(autojump_clock):
    async with house() as built:
        response = await ask(built, {"action": "list"}, peer=PLAIN_PEER)

        assert response.status == 401
        assert "not encrypted" in read(response)["args"]["reason"]
        assert built.passwords.checks == 0


async def test_the_daemons_own_user_needs_no_password_over_the_unix_socket(autojump_clock):
    async with house() as built:
        assert (await ask(built, {"action": "list"}, account=None, peer=UNIX_PEER)).status == 200


async def test_a_full_line_of_logins_is_401_and_says_why(autojump_clock):
    async with house() as built:
        built.passwords.busy = True

        response = await ask(built, {"action": "list"})

        assert (response.status, read(response)["args"]["reason"]) == (401, "100 logins are waiting")


async def test_who_may_only_read_may_not_run(autojump_clock):
    async with house() as built:
        response = await ask(built, {"action": "run", "z": "true"}, account=READER)

        assert response.status == 403
        assert read(response)["args"]["message"] == "Forbidden"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/rpc/nosuch", 404),
        ("/rpc/dispatcher?x=1", 404),
        ("/a/b/rpc/dispatcher", 404),
        ("/rpc/dispatcher/", 404),
        ("/rpc", 400),
        ("/", 400),
        ("/RPC/Dispatcher", 200),
        ("/rpc/query", 200),
    ],
)
async def test_the_path_names_namespace_and_name(target, status, autojump_clock):
    async with house() as built:
        assert (await ask(built, {"action": "list"}, target=target)).status == status


@pytest.mark.parametrize("body", [b"{bad}", b"[1]", b"hello", b"\xff", b'"x"'])
async def test_a_body_that_is_no_object_is_400(body, autojump_clock):
    async with house() as built:
        response = await ask(built, body)

        assert (response.status, read(response)["id"]) == (400, "")


async def test_an_absent_body_is_an_empty_object(autojump_clock):
    async with house() as built:
        assert (await ask(built, target="/rpc/query", method="GET")).status == 200
        assert (await ask(built)).status == 400


async def test_identify_needs_no_login(autojump_clock):
    async with house() as built:
        response = await ask(built, target="/rpc/identify", account=None)

        assert read(response)["args"] == {"hostname": "box", "type": "server"}


async def test_auth_gives_a_token_for_a_websocket_and_auth_clear_ends_it(autojump_clock):
    async with house() as built:
        body = {"username": "admin", "password": "a:b"}
        token, seconds = read(await ask(built, body, target="/rpc/auth", account=None))["args"]

        assert (built.tokens.find(token) is not None, seconds) == (True, 900)
        assert (await ask(built, {"token": token}, target="/rpc/auth_clear", account=None)).status == 200
        assert built.tokens.find(token) is None
        assert (await ask(built, {"token": token}, target="/rpc/auth_token", account=None)).status == 401


async def test_a_logout_is_in_the_audit_if_there_was_a_login(autojump_clock, monkeypatch):
    async with house() as built:
        heard: list[Caller] = []
        monkeypatch.setattr(built.parts.audit, "logout", heard.append)
        token, _ = built.tokens.issue(Caller("admin", Level.FULL))

        for given in ("nonesuch", token, token):
            await ask(built, {"token": given}, target="/rpc/auth_clear", account=None)

        assert [(one.name, one.origin, one.protocol) for one in heard] == [
            ("admin", "192.0.2.7:40000", "sysadm")
        ]


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "TRACE"])
async def test_other_verbs_are_400(method, autojump_clock):
    async with house() as built:
        assert (await ask(built, {"action": "list"}, method=method)).status == 400


async def test_options_and_head_need_no_login_and_have_no_body(autojump_clock):
    async with house() as built:
        options = await ask(built, method="OPTIONS", account=None)
        head = await ask(built, method="HEAD", account=None)

        assert (options.status, options.body, head.status, head.body) == (200, b"", 200, b"")
        assert dict(options.headers)["allow"].startswith("HEAD, GET")
        assert dict(head.headers) == {"accept": "text/json", "content-type": "text/json; charset=utf-8"}


async def test_events_need_a_websocket(autojump_clock):
    async with house() as built:
        response = await ask(built, {"args": ["dispatcher"]}, target="/events/subscribe")

        assert response.status == 400
        assert "WebSocket" in read(response)["args"]["reason"]
