"""`core.get_jobs` of a real daemon: filters and options over the wire, and a pattern that takes for ever."""

import pytest

from tests.acceptance.truenas_client import JOBS, Current, Older
from tests.daemon import Daemon


def submit(client: Current, key: str, *commands: str) -> int:
    number: int = client.result("dispatcher.submit", list(commands), key)["number"]
    client.result("dispatcher.wait", number)
    return number


def test_jobs_are_found_by_filters_and_shown_as_the_options_say(scratch: Daemon):
    with Current(scratch) as client:
        good = submit(client, "good", "echo fine")
        bad = submit(client, "bad", "echo broken", "false")
        other = submit(client, "other", "true")
        mine = ["id", ">=", good]

        assert [one["id"] for one in client.result(JOBS, [mine])] == [good, bad, other]
        assert client.result(JOBS, [mine, ["state", "=", "FAILED"]], {"select": ["id"]}) == [{"id": bad}]
        assert client.result(JOBS, [mine, ["error", "~", r".*EFAULT"]], {"count": True}) == 1
        newest = {"order_by": ["-id"], "limit": 2, "select": [["id", "n"], "progress.percent"]}
        assert client.result(JOBS, [], newest) == [
            {"n": other, "progress": {"percent": 100}},
            {"n": bad, "progress": {"percent": 0}},
        ]
        first = client.result(JOBS, [mine, ["arguments.*.id", "in", ["bad", "other"]]], {"get": True})
        assert (first["id"], first["state"], first["logs_excerpt"]) == (bad, "FAILED", "broken")
        assert first == client.job(bad)
        ended = ["time_finished", "=", first["time_finished"]]
        assert bad in [one["id"] for one in client.result(JOBS, [ended])]
        assert client.result(JOBS, ["OR", [["id", "=", good], ["id", "=", other]]], {"count": True}) == 2

        error = client.error(JOBS, [["id", "=", 10**6]], {"get": True})
        assert (error["code"], error["data"]["error"]) == (-32001, 22)
        assert error["data"]["reason"] == "MatchNotFound()"
        for params in (["id", "=", good], [["id", "=", good]], [[["id", "is", 1]]], [[], {"limits": 1}]):
            assert client.error(JOBS, *params)["code"] == -32602, params
    with Older(scratch) as older:
        answer = older.result(JOBS, [mine, ["method", "^", "dispatcher."]], {"select": ["id"]})
        assert answer == [{"id": good}, {"id": bad}, {"id": other}]


def test_while_a_pattern_takes_for_ever_others_are_answered(scratch: Daemon):
    with Current(scratch) as client, Current(scratch) as other:
        number = submit(client, "a" * 60 + "b", "true")
        busy = client.call(JOBS, [["arguments.0.id", "~", "(a+)+$"]])
        for _ in range(5):
            assert other.result("core.ping") == "pong"
            assert other.result(JOBS, [["id", "=", number]], {"count": True}) == 1
        with pytest.raises(TimeoutError):
            client.socket.recv(timeout=0)  # not yet

        error = client.answer(busy)["error"]

        assert (error["code"], error["data"]["error"]) == (-32602, 22)
        assert "pattern takes too long" in error["data"]["reason"]
        assert client.result(JOBS, [["arguments.0.id", "~", "a+b$"]], {"count": True}) == 1
