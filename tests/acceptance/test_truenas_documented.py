"""What TrueNAS's own documentation shows, sent to a real daemon: no documented key is missing or of another kind.

The files are the documented requests, answers and messages. Where one shows null, the value may be anything:
the documentation shows there what a job has not had yet.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from dispatcher.api.truenas.jsonrpc import JsonRpc
from dispatcher.api.truenas.session import _LAGGED
from tests.acceptance.truenas_client import DATA_KEYS, JOBS, KEYS, Current, Fields, Older
from tests.daemon import ROOT, Daemon, running

DATA = ROOT / "tests" / "data" / "truenas" / "documented"
CODES = {  # each documented error, and what brings it about; the text is that of a whole message
    -32700: "nonsense",
    -32600: '{"jsonrpc": "1.0", "id": 1, "method": "core.ping"}',
    -32601: '{"jsonrpc": "2.0", "id": 1, "method": "nonesuch"}',
    -32602: '{"jsonrpc": "2.0", "id": 1, "method": "core.job_abort", "params": ["x", 2]}',
    -32001: '{"jsonrpc": "2.0", "id": 1, "method": "config.save", "params": [{}]}',
}


def documented(name: str) -> Fields:
    found: Fields = json.loads((DATA / f"{name}.json").read_text())
    return found


def differences(got: Any, wanted: Any, where: str = "") -> list[str]:
    """Say where something documented is missing or of another kind; what is there besides is no difference."""
    match wanted:
        case None:
            return []
        case dict() if isinstance(got, dict):
            missing = [f"{where}.{name} is missing" for name in wanted if name not in got]
            known = [name for name in wanted if name in got]
            return missing + [
                one for name in known for one in differences(got[name], wanted[name], f"{where}.{name}")
            ]
        case list() if isinstance(got, list):
            if wanted and not got:
                return [f"{where} is empty"]
            pairs = zip(got, wanted, strict=False)
            return [one for place, pair in enumerate(pairs) for one in differences(*pair, f"{where}.{place}")]
        case _:
            kind = type(wanted)
            is_same = isinstance(got, kind) and isinstance(got, bool) == isinstance(wanted, bool)
            return [] if is_same else [f"{where} is {got!r}, not {kind.__name__}"]


@pytest.fixture(scope="module")
def shared(accounts_file, tmp_path_factory) -> Iterator[Daemon]:
    """A daemon with the built-in settings, whose tasks are those of the documentation."""
    with running(Daemon(tmp_path_factory.mktemp("d"), accounts_file)) as daemon:
        yield daemon


@pytest.fixture
def older(shared) -> Iterator[Older]:
    with Older(shared) as one:
        yield one


@pytest.fixture
def current(shared) -> Iterator[Current]:
    with Current(shared) as one:
        yield one


def asked(older: Older, message: Fields) -> Fields:
    older.send(message)
    return older.take(lambda one: one.get("id") == message["id"])


def test_a_job_is_called_and_asked_for_as_documented(older):
    call, query = documented("job_call"), documented("get_jobs")

    answer = asked(older, call["send"])
    # The documented answer has another id than its request, which can only be a slip.
    assert differences(answer, call["answer"]) == []
    older.finished(answer["result"])
    query["send"]["params"] = [[["id", "=", answer["result"]]]]
    listed = asked(older, query["send"])

    assert differences(listed, query["answer"]) == []
    (job,) = listed["result"]
    (wanted,) = query["answer"]["result"]
    assert set(job) == KEYS >= set(wanted)
    for name in ("method", "arguments", "progress", "error", "exception", "exc_info", "state"):
        assert job[name] == wanted[name]


def test_a_download_is_asked_for_as_documented(older):
    call = documented("download")

    answer = asked(older, call["send"])

    assert differences(answer, call["answer"]) == []
    number, path = answer["result"]
    assert path.startswith(f"/_download/{number}?auth_token=")
    assert len(path.partition("=")[2]) == len(call["answer"]["result"][1].partition("=")[2]) == 64


def test_a_method_is_called_over_json_rpc_as_documented(current):
    call = documented("call")
    current.send(call["send"])

    answer = current.answer(1)

    assert differences(answer, call["answer"]) == []
    assert set(answer) == {"jsonrpc", "id", "result"}


@pytest.mark.parametrize("code", CODES)
def test_each_documented_error_has_its_code_and_every_documented_key(code, current):
    current.send(CODES[code])

    answer = current.take(lambda one: "error" in one)

    wanted = documented("error")
    if code in (-32001, -32602):
        assert differences(answer, wanted) == []
        assert set(answer["error"]["data"]) == DATA_KEYS
    else:
        wanted["error"].pop("data")
        wanted["id"] = answer["id"]
        assert differences(answer, wanted) == []
    assert answer["error"]["code"] == code
    if code == -32001:
        assert answer["error"]["message"] == wanted["error"]["message"]


def test_too_many_concurrent_calls_are_refused_with_the_documented_words(current):
    # A wrong key is answered late, and this connection does not wait for it.
    calls = [current.call("auth.login_with_api_key", "1-wrong") for _ in range(21)]

    error = current.answer(calls[-1])["error"]

    assert error == {"code": -32000, "message": "too many concurrent calls"}


def test_a_batch_is_refused_and_a_notification_is_not_answered(current):
    call = {"jsonrpc": "2.0", "id": 1, "method": "core.ping", "params": []}

    current.send([call, call])
    refused = current.take(lambda _: True)
    current.send({"jsonrpc": "2.0", "method": "core.ping", "params": []})

    assert (refused["id"], refused["error"]["code"]) == (None, -32700)
    assert current.result("core.ping") == "pong"
    assert len(current.seen) == 2


@pytest.mark.parametrize("commands", [["true"], ["false"], ["nonesuch"]])
def test_an_event_has_every_documented_key(commands, current):
    current.follow()

    current.ended(current.result("dispatcher.run", {"commands": commands}))

    told = [one for one in current.seen if one.get("method") == "collection_update"]
    assert [one["params"]["event"] for one in told][:2] == ["ADDED", "CHANGED"]
    for message in told:
        wanted, fields = documented("collection_update"), message["params"]["fields"]
        # What says why a job failed is null in one that has not.
        if fields["state"] != "FAILED":
            wanted["params"]["fields"] |= dict.fromkeys(("exc_info", "error", "exception"))
        assert differences(message, wanted) == []
        assert set(fields) == KEYS
        assert message["params"]["id"] == fields["id"]


def test_the_older_protocols_events_are_the_same_without_the_newer_key(older):
    older.follow()

    number = older.result("dispatcher.run", {"commands": ["true"]})
    older.ended(number)

    for message in older.seen:
        if message["msg"] in ("added", "changed"):
            assert set(message) == {"msg", "collection", "id", "fields", "extra"}
            assert message["collection"] == JOBS


def test_the_words_of_the_end_of_a_subscription_are_those_that_are_documented():
    """What it takes to fall so far behind is shown with a client in memory."""
    text = JsonRpc().unsubscribed(JOBS, _LAGGED)

    assert differences(json.loads(text), documented("notify_unsubscribed")) == []


@pytest.mark.parametrize("path", ["/api/current", "/api/v25.04.0", "/api/v27.0.0"])
def test_every_version_is_served_to_whatever_client(path, shared):
    headers = {"Cookie": "a=b", "X-Forwarded-For": "x"}
    with Current(shared, "ws", path, origin="http://elsewhere", additional_headers=headers) as one:
        assert one.result("core.ping") == "pong"
        assert one.socket.ping(b"are you there").wait(20)
        one.send(b"binary")
        with pytest.raises(ConnectionClosedError) as closed:
            one.socket.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


def test_a_difference_is_found():
    wanted = {"a": [{"b": 1}], "c": "x", "d": None, "e": {"f": True}}

    assert differences({"a": [{"b": 2, "more": 1}], "c": "", "d": [1], "e": {"f": False}}, wanted) == []
    assert differences({"a": [], "c": 1, "d": 1, "e": {"f": 1}}, wanted) == [
        ".a is empty",
        ".c is 1, not str",
        ".e.f is 1, not bool",
    ]
    assert differences({"a": [{"b": True}], "c": "x", "d": 1, "e": {}}, wanted) == [
        ".a.0.b is True, not int",
        ".e.f is missing",
    ]
