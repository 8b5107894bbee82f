"""Whatever a client sends: an answer that the protocol knows or an orderly end, and never a fault of ours."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.api.truenas.methods import METHODS
from tests.api.jsonrpc_fakes import ROOT, STRANGER
from tests.api.truenas_house import JOBS, TASKS, Ear, Fields, house

CODES = {-32700, -32600, -32601, -32602, -32603, -32000, -32001}
WITH_DATA = {-32602, -32603, -32001}
DATA_KEYS = {"error", "errname", "reason", "trace", "extra", "py_exception"}
LEGACY_KEYS = DATA_KEYS | {"type"}
END = "the last call"

# A "~" would be a regular expression, which a process of its own matches.
words = st.sampled_from(["id", "=", "in", "state", "RUNNING", "x", "", "core.ping", "$date", "é", "\ud800"])
methods = st.sampled_from([*METHODS, *TASKS, "nonesuch", ""])
scalars = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | methods, inner, max_size=3),
    max_leaves=8,
)
parts = {
    "jsonrpc": st.just("2.0") | values,
    "id": st.integers(0, 5) | values,
    "method": methods | values,
    "params": st.lists(values, max_size=3) | values,
    "msg": st.sampled_from(["connect", "method", "sub", "unsub", "ping"]) | values,
    "name": st.sampled_from([JOBS, "*", f"{JOBS}:since=0"]) | values,
    "version": st.just("1") | values,
}
calls = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "msg": st.just("method"), "method": methods},
    optional={"id": parts["id"], "params": parts["params"]},
)
messages = calls | st.fixed_dictionaries({}, optional=parts) | values
frames = (
    messages.map(json.dumps)
    | st.text(max_size=20)
    | st.builds(lambda one, cut: json.dumps(one)[:cut], messages, st.integers(0, 60))
    | st.binary(max_size=5)
)


class Faults(logging.Handler):
    """Notes what is logged as a fault."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture(scope="module")
def faults():
    handler = Faults()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


async def serve(frames: Sequence[str | bytes], how: str, *, is_known: bool) -> Ear:
    """Give a session all frames and a last call; return what has become of it."""
    async with house() as it:
        peer = ROOT if is_known else STRANGER
        ear = await it.older(peer) if how == "older" else it.current(peer)
        for frame in frames:
            if ear.closed is None:
                ear.send_in(frame.encode("utf-8", "replace").decode() if isinstance(frame, str) else frame)
                await it.settle()
        if ear.closed is None:
            head = {"msg": "method"} if how == "older" else {"jsonrpc": "2.0"}
            ear.send_in(head | {"id": END, "method": "core.ping"})
            await it.settle()
            assert ear.closed is None
            ear.hang_up()
            await it.settle()
        return ear


def check_current(message: Fields) -> None:
    assert message["jsonrpc"] == "2.0"
    if "id" not in message:
        assert message["method"].startswith(("collection_update", "notify_unsubscribed", "dispatcher."))
        return
    assert ("result" in message) != ("error" in message)
    assert message["id"] is None or isinstance(message["id"], str | int | float)
    error = message.get("error")
    if error is not None:
        assert error["code"] in CODES
        assert isinstance(error["message"], str)
        assert ("data" in error) is (error["code"] in WITH_DATA)
        if "data" in error:
            assert set(error["data"]) >= DATA_KEYS - {"py_exception"}
            assert isinstance(error["data"]["error"], int)
            assert all(len(one) == 3 for one in error["data"]["extra"])


def check_older(message: Fields) -> None:
    match message["msg"]:
        case "result":
            assert ("result" in message) != ("error" in message)
            if "error" in message:
                assert set(message["error"]) >= LEGACY_KEYS - {"py_exception"}
                assert message["error"]["error"] > 0
        case "added" | "changed":
            assert message["fields"]["id"] == message["id"]
        case other:
            assert other in ("connected", "failed", "ready", "pong", "nosub", "error")


@pytest.mark.parametrize("how", ["current", "older"])
@pytest.mark.parametrize("is_known", [True, False])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(sent=st.lists(frames, min_size=1, max_size=6))
def test_every_frame_is_answered_as_the_protocol_says_or_ends_the_connection(sent, how, is_known, faults):
    faults.said.clear()

    async def main() -> Ear:
        return await serve(sent, how, is_known=is_known)

    ear: Any = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    for message in ear.sent:
        check_older(message) if how == "older" else check_current(message)
    if ear.closed is None:
        assert [one["result"] for one in ear.sent if one.get("id") == END] == ["pong"]
    else:
        assert ear.closed[0] in ((1003, 1007, 1011) if how == "older" else (1003,))
    assert faults.said == []
