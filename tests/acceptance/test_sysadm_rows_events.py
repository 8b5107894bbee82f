"""The events namespace and the calls of SysAdm's own clients, row by row, by a real daemon over wss."""

import os
import socket
from contextlib import ExitStack, nullcontext

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.acceptance.sysadm_client import Client, Fields, call, tls_context
from tests.acceptance.test_access import NOBODY, as_user
from tests.daemon import FULL, READ, Daemon, running

TOPICS = {"dispatcher", "life-preserver", "life_preserver", "system-state", "system_state"}


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory):
    """A daemon that has told the state of the system and will not do it again, nor look."""
    watch = {"system_state": {"first": 0, "every": "1 d", "look": "1 d"}}
    auth = {"methods": ["accounts"], "read_groups": ["nogroup"]}
    settings = {"watch": watch, "auth": auth}
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file, settings)) as daemon:
        with Client(daemon, READ) as client:
            client.subscribe("system_state")
            client.event()
        yield daemon


def events_call(name: str, args: object) -> Fields:
    return call(name, args, namespace="events")


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("subscribe", "dispatcher", {"subscribe": "dispatcher"}),
        ("subscribe", ["dispatcher", "bogus"], {"subscribe": "dispatcher"}),
        ("subscribe", ["bogus", "life_preserver", "x"], {"subscribe": "life_preserver"}),
        ("subscribe", ["bogus"], {}),
        ("subscribe", "Dispatcher", {}),
        ("unsubscribe", "dispatcher", {"unsubscribe": "dispatcher"}),
        ("unsubscribe", ["life-preserver", "bogus"], {"unsubscribe": "life-preserver"}),
        ("unsubscribe", ["bogus"], {}),
        ("subscribe", [], "400"),
        ("subscribe", {"a": 1}, "400"),
        ("subscribe", None, "400"),
        ("unsubscribe", 5, "400"),
        ("Subscribe", "dispatcher", "400"),
        ("frob", "dispatcher", "400"),
    ],
)
def test_subscribing_answers_with_the_last_name_that_is_known(name, args, answer, shared):
    with Client(shared, READ) as client, Client(shared, None) as nobody:
        got = client.ask(events_call(name, args))
        refused = nobody.ask(events_call(name, args))

    assert got["args"].get("code", got["args"]) == answer
    assert refused["args"]["code"] == "401"


def test_the_last_event_of_the_state_comes_before_the_answer_and_again_and_of_jobs_there_is_none(shared):
    with Client(shared) as client:
        client.subscribe()
        client.run_jobs(k="true")
        client.finished("k")
        client.ask(events_call("unsubscribe", "dispatcher"))
        heard = []
        for _ in range(2):
            client.say(events_call("subscribe", ["dispatcher", "life-preserver", "system-state"]))
            heard += [client.socket.recv(20), client.socket.recv(20)]

        assert [b'"system_state"' in str(one).encode() for one in heard] == [True, False] * 2
        assert ['{"subscribe":"system-state"}' in str(one) for one in heard] == [False, True] * 2
        # Twice subscribed is once told.
        client.run_jobs(once="true")
        states = [
            one["args"]["state"] for one in client.events_until(lambda args: args["state"] == "finished")
        ]
        assert states == ["pending", "running", "finished"]
        assert client.silence(0.1) == []


def test_a_subscription_is_of_one_connection_and_ends_with_it_or_its_login(shared):
    with ExitStack() as stack:
        one, two, three, runner = (stack.enter_context(Client(shared)) for _ in range(4))
        one.subscribe()
        two.subscribe()
        with Client(shared) as gone:
            gone.subscribe()
        three.ask(call("auth_token", {"token": one.token}))  # the same login, another connection
        runner.subscribe()
        two.say(call("auth_clear", ""))
        over = two.answer()
        runner.run_jobs(k="true")
        runner.finished("k")
        one.finished("k")

        assert (over["id"], over["args"]["code"]) == ("", "401")
        assert two.silence(0.1) == []
        assert three.silence(0.1) == []
        assert two.ask(call("query", ""))["args"]["code"] == "401"


def test_every_event_has_the_four_keys_and_a_name_of_ours(shared):
    with Client(shared) as client:
        client.say(events_call("subscribe", ["dispatcher", "system_state"]))
        events = [client.event()]
        client.answer()
        client.run_jobs(k="true")
        events += client.events_until(lambda args: args["state"] == "finished")

    assert len(events) == 4
    assert {one["name"] for one in events} == {"system_state", "dispatcher"} < TOPICS
    assert all(set(one) == {"args", "id", "name", "namespace"} for one in events)
    assert {(one["id"], one["namespace"]) for one in events} == {("none", "events")}
    assert events[0]["args"]["hostname"] == socket.gethostname()
    assert "hostnamechanged" not in events[0]["args"]


# --- SysAdm's own command line and desktop client -------------------------------------------------


def stock(daemon: Daemon, uid: int = 0) -> Client:
    """A connection as SysAdm's own programs make it."""
    url, trust = f"wss://localhost:{daemon.tls_port}/", tls_context(daemon)  # which only we may read
    with as_user(uid) if uid else nullcontext():
        opening = connect(url, ssl=trust, origin=Origin("sysadm-client"), compression=None)
    return Client(daemon, None, opening)


def test_the_stock_command_line_asks_who_logs_in_and_gets_the_answer_with_its_id(shared):
    with stock(shared) as client:
        who = client.ask(call("identify", "", "sysadm_client_identify"))
        auth = call("auth", {"username": FULL.name, "password": FULL.password}, "sysadm-client-auth-auto")
        let_in = client.ask(auth)
        answer = client.ask(call("dispatcher", {"action": "list"}, "cli-1"))
        # What is no object on its command line becomes an empty one.
        empty = client.ask(call("query", {}, "cli-2"))

    assert (who["id"], who["args"]["type"]) == ("sysadm_client_identify", "server")
    assert who["args"]["hostname"] == socket.gethostname()
    assert let_in["id"] == "sysadm-client-auth-auto"
    token, seconds = let_in["args"]
    assert (len(token), token.isalnum(), seconds) == (20, True, 900)
    assert answer == {"args": {"jobs": {}}, "id": "cli-1", "name": "response", "namespace": "rpc"}
    assert empty["args"]["rpc/dispatcher"] == "read/write"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")
def test_the_stock_command_line_needs_no_password_for_the_user_who_runs_it(shared):
    with stock(shared, NOBODY) as client:
        client.ask(call("identify", "", "sysadm_client_identify"))
        auth = {"username": "nobody", "password": ""}
        let_in = client.ask(call("auth", auth, "sysadm-client-auth-auto"))
        answer = client.ask(call("dispatcher", {"action": "list"}, "cli-1"))
        other = client.ask(call("auth", auth | {"username": "root"}, "sysadm-client-auth-auto"))
        after = client.ask(call("dispatcher", {"action": "list"}, "cli-2"))
    with stock(shared) as client:  # a connection of root's
        another = client.ask(call("auth", auth, "sysadm-client-auth-auto"))

    assert (let_in["args"][1], answer["args"]) == (900, {"jobs": {}})
    assert (other["name"], other["namespace"]) == ("error", "error")
    assert [one["args"]["code"] for one in (other, after, another)] == ["401"] * 3


def test_the_desktop_client_subscribes_by_plain_names_hears_hyphens_and_keeps_itself_alive(shared):
    with stock(shared) as client:
        client.ask(call("identify", "", "sysadm_client_identify"))
        client.ask(
            call("auth", {"username": READ.name, "password": READ.password}, "sysadm-client-auth-auto")
        )
        client.say(call("subscribe", "system-state", "sysadm-client-event-auto", "events"))
        event = client.event()
        subscribed = client.answer()
        alive = [client.ask(call("identify", "", "sysadm_client_identify"))]
        alive.append(client.ask(call("query", "", "sysadm_client_ping")))

    assert (event["name"], subscribed["args"]) == ("system-state", {"subscribe": "system-state"})
    assert [one["id"] for one in alive] == ["sysadm_client_identify", "sysadm_client_ping"]
    assert alive[1]["args"]["rpc/dispatcher"] == "read"
