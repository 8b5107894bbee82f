"""Parameters: by position or by name, and every mistake named at once."""

import pytest

from dispatcher.api.truenas import parameters
from dispatcher.api.truenas.parameters import read_params
from dispatcher.api.truenas.problems import Problem
from dispatcher.core.model import Value


def mistakes(kind: type[Value], *params: object) -> list[tuple[str | None, str]]:
    with pytest.raises(Problem) as caught:
        read_params(kind, params)
    assert caught.value.data is not None
    return [(one.parameter, one.sentence) for one in caught.value.data.extra]


def test_parameters_come_by_position_or_by_name():
    by_name = read_params(parameters.Submit, [{"id": "a", "commands": ["x", ["y", "z"]]}])
    by_position = read_params(parameters.Submit, [["x", ["y", "z"]], "a"])

    assert by_name == by_position == parameters.Submit(["x", ["y", "z"]], "a")


def test_an_empty_object_means_all_defaults():
    assert read_params(parameters.List, [{}]) == read_params(parameters.List, []) == parameters.List()


def test_too_many_parameters_are_refused():
    assert mistakes(parameters.One, 1, 2) == [("", "Too many arguments (expected 1, found 2)")]
    assert mistakes(parameters.Nothing, 1) == [("", "Too many arguments (expected 0, found 1)")]


def test_every_mistake_is_reported_at_once():
    found = dict(mistakes(parameters.Submit, {"commands": ["a", 5], "queue": 7, "colour": "red"}))

    assert found.keys() == {"commands.1", "queue", "colour"}
    assert "int" in found["commands.1"]
    assert "commands, id, queue" in found["colour"]


def test_a_missing_parameter_is_named():
    assert mistakes(parameters.One) == [("job", "required, and not given")]


@pytest.mark.parametrize("wrong", [0, -1, 2**60, "", 1.5, True, None, [7]])
def test_a_job_is_a_number_or_a_key(wrong):
    assert [(where or "").split(".")[0] for where, _ in mistakes(parameters.One, wrong)] == ["job"]


@pytest.mark.parametrize("wrong", ["2026-11-21T05:00:00", "yesterday", 5])
def test_a_time_needs_its_zone(wrong):
    assert [where for where, _ in mistakes(parameters.List, {"since": wrong})] == ["since"]


def test_commands_may_not_be_empty():
    assert [where for where, _ in mistakes(parameters.Submit, [])] == ["commands"]
