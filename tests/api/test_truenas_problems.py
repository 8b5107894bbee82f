"""Errors on the wire: numbers of Linux whatever the system, and every key that clients read."""

import errno
import json
from typing import Any

import msgspec
import pytest

from dispatcher import errors
from dispatcher.api.truenas.jsonrpc import JsonRpc
from dispatcher.api.truenas.problems import (
    CALL_FAILED,
    INVALID_PARAMS,
    Errno,
    Frame,
    Mistake,
    Problem,
    call_error,
    failed,
    invalid_params,
    name_of,
    no_match,
    not_found,
    problem_of,
    unexpected,
)

KEYS = ["error", "errname", "reason", "trace", "extra", "py_exception"]
LINUX = {
    "EPERM": 1,
    "ENOENT": 2,
    "EIO": 5,
    "EAGAIN": 11,
    "EACCES": 13,
    "EFAULT": 14,
    "EBUSY": 16,
    "EINVAL": 22,
    "EPIPE": 32,
    "ECONNABORTED": 103,
    "ETOOMANYREFS": 109,
    "ETIMEDOUT": 110,
    "ECANCELED": 125,
}


def written(problem: Problem, **seen_by: bool) -> dict[str, Any]:
    """The error as a JSON-RPC client gets it."""
    flags = {"has_full_access": True, "unpickles": False} | seen_by
    answer = json.loads(JsonRpc().failure(b"7", problem, **flags))
    error: dict[str, Any] = answer["error"]
    return error


def data_of(problem: Problem, **seen_by: bool) -> dict[str, Any]:
    data: dict[str, Any] = written(problem, **seen_by)["data"]
    return data


@pytest.mark.parametrize(
    "problem",
    [
        call_error(Errno.EPERM, "no"),
        failed(110, "[ETIMEDOUT] late"),
        not_found("Job with id 7 does not exist"),
        no_match(),
        unexpected(),
        invalid_params((Mistake(None, "x"),)),
        problem_of(errors.NotFound("x")),
    ],
)
def test_every_error_of_a_call_has_every_key(problem):
    error = written(problem)

    assert error["code"] in (CALL_FAILED, INVALID_PARAMS)
    assert error["message"] in ("method call error", "Invalid params")
    assert list(error["data"]) == KEYS
    assert list(error["data"]["trace"]) == ["class", "frames", "formatted", "repr"]
    assert error["data"]["py_exception"] == error["data"]["trace"]["repr"]


def test_numbers_are_those_of_linux_and_of_truenas():
    known = {one.name: one.value for one in Errno}

    assert known == LINUX | {"ENOMETHOD": 201, "ENOTAUTHENTICATED": 207}
    assert name_of(errno.EBUSY) == "EBUSY"
    assert name_of(4711) == "EUNKNOWN"


def test_the_reason_begins_with_the_name_of_the_number():
    assert data_of(call_error(Errno.EBUSY, "later"))["reason"] == "[EBUSY] later"


def test_several_mistakes_stand_in_one_reason_line_by_line():
    data = data_of(invalid_params((Mistake("a.b", "too long"), Mistake(None, "no", Errno.ENOENT))))

    assert data["error"] == 22
    assert data["reason"] == "[EINVAL] a.b: too long\n[ENOENT] : no\n"
    assert data["extra"] == [["a.b", "too long", 22], [None, "no", 2]]


def test_a_get_without_a_match_has_the_words_that_clients_know():
    data = data_of(no_match())

    assert (data["error"], data["errname"], data["reason"]) == (22, "EINVAL", "MatchNotFound()")


def test_a_fault_of_ours_tells_those_with_full_access_where_and_nobody_what():
    class Step:
        filename, lineno, name, line = "f.py", 3, "go", "x = secret"

    steps: Any = [Step]
    data = data_of(unexpected("KeyError", steps))

    assert (data["error"], data["trace"]["class"]) == (22, "KeyError")
    assert data["trace"]["frames"] == [
        {"filename": "f.py", "lineno": 3, "method": "go", "line": "x = secret"}
    ]
    assert data_of(unexpected("KeyError", steps), has_full_access=False)["trace"]["frames"] == []


def test_who_would_unpickle_an_exception_gets_none():
    problem = call_error(Errno.EINVAL, "x", frames=[Frame("f", 1, "m", "l")])

    assert "py_exception" not in data_of(problem, unpickles=True)
    assert data_of(problem, unpickles=True)["trace"]["frames"] != []


def test_an_error_that_its_code_explains_has_no_data():
    assert written(Problem(-32601, "Method does not exist")) == {
        "code": -32601,
        "message": "Method does not exist",
    }


def test_a_client_is_told_that_its_subscription_was_ended():
    text = JsonRpc().unsubscribed("core.get_jobs", call_error(Errno.EBUSY, "too slow"))

    message = json.loads(text)
    assert "id" not in message
    assert message["method"] == "notify_unsubscribed"
    assert message["params"]["collection"] == "core.get_jobs"
    assert list(message["params"]["error"]) == KEYS


@pytest.mark.parametrize("call_id", ['"\\ud800"', "1e999", "-", '"' + "x" * 300 + '"', "true", "{}", "[1]"])
def test_an_id_that_others_could_not_read_in_events_is_refused(call_id):
    with pytest.raises(Problem) as raised:
        JsonRpc().read(f'{{"jsonrpc":"2.0","id":{call_id},"method":"m"}}')

    assert raised.value.code in (-32600, -32700)
    assert raised.value.call_id == b"null"


@pytest.mark.parametrize("call_id", ['"a\\u0041"', "1.50", "-0", "null", str(2**64), '""'])
def test_any_other_goes_back_as_it_came(call_id):
    call = JsonRpc().read(f'{{"jsonrpc":"2.0","id":{call_id},"method":"m"}}')

    assert call.id == call_id.encode()
    assert JsonRpc().result(call, None).decode() == f'{{"jsonrpc":"2.0","id":{call_id},"result":null}}'
    assert msgspec.json.decode(JsonRpc().result(call, None))["result"] is None
