"""The JSON-RPC envelope: what is read, what is refused with which code, and what is written."""

import json

import pytest

from dispatcher import errors
from dispatcher.api.truenas import jsonrpc
from dispatcher.api.truenas.problems import Mistake, Problem, invalid_params, problem_of


def refusal(text: str) -> Problem:
    with pytest.raises(Problem) as caught:
        jsonrpc.read(text)
    return caught.value


def test_the_documented_example_is_read():
    call = jsonrpc.read('{"jsonrpc": "2.0", "id": 1, "method": "system.info", "params": []}')

    assert (call.method, call.params, call.id) == ("system.info", [], b"1")


@pytest.mark.parametrize("params", ['"params":null,', ""])
def test_params_may_be_null_or_absent(params):
    assert jsonrpc.read(f'{{"jsonrpc":"2.0",{params}"method":"core.ping","id":1}}').params == []


@pytest.mark.parametrize("text", ['"a\\u00e9 b"', "12345678901234567890", "-1.50", "1e3", "null", '""'])
def test_an_id_goes_back_character_by_character(text):
    call = jsonrpc.read(f'{{"jsonrpc":"2.0","method":"m","id": {text} }}')

    assert call.id is not None
    assert jsonrpc.result(call.id, None) == b'{"jsonrpc":"2.0","id":%s,"result":null}' % text.encode()


def test_a_call_without_an_id_is_a_notification():
    assert jsonrpc.read('{"jsonrpc":"2.0","method":"m"}').id is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "Batch messages are not supported at this time"),
        (' [{"jsonrpc":"2.0","method":"m","id":1}]', "Batch messages are not supported at this time"),
        ("1", "Invalid Message Format"),
        ('"x"', "Invalid Message Format"),
        ("{", "Input data was truncated"),
        ('{"a":NaN}', "JSON is malformed: invalid character (byte 5)"),
        ('{"a":' + "[" * 100_000, "JSON is nested too deeply"),
    ],
)
def test_what_is_not_a_json_object_is_a_parse_error_with_id_null(text, message):
    problem = refusal(text)

    assert (problem.code, str(problem), problem.call_id) == (-32700, message, b"null")
    assert json.loads(jsonrpc.failure(b"null", problem)) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": message},
    }


def test_half_of_a_surrogate_pair_is_a_parse_error():
    assert refusal('{"jsonrpc":"2.0","id":1,"method":"\ud800"}').code == -32700
    assert refusal('{"jsonrpc":"2.0","id":1,"method":"\\ud800"}').code == -32700


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ('{"id":1,"method":"m"}', "jsonrpc"),
        ('{"jsonrpc":"1.0","id":1,"method":"m"}', "jsonrpc"),
        ('{"jsonrpc":"2.0","id":1}', "method"),
        ('{"jsonrpc":"2.0","id":1,"method":""}', "method"),
        ('{"jsonrpc":"2.0","id":1,"method":5}', "method"),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":1}}', "params"),
        ('{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}', "params"),
    ],
)
def test_a_wrong_member_is_an_invalid_request_that_names_it(text, member):
    problem = refusal(text)

    assert (problem.code, problem.call_id) == (-32600, b"1")
    assert f"'{member}'" in problem.message


@pytest.mark.parametrize("wrong", ["[1]", "{}", "true", "false"])
def test_an_id_of_another_type_is_an_invalid_request_with_id_null(wrong):
    problem = refusal(f'{{"jsonrpc":"2.0","id":{wrong},"method":"m"}}')

    assert (problem.code, problem.call_id) == (-32600, b"null")


def test_an_invalid_request_without_an_id_gets_no_answer():
    assert refusal('{"method":"m"}').call_id is None


@pytest.mark.parametrize(
    ("error", "number", "name"),
    [
        (errors.NotFound("no"), 2, "ENOENT"),
        (errors.Refused("no"), 16, "EBUSY"),
        (errors.Forbidden("no"), 13, "EACCES"),
        (errors.StoreFailed("no"), 5, "EIO"),
        (errors.SettingsError("no"), 22, "EINVAL"),
        (errors.DispatcherError("no"), 14, "EFAULT"),
    ],
)
def test_an_error_of_the_house_has_every_key_of_the_wire(error, number, name):
    problem = problem_of(error)

    assert json.loads(jsonrpc.failure(b'"x"', problem)) == {
        "jsonrpc": "2.0",
        "id": "x",
        "error": {
            "code": -32001,
            "message": "method call error",
            "data": {
                "error": number,
                "errname": name,
                "reason": f"[{name}] no",
                "trace": {
                    "class": "CallError",
                    "frames": [],
                    "formatted": f"CallError: [{name}] no\n",
                    "repr": f"CallError('[{name}] no')",
                },
                "extra": [],
                "py_exception": f"CallError('[{name}] no')",
            },
        },
    }


def test_nobody_gets_the_number_that_clients_log_in_again_for():
    data = problem_of(errors.NotAuthenticated("log in first")).data

    assert data is not None
    assert (data.error, data.errname, data.reason) == (
        207,
        "ENOTAUTHENTICATED",
        "[ENOTAUTHENTICATED] Not authenticated",
    )


def test_wrong_parameters_are_reported_as_triples():
    problem = invalid_params(
        (Mistake("limit", "Expected 'int', got 'str'"), Mistake("x", "unknown parameter"))
    )

    error = json.loads(jsonrpc.failure(b"1", problem))["error"]

    assert (error["code"], error["message"]) == (-32602, "Invalid params")
    assert error["data"]["extra"] == [
        ["limit", "Expected 'int', got 'str'", 22],
        ["x", "unknown parameter", 22],
    ]
    assert (
        error["data"]["reason"]
        == "[EINVAL] limit: Expected 'int', got 'str'\n[EINVAL] x: unknown parameter\n"
    )


def test_an_invalid_request_of_the_house_is_about_the_whole_call():
    error = json.loads(jsonrpc.failure(b"1", problem_of(errors.InvalidRequest("no program"))))["error"]

    assert (error["code"], error["data"]["extra"]) == (-32602, [[None, "no program", 22]])


@pytest.mark.parametrize("value", [object(), "\ud800"])
def test_a_result_that_cannot_be_written_is_an_internal_error(value):
    error = json.loads(jsonrpc.result(b"1", value))["error"]

    assert (error["code"], error["message"]) == (-32603, "Failed to JSON serialize server message")
    assert error["data"]["error"] == 22


def test_a_notification_has_no_id():
    assert jsonrpc.notification("a.b", {"x": 1}) == b'{"jsonrpc":"2.0","method":"a.b","params":{"x":1}}'
