"""From the arguments of a call to the commands of a job."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import MASK
from dispatcher.tasks.arguments import Wrong, masked
from dispatcher.tasks.calling import Prepared, prepare
from tests.tasks.declared import task

TWO = task(
    "{name: {type: string, required: true}, count: {type: integer, min: 1, max: 9, default: 3}}",
    "say, '{name}', -n, '{count}'",
)


def argv(declared, *arguments):
    prepared = prepare(declared, arguments)
    assert isinstance(prepared, Prepared), prepared
    return [command.argv for command in prepared.commands]


def wrongs(declared, *arguments):
    prepared = prepare(declared, arguments)
    assert isinstance(prepared, tuple), prepared
    return [(one.path, one.sentence) for one in prepared]


@pytest.mark.parametrize("arguments", [("a", 4), ({"name": "a", "count": 4},), ({"count": 4, "name": "a"},)])
def test_arguments_come_by_place_or_by_name(arguments):
    assert argv(TWO, *arguments) == [("say", "a", "-n", "4")]


def test_what_is_not_given_has_its_default():
    assert argv(TWO, "a") == argv(TWO, "a", None) == [("say", "a", "-n", "3")]


def test_all_that_is_wrong_is_told_at_once():
    assert wrongs(TWO, {"count": 12, "nmae": "x"}) == [
        ("nmae", "unknown parameter; known are: name, count"),
        ("name", "required, and not given"),
        ("count", "a whole number from 1 to 9 is wanted"),
    ]
    assert wrongs(TWO, "a", 1, 2) == [("", "Too many arguments (expected 2, found 3)")]


def test_an_object_alone_is_the_first_parameter_if_that_is_one():
    declared = task("{o: {type: object, keys: {a: {type: integer}}}}", "x, '{o}'")

    assert argv(declared, {"a": 1}) == [("x", '{"a":1}')]
    assert wrongs(declared, {"a": "1", "b": 2}) == [
        ("o.a", "a string is no whole number"),
        ("o.b", "unknown key; known are: a"),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("{type: string}", "a b", ("a b",)),
        ("{type: string}", "", ("",)),
        ("{type: integer}", 7, ("7",)),
        ("{type: integer, min: -9}", -7, ("-7",)),
        ("{type: boolean}", True, ("true",)),
        ("{type: enum, choices: [a, b]}", "b", ("b",)),
        ("{type: list, of: {type: integer}}", [1, 2], ("1", "2")),
        ("{type: list, of: {type: boolean}}", [True, False], ("true", "false")),
        ("{type: list, of: {type: string}}", [], ()),
        ("{type: any}", [1, {"a": None}], ('[1,{"a":null}]',)),
        ("{type: any}", None, ("null",)),
    ],
)
def test_each_kind_of_value_becomes_words(kind, value, words):
    assert argv(task(f"{{v: {kind}}}", "x, '{v}'"), value) == [("x", *words)]


@pytest.mark.parametrize(
    ("kind", "value", "complaint"),
    [
        ("{type: string}", 5, "a number is no string"),
        ("{type: string}", "a\nb", "holds a control character"),
        ("{type: string, pattern: '.*'}", "a\0", "no command can be given such a character"),
        ("{type: string, pattern: '[a-z]+'}", "a1", "does not match [a-z]+"),
        ("{type: string, max: 2}", "abc", "a string of 0 to 2 characters is wanted, not of 3"),
        (
            "{type: string, pattern: 'a*'}",
            "a" * 5000,
            "a string of 0 to 4096 characters is wanted, not of 5000",
        ),
        ("{type: integer}", True, "a boolean is no whole number"),
        ("{type: integer}", 1.0, "a number is no whole number"),
        ("{type: boolean}", "true", "a string is neither true nor false"),
        ("{type: enum, choices: [a, b]}", "c", "not one of a, b"),
        ("{type: list, of: {type: string}}", "a", "a string is no list"),
        ("{type: list, of: {type: string}, min: 1}", [], "a list of 1 to 1000 values is wanted, not of 0"),
        ("{type: object, keys: {a: {type: string, required: true}}}", [], "a list is no object"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(kind, value, complaint):
    assert wrongs(task(f"{{v: {kind}}}", "x, '{v}'"), value) == [("v", complaint)]


def test_a_wrong_part_is_named_by_its_path():
    declared = task(
        "{o: {type: object, keys: {a: {type: string, required: true}}}, l: {type: list, of: {type: integer}}}"
    )

    assert wrongs(declared, {}, [1, "2"]) == [
        ("o.a", "required, and not given"),
        ("l.1", "a string is no whole number"),
    ]


def test_a_value_that_would_be_an_option_is_refused():
    (wrong,) = wrongs(task("{v: {type: string}}", "rm, '{v}'"), "-rf")

    assert "it would be taken for an option" in wrong[1]
    assert argv(task("{v: {type: string}}", "rm, \"--\", '{v}'"), "-rf") == [("rm", "--", "-rf")]
    assert wrongs(task("{v: {type: integer}}", "kill, '{v}'"), -1)


@pytest.mark.parametrize(("dry", "words"), [(True, ("x", "-n")), (False, ("x", "-y")), (None, ("x", "-y"))])
def test_words_stand_there_on_a_condition(dry, words):
    declared = task("{dry: {type: boolean}}", "x, {when: dry, then: [-n]}, {unless: dry, then: [-y]}")

    assert argv(declared, dry) == [words]


def test_secrets_are_masked_and_reach_the_command():
    declared = task(
        "{user: {type: string}, password: {type: string, secret: true}}",
        "login, '{user}', 'pw={password}'",
        "env: {PW: '{password}'}\n  stdin: '{password}'",
    )
    prepared = prepare(declared, ["joe", "hunter2"])

    assert isinstance(prepared, Prepared)
    (command,) = prepared.commands
    assert command.argv == ("login", "joe", "pw=hunter2")
    assert (command.text, command.hidden) == (f"login joe {MASK}", (2,))
    assert (prepared.stdin, prepared.env) == ("hunter2", (("PW", "hunter2"),))
    assert json.loads(masked(declared.parameters, ["joe", "hunter2", "x"])) == ["joe", MASK, MASK]
    assert json.loads(masked(declared.parameters, [{"password": "hunter2", "user": 5}])) == [
        {"password": MASK, "user": 5}
    ]


def test_a_secret_part_hides_the_whole():
    declared = task("{o: {type: object, keys: {key: {type: string, secret: true}}}}", "x, '{o}'")
    prepared = prepare(declared, [{"key": "k"}])

    assert isinstance(prepared, Prepared)
    assert prepared.commands[0].text == f"x {MASK}"
    assert json.loads(masked(declared.parameters, [{"key": "k"}])) == [MASK]


def test_a_list_is_given_to_stdin_line_by_line():
    declared = task("{l: {type: list, of: {type: string}}}", "cat", "stdin: '{l}'")
    prepared = prepare(declared, [["a", "b"]])

    assert isinstance(prepared, Prepared)
    assert prepared.stdin == "a\nb\n"


@given(st.text(), st.lists(st.text(), max_size=5))
def test_no_value_ever_becomes_two_arguments_or_none(one, many):
    declared = task(
        "{one: {type: string, pattern: '(?s).*'}, many: {type: list, of: {type: string, pattern: '(?s).*'}}}",
        "x, \"--\", '{one}', '{many}'",
    )
    prepared = prepare(declared, [one, many])

    if isinstance(prepared, Prepared):
        assert prepared.commands[0].argv == ("x", "--", one, *many)
    else:
        assert all(isinstance(wrong, Wrong) for wrong in prepared)
        assert any("\0" in text or any("\ud800" <= c <= "\udfff" for c in text) for text in (one, *many))
