"""The older protocol as text: what each message is read as, and how answers are written."""

import json
from typing import Any

import pytest

from dispatcher.api.truenas import legacy as module
from dispatcher.api.truenas.dialect import Answer, Broken, Call
from dispatcher.api.truenas.legacy import Legacy
from dispatcher.api.truenas.problems import (
    TOO_MANY_CALLS,
    UNKNOWN_METHOD,
    Errno,
    Frame,
    Mistake,
    Problem,
    call_error,
    invalid_params,
)

CONNECT = '{"msg":"connect","version":"1","support":["1"],"features":["PY_EXCEPTIONS"]}'
KEYS = ["error", "errname", "type", "reason", "trace", "extra", "py_exception"]


@pytest.fixture
def legacy() -> Legacy:
    """A connection that has connected."""
    dialect = Legacy("a-session")
    answered(dialect, CONNECT)
    return dialect


def answered(dialect: Legacy, message: object) -> Any:
    """What is answered to a message that is no call."""
    with pytest.raises(Answer) as raised:
        dialect.read(message if isinstance(message, str) else json.dumps(message))
    return json.loads(raised.value.text)


def refused(dialect: Legacy, message: dict[str, object]) -> dict[str, Any]:
    with pytest.raises(Problem) as raised:
        dialect.read(json.dumps(message))
    problem = raised.value
    assert problem.call_id is not None
    error: dict[str, Any] = json.loads(
        dialect.failure(problem.call_id, problem, has_full_access=True, unpickles=False)
    )
    return error


def failure(problem: Problem, **seen_by: bool) -> dict[str, Any]:
    flags = {"has_full_access": False, "unpickles": False} | seen_by
    answer = json.loads(Legacy("x").failure(b'"7"', problem, **flags))
    assert (answer["msg"], answer["id"]) == ("result", "7")
    error: dict[str, Any] = answer["error"]
    return error


def test_a_client_connects_with_version_1_and_is_told_its_session():
    assert answered(Legacy("a-session"), CONNECT) == {"msg": "connected", "session": "a-session"}


def test_another_version_fails_and_may_try_again():
    dialect = Legacy("a-session")

    for version in ("2", 1, None):
        assert answered(dialect, {"msg": "connect", "version": version}) == {"msg": "failed", "version": "1"}
    assert answered(dialect, CONNECT)["msg"] == "connected"


@pytest.mark.parametrize(
    "message",
    [
        {"msg": "method", "id": "1", "method": "core.ping"},
        {"msg": "ping"},
        {"msg": "sub", "id": "1", "name": "core.get_jobs"},
        {"msg": "unsub", "id": "1"},
        {"msg": "what"},
    ],
)
def test_before_that_everything_fails(message):
    assert answered(Legacy("x"), message) == {"msg": "failed", "version": "1"}


def test_a_method_is_called_with_its_id_as_it_came(legacy):
    assert legacy.read('{"msg":"method","id":"a\\u0041","method":"m.n","params":[1,{}]}') == Call(
        "m.n", [1, {}], b'"a\\u0041"'
    )


@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": []}])
def test_a_method_may_have_no_params(params, legacy):
    assert legacy.read(json.dumps({"msg": "method", "id": 1, "method": "m"} | params)) == Call("m", [], b"1")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "Message is malformed: 'method' is absent."),
        ({"method": 5}, "'method' is no name"),
        ({"method": ""}, "'method' is no name"),
        ({"method": "m", "params": {"a": 1}}, "`params` must be a list."),
        ({"method": "m", "params": "x"}, "`params` must be a list."),
        ({"method": "m", "params": [{"$date": "x"}]}, "cannot be unwrapped"),
    ],
)
def test_what_is_wrong_with_a_call_is_answered(message, words, legacy):
    answer = refused(legacy, {"msg": "method", "id": "q"} | message)

    assert (answer["msg"], answer["id"]) == ("result", "q")
    assert answer["error"]["error"] == Errno.EINVAL
    assert words in answer["error"]["reason"]


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '"text"', "7", "null", '{"a":', "[" * 20_000])
def test_what_is_no_object_ends_the_connection(text, legacy):
    with pytest.raises(Broken) as raised:
        legacy.read(text)

    assert raised.value.code == 1007


@pytest.mark.parametrize("text", ["{}", '{"msg":null}', '{"method":"core.ping"}'])
def test_what_says_not_what_it_is_ends_the_connection(text, legacy):
    with pytest.raises(Broken) as raised:
        legacy.read(text)

    assert raised.value.code == 1011


def test_a_ping_is_answered_with_its_id_if_it_has_one(legacy):
    assert answered(legacy, {"msg": "ping", "id": "x"}) == {"msg": "pong", "id": "x"}
    assert answered(legacy, {"msg": "ping"}) == {"msg": "pong"}


def test_a_subscription_is_ready_under_the_id_that_the_client_gave_and_ends_by_it(legacy):
    subscribe = legacy.read('{"msg":"sub","id":"s1","name":"core.get_jobs"}')
    unsubscribe = legacy.read('{"msg":"unsub","id":"s1"}')

    assert (subscribe.method, subscribe.params) == ("core.subscribe", ["core.get_jobs"])
    assert json.loads(legacy.result(subscribe, "any")) == {"msg": "ready", "subs": ["s1"]}
    assert (unsubscribe.method, unsubscribe.id) == ("core.unsubscribe", None)
    assert unsubscribe.params == [subscribe.subscription]


@pytest.mark.parametrize("text", ["1e999", '{"a":[1]}', "[[[[]]]]"])
def test_whatever_stands_for_an_id_is_an_id(text, legacy):
    assert legacy.read(f'{{"msg":"sub","id":{text},"name":"x"}}').id == text.encode()


def test_an_unknown_message_is_answered_with_those_that_are_known(legacy):
    answer = answered(legacy, {"msg": "what"})

    assert answer["msg"] == "error"
    assert "connect, method, sub, unsub, ping" in answer["reason"]


def test_a_result_stands_beside_its_id():
    call = Call("m", [], b'"7"')

    assert json.loads(Legacy("x").result(call, {"a": None})) == {
        "msg": "result",
        "id": "7",
        "result": {"a": None},
    }


def test_a_result_that_cannot_be_written_is_an_error():
    answer = json.loads(Legacy("x").result(Call("m", [], b"7"), object()))

    assert (answer["id"], answer["error"]["error"]) == (7, 22)


def test_an_error_has_every_key_and_a_number_that_is_not_zero():
    error = failure(call_error(Errno.EBUSY, "later"))

    assert list(error) == KEYS
    assert (error["error"], error["errname"], error["type"]) == (16, "EBUSY", None)
    assert (error["reason"], error["extra"]) == ("[EBUSY] later", [])
    assert list(error["trace"]) == ["class", "frames", "formatted", "repr"]


def test_one_wrong_parameter_has_its_own_number_and_several_have_one_together():
    one = failure(invalid_params((Mistake("id", "is not there", Errno.ENOENT),)))
    two = failure(invalid_params((Mistake("a", "wrong"), Mistake("b", "wrong"))))

    assert (one["error"], one["errname"], one["type"]) == (2, "ENOENT", "VALIDATION")
    assert (two["error"], two["errname"], two["type"]) == (11, "EAGAIN", "VALIDATION")
    assert two["extra"] == [["a", "wrong", 22], ["b", "wrong", 22]]
    assert one["trace"] is not None, "clients ask for it before they look at extra"


@pytest.mark.parametrize(
    ("code", "number", "name"),
    [(UNKNOWN_METHOD, 201, "ENOMETHOD"), (TOO_MANY_CALLS, 109, "ETOOMANYREFS"), (-32603, 22, "EINVAL")],
)
def test_what_json_rpc_says_by_its_code_is_said_by_a_number(code, number, name):
    error = failure(Problem(code, "the message"))

    assert (error["error"], error["errname"], error["reason"]) == (number, name, f"[{name}] the message")


def test_frames_are_for_full_access_and_no_client_gets_what_it_would_unpickle():
    problem = call_error(Errno.EINVAL, "oh", frames=[Frame("f.py", 3, "go", "x()")])

    assert failure(problem)["trace"]["frames"] == []
    assert failure(problem, has_full_access=True)["trace"]["frames"] == [
        {"filename": "f.py", "lineno": 3, "method": "go", "line": "x()"}
    ]
    assert "py_exception" in failure(problem)
    assert "py_exception" not in failure(problem, unpickles=True)


def test_the_end_of_a_subscription_says_of_which_collection_and_why():
    text = Legacy("x").unsubscribed("core.get_jobs", call_error(Errno.EBUSY, "too slow"))

    answer = json.loads(text)
    assert (answer["msg"], answer["collection"]) == ("nosub", "core.get_jobs")
    assert answer["error"]["reason"] == "[EBUSY] too slow"
    assert module.VERSION == "1"
