"""A whole SysAdm session on a fake socket: replies as documented, logins, order, limits."""

import json
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.access.roles import Level
from dispatcher.errors import StoreFailed
from tests.api.fakes import call, house, run
from tests.api.told_jobs import pending, running

DATA = Path(__file__).resolve().parent.parent / "data" / "sysadm"
CALLS = json.loads((DATA / "calls.json").read_text())
LEVELS = {"nobody": Level.NOBODY, "read": Level.READ, "full": Level.FULL}
INSTALL = "sysadm_pkg_install-{9c079421-ace9-4b6e-8870-d023b48f4c49}"
DENIED = {"code": "401", "message": "Unauthorized"}
LIST = call("dispatcher", {"action": "list"})


def without_reason(message):
    """Our own sentence stands beside what is documented."""
    if message["name"] == "error":
        message["args"].pop("reason", None)
    return message


@pytest.mark.parametrize("golden", CALLS, ids=[one["promise"] for one in CALLS])
async def test_documented_calls_get_the_documented_answers(golden, autojump_clock):
    async with house() as built:
        text = 'pkg install -y --repository "pcbsd-major"misc/pcbsd-meta-mate'
        job = running(pending(1, text, key=INSTALL, queue="pkg_queue"), 2)
        built.jobs.jobs[1] = job
        client = await built.client(LEVELS[golden["level"]])

        heard = await client.ask(golden["say"])

        assert without_reason(heard) == golden["hear"]
        assert await client.silence() == []


@pytest.mark.parametrize(
    "text", ["{bad}", "hello", "[1]", "", "null", '{"a":' + "[" * 10000, b"\xff\xfe", "\0"]
)
async def test_what_is_no_json_object_is_a_bad_request_and_the_socket_stays(text, autojump_clock):
    async with house() as built:
        client = await built.client(Level.NOBODY)

        heard = await client.ask(text)

        assert heard["args"]["code"] == "400"
        assert (heard["id"], heard["name"], heard["namespace"]) == ("", "error", "error")
        assert "cannot read the message" in heard["args"]["reason"]
        assert (await client.ask(call("identify", "")))["args"]["type"] == "server"


async def test_binary_messages_are_read_as_text(autojump_clock):
    async with house() as built:
        client = await built.client(Level.NOBODY)

        heard = await client.ask(json.dumps(call("identify", "")).encode())

        assert heard["args"] == {"hostname": "box", "type": "server"}


# --- order and limits -----------------------------------------------------------------------


async def test_auth_is_done_before_the_next_message_is_looked_at(autojump_clock):
    async with house() as built:
        client = built.connect()

        client.say(call("auth", {"username": "admin", "password": "a:b"}, id="1"))
        client.say({**LIST, "id": "2"})

        assert (await client.hear())["id"] == "1"
        assert (await client.hear())["args"] == {"jobs": {}}


async def test_a_call_that_waits_delays_no_other(autojump_clock):
    async with house() as built:
        built.jobs.gate = trio.Event()
        client = await built.client()

        client.say(run(a="true"))
        heard = await client.ask({**LIST, "id": "quick"})
        built.jobs.gate.set()

        assert heard["id"] == "quick"
        assert (await client.hear())["args"] == {"started": ["a"]}


async def test_a_session_reads_no_further_while_32_calls_run(autojump_clock):
    async with house() as built:
        built.jobs.gate = trio.Event()
        client = await built.client()

        for number in range(33):
            client.say(run(**{f"job{number}": "true"}))
        client.say(call("identify", "", id="last"))

        assert await client.silence() == []
        built.jobs.gate.set()
        assert {(await client.hear())["id"] for _ in range(34)} == {"x", "last"}


async def test_a_403_closes_nothing(autojump_clock):
    async with house() as built:
        client = await built.client(Level.READ)

        for _ in range(20):
            assert (await client.ask(run(a="true")))["args"]["code"] == "403"

        assert (await client.ask(LIST))["args"] == {"jobs": {}}


async def test_a_store_that_fails_is_an_error_of_that_call_only(autojump_clock, monkeypatch):
    async with house() as built:
        client = await built.client()

        async def fail(*_args, **_options):
            raise StoreFailed("cannot save: the disk is full")

        monkeypatch.setattr(built.jobs, "submit", fail)
        heard = await client.ask(run(a="true"))

        assert heard["args"]["code"] == "500"
        assert "the disk is full" in heard["args"]["reason"]
        assert (await client.ask(LIST))["args"] == {"jobs": {}}


async def test_a_client_that_leaves_leaves_nothing_behind(autojump_clock):
    async with house() as built:
        client = await built.listener()

        client.leave()
        await trio.testing.wait_all_tasks_blocked()

        assert built.hub._feeds == []
        assert built.tokens._followed == set()
        assert len(built.tokens) == 1  # closing a socket revokes no token


# --- list -----------------------------------------------------------------------------------


async def test_list_gives_places_in_line_but_in_no_queue(autojump_clock):
    async with house() as built:
        for number in (1, 2):
            for queue in ("no_queue", "pkg_queue"):
                job = pending(number + 10 * len(queue), "true", key=f"{queue}{number}", queue=queue)
                built.jobs.jobs[job.number] = job
        client = await built.client()

        jobs = (await client.ask(LIST))["args"]["jobs"]

        assert jobs["pkg_queue"]["pkg_queue2"] == {
            "commands": ["true"],
            "queue_position": "1",
            "state": "pending",
        }
        assert jobs["no_queue"]["no_queue2"] == {"commands": ["true"], "state": "pending"}
        assert set(jobs) == {"no_queue", "pkg_queue"}


async def test_a_long_list_comes_in_pages_with_places_going_on(autojump_clock):
    async with house() as built:
        for number in range(5):
            built.jobs.jobs[number] = pending(number, "true", key=f"k{number}", queue="pkg_queue")
        client = await built.client()

        first = (await client.ask(LIST))["args"]
        page = {"action": "list", "queue": "pkg_queue", "offset": 3, "limit": 10}
        rest = (await client.ask(call("dispatcher", page)))["args"]

        assert list(first["jobs"]["pkg_queue"]) == ["k0", "k1", "k2"]
        assert first["truncated"] == {"pkg_queue": 5}
        assert [job["queue_position"] for job in rest["jobs"]["pkg_queue"].values()] == ["3", "4"]
        assert "truncated" not in rest


async def test_list_of_a_queue_that_does_not_exist_names_those_that_do(autojump_clock):
    async with house() as built:
        client = await built.client()

        heard = await client.ask(call("dispatcher", {"action": "list", "queue": "pkgs"}))

        assert heard["args"]["code"] == "404"
        assert "no_queue, pkg_queue, iocage_queue" in heard["args"]["reason"]


# --- anything -------------------------------------------------------------------------------

NAMES = st.sampled_from(["rpc", "RPC", "events", "sysadm", "zz", ""]) | st.text(max_size=5)
CALL_NAMES = st.sampled_from(
    ["identify", "auth", "auth_token", "auth_ssl", "query", "dispatcher", "subscribe", "unsubscribe", "logs"]
)
ACTIONS = st.sampled_from(["run", "list", "kill", "RUN", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ARGS = JSON | st.fixed_dictionaries(
    {"action": ACTIONS},
    optional={
        "job_id": JSON,
        "offset": JSON,
        "limit": JSON,
        "queue": JSON,
        "x": JSON,
        "o": st.fixed_dictionaries({"commands": JSON}, optional={"queue": JSON, "cwd": JSON, "env": JSON}),
    },
)
MESSAGES = st.fixed_dictionaries(
    {}, optional={"namespace": NAMES | JSON, "name": CALL_NAMES | JSON, "id": st.text() | JSON, "args": ARGS}
)


@given(messages=st.lists(MESSAGES, min_size=1, max_size=5), level=st.sampled_from(list(Level)))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_gets_one_reply_of_a_documented_shape(messages, level):
    async def play():
        async with house() as built:
            client = await built.client(level)
            for message in messages:
                client.say(message)
                *before, reply = await client.silence()
                check(message, reply)
                # A failed login ends the subscription, and says so first.
                assert all((one["id"], one["args"]) == ("", DENIED) for one in before)

    def check(message, heard):
        given_id = message.get("id")
        assert set(heard) == {"args", "id", "name", "namespace"}
        assert heard["id"] == (given_id if isinstance(given_id, str) else "")
        if heard["name"] == "error" and heard["namespace"] == "error":
            assert set(heard["args"]) - {"reason"} == {"code", "message"}
            assert heard["args"]["code"] in {"400", "401", "403", "404"}
        else:
            assert heard["namespace"] == message["namespace"]
            assert heard["name"] == ("response" if heard["id"] else message["name"])

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))
