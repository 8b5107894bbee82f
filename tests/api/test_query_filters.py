"""The filters of a query: what can be written, what is refused, and what each operator means."""

import pytest

from dispatcher.api.truenas.conditions import asked, holds
from dispatcher.api.truenas.filters import AnyOf, Condition, Instant, conditions_of, read_filters
from dispatcher.api.truenas.problems import Mistake

JOB: dict[str, object] = {
    "id": 7,
    "method": "pool.scrub",
    "arguments": ["tank", {"action": "START", "a.b": 5}],
    "description": None,
    "tags": ["Fast", "cheap"],
    "disks": [{"name": "ada0", "parts": [{"size": 1}, {"size": 2}]}, {"name": "ada1", "parts": []}, None],
    "progress": {"percent": 50, "description": "half", "extra": None},
    "state": "RUNNING",
    "time_started": {"$date": 1_767_225_600_000},  # 2026-01-01T00:00:00Z
    "time_finished": None,
}


def read(given: object) -> tuple[object, ...]:
    mistakes: list[Mistake] = []
    filters = read_filters(given, mistakes)
    assert mistakes == []
    return filters


def passes(*given: object, matched: object = None) -> bool:
    mistakes: list[Mistake] = []
    filters = read_filters(list(given), mistakes)
    assert mistakes == []
    return holds(filters, JOB, matched or {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (["id", "=", 7], True),
        (["id", "=", 7.0], True),
        (["id", "=", "7"], False),
        (["id", "!=", 7], False),
        (["id", "!=", "7"], True),
        (["id", ">", 6], True),
        (["id", ">", 7], False),
        (["id", ">=", 7], True),
        (["id", "<", 7.5], True),
        (["id", "<=", 6], False),
        (["method", "=", "pool.scrub"], True),
        (["method", "=", "Pool.Scrub"], False),
        (["method", "C=", "Pool.Scrub"], True),
        (["method", "C!=", "POOL.SCRUB"], False),
        (["method", ">", "pool"], True),
        (["method", "C<", "POOL"], False),
        # starts and ends
        (["method", "^", "pool."], True),
        (["method", "^", "Pool."], False),
        (["method", "C^", "Pool."], True),
        (["method", "!^", "disk."], True),
        (["method", "!^", "pool."], False),
        (["method", "C!^", "POOL"], False),
        (["method", "$", ".scrub"], True),
        (["method", "C$", ".SCRUB"], True),
        (["method", "!$", ".scrub"], False),
        (["method", "!$", ".run"], True),
        (["method", "C!$", ".RUN"], True),
        # one of, part of
        (["state", "in", ["WAITING", "RUNNING"]], True),
        (["state", "in", []], False),
        (["state", "in", "NOT RUNNING!"], True),
        (["state", "Cin", ["waiting", "running"]], True),
        (["state", "nin", ["WAITING"]], True),
        (["state", "nin", ["RUNNING"]], False),
        (["state", "Cnin", "not running"], False),
        (["id", "in", [1, 7]], True),
        # contains
        (["method", "rin", "l.s"], True),
        (["method", "rin", "L.S"], False),
        (["method", "Crin", "L.S"], True),
        (["method", "rnin", "l.s"], False),
        (["tags", "rin", "Fast"], True),
        (["tags", "rin", "fast"], False),
        (["tags", "Crin", "FAST"], True),
        (["tags", "rnin", "slow"], True),
        (["tags", "Crnin", "CHEAP"], False),
        (["progress", "rin", "percent"], True),
        # null
        (["description", "=", None], True),
        (["description", "!=", "x"], True),
        (["description", "in", ["x", None]], True),
        (["description", "in", ["x"]], False),
        (["description", "in", "x"], False),
        (["description", "nin", ["x"]], False),
        (["description", "Cnin", ["x"]], False),
        *(
            (["description", operator, "x"], False)
            for operator in ("nin", "rin", "rnin", "^", "!^", "$", "!$")
        ),
        *((["description", f"C{operator}", "x"], False) for operator in ("nin", "rin", "rnin", "!^", "!$")),
        (["description", "<", "x"], False),
        (["description", ">=", None], False),
        # what does not fit is false, never an error
        *((["id", operator, "7"], False) for operator in ("<", "<=", ">", ">=", "^", "!^", "$", "!$", "rin")),
        (["id", "rnin", 1], False),
        (["id", "in", "1234567"], False),
        (["tags", "in", "Fast"], False),
        (["tags", "<", 5], False),
        (["tags", "=", ["Fast", "cheap"]], True),
        # a missing key is false, whatever the operator
        *(
            (["nobody", operator, "x"], False)
            for operator in ("=", "!=", "<", "in", "nin", "rin", "rnin", "!^", "!$", "~")
        ),
        (["nobody", "=", None], False),
        (["progress.nothing", "!=", 1], False),
        (["id.nothing", "!=", 1], False),
        # paths
        (["progress.percent", ">=", 50], True),
        (["progress.extra", "=", None], True),
        (["progress.extra.deep.in.null", "=", None], True),
        (["time_finished.deeper", "!=", 5], True),
        (["arguments.0", "=", "tank"], True),
        (["arguments.1.action", "=", "START"], True),
        ([r"arguments.1.a\.b", "=", 5], True),
        (["arguments.1.a.b", "=", 5], False),
        (["arguments.5", "=", None], True),
        (["arguments.99999999999999999999", "=", None], True),
        (["arguments.²", "!=", 5], False),
        (["arguments.action", "=", "START"], False),
        (["disks.*.name", "=", "ada1"], True),
        (["disks.*.name", "=", "ada2"], False),
        (["disks.*.name", "=", None], True),
        (["disks.*.parts.*.size", ">", 1], True),
        (["disks.*.parts.0.size", "=", 1], True),
        (["tags.*", "=", "cheap"], True),
        (["tags.*", "C=", "CHEAP"], True),
        (["progress.*", "!=", 5], False),
        # instants
        (["time_started.$date", "=", "2026-01-01T00:00:00Z"], True),
        (["time_started.$date", "=", "2026-01-01T01:00:00+01:00"], True),
        (["time_started.$date", "=", "2026-01-01"], True),
        (["time_started.$date", "=", "2026-01-01T00:00:00.000001Z"], False),
        (["time_started.$date", "<", "2026-01-01T00:00:00.000001Z"], True),
        (["time_started.$date", ">", "2025-12-31T23:59:59.999999"], True),
        (["time_started.$date", ">=", "2026-01-01T00:00:00.000001Z"], False),
        (["time_started.$date", "!=", "2026-01-01T00:00:01Z"], True),
        (["time_finished.$date", "<", "2099-01-01T00:00:00Z"], False),
        (["time_finished.$date", "!=", "2099-01-01T00:00:00Z"], True),
        (["time_finished.$date", "=", "2099-01-01T00:00:00Z"], False),
        (["nobody.$date", "!=", "2099-01-01T00:00:00Z"], False),
        (["method.$date", "<", "2099-01-01T00:00:00Z"], False),
        (["time_started", ">", {"$date": 1_767_225_599_999}], True),
        (["time_started", "=", {"$date": 1_767_225_600_000}], True),
        (["time_started", "<", {"$date": 1_767_225_600_000}], False),
        (["time_started", "in", [{"$date": 1_767_225_600_000}]], True),
        (["time_started", "<", {"$date": 10**30}], True),
        (["time_started", "=", {"$date": 1_767_225_600_000, "more": 1}], False),
    ],
)
def test_a_condition_means(one, expected):
    matched = {("x", ""): True}

    assert passes(one, matched=matched) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], True),
        ([["id", "=", 7], ["state", "=", "RUNNING"]], True),
        ([["id", "=", 7], ["state", "=", "WAITING"]], False),
        ([["OR", [["id", "=", 1], ["id", "=", 7]]]], True),
        ([["OR", [["id", "=", 1], ["id", "=", 2]]]], False),
        ([["OR", [[["id", "=", 7], ["state", "=", "WAITING"]], ["id", "=", 2]]]], False),
        ([["OR", [[["id", "=", 7], ["state", "=", "RUNNING"]], ["id", "=", 2]]]], True),
        ([["state", "=", "WAITING"], ["OR", [["id", "=", 7]]]], False),
        (["OR", [["id", "=", 7]]], True),  # bare
        (["OR", [["id", "=", 8]]], False),
        (
            [["OR", [["OR", [["OR", [["id", "=", 7], ["id", "=", 1]]], ["id", "=", 2]]], ["id", "=", 3]]]],
            True,
        ),
        ([["OR", [[["OR", [["id", "=", 8]]], ["id", "=", 7]], ["OR", [["id", "=", 9]]]]]], False),
    ],
)
def test_all_filters_hold_and_one_branch_of_an_or(given, expected):
    mistakes: list[Mistake] = []

    filters = read_filters(given, mistakes)

    assert mistakes == []
    assert holds(filters, JOB) is expected


def nested(depth: int) -> list[object]:
    inner: list[object] = ["id", "=", 7]
    for _ in range(depth):
        inner = ["OR", [inner]]
    return inner


@pytest.mark.parametrize("branch", [lambda one: one, lambda one: [one, ["id", "=", 7]]])
def test_or_nests_three_deep_and_no_deeper(branch):
    mistakes: list[Mistake] = []
    read_filters([["OR", [branch(nested(2))]]], mistakes)

    assert mistakes == []
    read_filters([["id", "=", 1], ["OR", [branch(nested(3))]]], mistakes)

    assert mistakes == [Mistake("query-filters.1", "query-filters max recursion depth exceeded", 22)]


@pytest.mark.parametrize(
    ("given", "place", "sentence"),
    [
        ("id", "query-filters", "must be a list of filters"),
        ({}, "query-filters", "must be a list of filters"),
        (None, "query-filters", "must be a list of filters"),
        (["id", "=", 5], "query-filters.0", "must be [field, operator, value] or"),
        (["OR", "id"], "query-filters.0", "must be [field, operator, value] or"),
        ([["id", "="]], "query-filters.0", "must be [field, operator, value] or"),
        ([["id", "=", 5, 6]], "query-filters.0", "must be [field, operator, value] or"),
        ([[]], "query-filters.0", "must be [field, operator, value] or"),
        ([5], "query-filters.0", "must be [field, operator, value] or"),
        ([["id", "=", 1], [["id", "=", 5]]], "query-filters.1", "must be [field, operator, value] or"),
        ([[5, "=", 5]], "query-filters.0", "must be [field, operator, value] or"),
        ([["id", 5, 5]], "query-filters.0", "must be [field, operator, value] or"),
        ([["AND", [["id", "=", 5]]]], "query-filters.0", "must be [field, operator, value] or"),
        ([["OR", []]], "query-filters.0", "OR needs at least one branch"),
        ([["OR", [[]]]], "query-filters.0", "must be [field, operator, value] or"),
        ([["OR", [["id", "is", 5]]]], "query-filters.0", "'is' is not an operator"),
        ([["id", "==", 5]], "query-filters.0", "'==' is not an operator"),
        ([["id", "", 5]], "query-filters.0", "'' is not an operator"),
        ([["id", "C", 5]], "query-filters.0", "'C' is not an operator"),
        ([["id", "CC=", 5]], "query-filters.0", "'CC=' is not an operator"),
        ([["method", "C~", "x"]], "query-filters.0", "'C~' is not an operator"),
        ([["", "=", 5]], "query-filters.0", "'' is not the name of a field"),
        ([["a..b", "=", 5]], "query-filters.0", "'a..b' is not the name of a field"),
        ([["method", "^", 5]], "query-filters.0", "^ needs a text"),
        ([["method", "C!$", None]], "query-filters.0", "C!$ needs a text"),
        ([["method", "~", ["x"]]], "query-filters.0", "~ needs a text"),
        ([["method", "~", "x" * 257]], "query-filters.0", "a pattern has at most 256 characters"),
        ([["id", "in", 5]], "query-filters.0", "in needs a list or a text"),
        ([["id", "Cnin", None]], "query-filters.0", "Cnin needs a list or a text"),
        ([["time.$date", "^", "2026-01-01"]], "query-filters.0", "^: invalid timestamp operation"),
        ([["time.$date", "C=", "2026-01-01"]], "query-filters.0", "C=: invalid timestamp operation"),
        ([["time.$date", "=", "Canary"]], "query-filters.0", "'Canary': must be an ISO-8601"),
        ([["time.$date", "=", 1]], "query-filters.0", "1: must be an ISO-8601 formatted timestamp string"),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_its_place(given, place, sentence):
    mistakes: list[Mistake] = []

    read_filters(given, mistakes)

    assert mistakes[0].parameter == place
    assert mistakes[0].sentence.startswith(sentence)
    assert mistakes[0].error == 22


def test_every_wrong_filter_is_reported():
    mistakes: list[Mistake] = []

    read_filters([["id", "=="], ["id", "=", 5], ["id", "~", 5]], mistakes)

    assert [one.parameter for one in mistakes] == ["query-filters.0", "query-filters.2"]


def test_a_thousand_conditions_are_enough():
    mistakes: list[Mistake] = []
    many = [["OR", [["id", "=", number] for number in range(1000)]]]
    assert len(list(conditions_of(read_filters(many, mistakes)))) == 1000
    assert mistakes == []

    read_filters([*many, ["id", "=", 1000]], mistakes)

    assert mistakes == [Mistake("query-filters", "must not have more than 1000 conditions", 22)]


def test_filters_are_read_into_frozen_values():
    filters = read(
        [["a.b", "Cin", ["X"]], ["OR", [["t.$date", "<", "1970-01-01T00:00:01Z"], [["n", "=", 1]]]]]
    )

    assert filters == (
        Condition(("a", "b"), "in", ["x"], folds=True),
        AnyOf(((Condition(("t",), "<", Instant(1_000_000)),), (Condition(("n",), "=", 1),))),
    )


def test_a_pattern_is_looked_up_and_null_reads_as_no_text():
    filters = read_filters(
        [["OR", [["disks.*.name", "~", "a.*1"], ["description", "~", "x"], ["id", "~", "7"]]]], []
    )

    questions = asked(filters, [JOB, {"disks": [{"name": "da9"}]}])

    assert questions == {("a.*1", "ada0"), ("a.*1", "ada1"), ("a.*1", ""), ("x", ""), ("a.*1", "da9")}
    assert holds(filters, JOB, {**dict.fromkeys(questions, False), ("a.*1", "ada1"): True})
    assert holds(filters, JOB, {**dict.fromkeys(questions, False), ("x", ""): True})
    assert not holds(filters, JOB, dict.fromkeys(questions, False))
