"""The options of a query, and a query over any list of objects."""

from copy import deepcopy

import pytest

from dispatcher.api.truenas.filters import read_filters
from dispatcher.api.truenas.options import Options, Order, Selection, query, read_options
from dispatcher.api.truenas.problems import CALL_FAILED, Mistake, Problem

DISKS: list[dict[str, object]] = [
    {"name": "ada0", "size": 5, "pool": "tank", "at": {"$date": 300}, "model": {"maker": "a", "year": 2020}},
    {"name": "ada1", "size": None, "pool": "boot", "at": {"$date": 100}, "model": None},
    {"name": "da0", "size": 7, "pool": "tank", "at": {"$date": 200}, "model": {"maker": "b"}},
    {"name": "da1", "size": 5, "pool": None, "at": None, "a.b": 1},
]


def ask(filters: object, options: object) -> object:
    mistakes: list[Mistake] = []
    wanted = read_filters(filters, mistakes)
    how = read_options(options, mistakes)
    assert mistakes == []
    return query(DISKS, wanted, how)


def names(filters: object, options: object) -> list[object]:
    answer = ask(filters, options)
    assert isinstance(answer, list)
    return [one["name"] for one in answer]


@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        ([], "ada0 ada1 da0 da1"),
        (["-name"], "da1 da0 ada1 ada0"),
        (["size"], "ada1 ada0 da1 da0"),  # null is lowest; equal ones stay as they are
        (["-size"], "da0 ada0 da1 ada1"),
        (["nulls_last:size"], "ada0 da1 da0 ada1"),
        (["nulls_first:-size"], "ada1 da0 ada0 da1"),
        (["nulls_last:-size"], "da0 ada0 da1 ada1"),
        (["nulls_first:size"], "ada1 ada0 da1 da0"),
        (["pool", "-size"], "da1 ada1 da0 ada0"),  # the first one counts most
        (["-pool", "name"], "ada0 da0 ada1 da1"),
        (["at"], "da1 ada1 da0 ada0"),
        (["-at"], "ada0 da0 ada1 da1"),
        (["at.$date"], "da1 ada1 da0 ada0"),
        (["model.year"], "ada1 da0 da1 ada0"),  # a missing key is null
        (["-nobody"], "ada0 ada1 da0 da1"),
        (["model"], "ada1 da1 ada0 da0"),
    ],
)
def test_objects_are_sorted(order_by, expected):
    assert names([], {"order_by": order_by}) == expected.split()


def test_values_of_different_kinds_are_sorted_kind_by_kind():
    mixed: list[dict[str, object]] = [
        {"v": one} for one in ("b", 2, None, [1], {"$date": 5}, 1.5, True, "a", {"x": 1})
    ]

    def ordered(*keys: str) -> list[object]:
        answer = query(mixed, (), read_options({"order_by": list(keys)}, []))
        assert isinstance(answer, list)
        return [one["v"] for one in answer]

    assert ordered("v") == [None, True, 1.5, 2, "a", "b", {"$date": 5}, [1], {"x": 1}]
    assert ordered("-v") == [[1], {"x": 1}, {"$date": 5}, "b", "a", 2, 1.5, True, None]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"offset": 1}, "ada1 da0 da1"),
        ({"limit": 2}, "ada0 ada1"),
        ({"limit": 0}, "ada0 ada1 da0 da1"),
        ({"offset": 1, "limit": 2}, "ada1 da0"),
        ({"offset": 9, "limit": 2}, ""),
        ({"offset": 1, "limit": 1, "order_by": ["-name"]}, "da0"),
        ({"force_sql_filters": True, "extra": {"anything": 1}}, "ada0 ada1 da0 da1"),
    ],
)
def test_a_part_of_the_list_is_given(options, expected):
    assert names([], options) == expected.split()


def test_count_counts_whatever_part_is_asked_for():
    assert ask([["pool", "=", "tank"]], {"count": True, "limit": 1, "offset": 1, "get": True}) == 2


def test_get_gives_the_first_one_in_order():
    assert ask([["pool", "=", "tank"]], {"get": True, "order_by": ["-name"], "select": ["name"]}) == {
        "name": "da0"
    }
    assert ask([], {"get": True, "offset": 3, "limit": 1, "select": ["name"]}) == {"name": "ada0"}


def test_get_without_a_match_is_the_error_that_clients_know():
    with pytest.raises(Problem) as caught:
        ask([["name", "=", "nobody"]], {"get": True})

    assert caught.value.code == CALL_FAILED
    assert caught.value.data is not None
    assert (caught.value.data.error, caught.value.data.reason) == (22, "MatchNotFound()")


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (["name"], [{"name": "ada0"}, {"name": "ada1"}, {"name": "da0"}, {"name": "da1"}]),
        ([["name", "n"], "size"], [{"n": "ada0", "size": 5}, {"n": "ada1", "size": None}, {"n": "da0", "size": 7}, {"n": "da1", "size": 5}]),
        (["model.maker"], [{"model": {"maker": "a"}}, {"model": None}, {"model": {"maker": "b"}}, {}]),
        (["model.year", "model.maker"], [{"model": {"year": 2020, "maker": "a"}}, {"model": None}, {"model": {"maker": "b"}}, {}]),
        ([["model.year", "y"]], [{"y": 2020}, {"y": None}, {}, {}]),
        ([r"a\.b"], [{}, {}, {}, {"a.b": 1}]),
        (["at.$date"], [{"at": {"$date": 300}}, {"at": {"$date": 100}}, {"at": {"$date": 200}}, {"at": None}]),
        (["model", "model.maker"], [{"model": {"maker": "a", "year": 2020}}, {"model": None}, {"model": {"maker": "b"}}, {}]),
        (["nobody"], [{}, {}, {}, {}]),
        ([["model", "at"], "at.$date", "name"], [
            {"at": {"maker": "a", "year": 2020, "$date": 300}, "name": "ada0"},
            {"at": {"$date": 100}, "name": "ada1"},
            {"at": {"maker": "b", "$date": 200}, "name": "da0"},
            {"at": None, "name": "da1"},
        ]),
    ],
)  # fmt: skip
def test_fields_are_selected_and_renamed(select, expected):
    before = deepcopy(DISKS)

    assert ask([], {"select": select}) == expected
    assert before == DISKS


def test_what_is_not_selected_can_still_be_sorted_by():
    assert ask([], {"select": ["pool"], "order_by": ["-name"], "limit": 2}) == [
        {"pool": None},
        {"pool": "tank"},
    ]


def test_options_are_read_into_frozen_values():
    given = {
        "order_by": ["nulls_last:-a.b", "c"],
        "offset": 3,
        "limit": 10_000,
        "count": True,
        "get": False,
        "select": ["a", ["b.c", "d"]],
        "extra": {"raw_result": True},
    }

    assert read_options(given, []) == Options(
        order_by=(Order(("a", "b"), descends=True, nulls_first=False), Order(("c",))),
        offset=3,
        limit=10_000,
        count=True,
        select=(Selection(("a",)), Selection(("b", "c"), "d")),
        is_raw=True,
    )
    assert read_options({}, []) == Options()


@pytest.mark.parametrize(
    ("given", "place", "sentence"),
    [
        ([], "query-options", "must be an object"),
        (None, "query-options", "must be an object"),
        ({"limits": 5}, "query-options.limits", "is not an option; there are order_by, offset"),
        ({"prefix": "x"}, "query-options.prefix", "is not an option"),
        ({"limit": -1}, "query-options.limit", "must be a whole number from 0 to 10000"),
        ({"limit": 10_001}, "query-options.limit", "must be a whole number from 0 to 10000"),
        ({"limit": True}, "query-options.limit", "must be a whole number"),
        ({"limit": None}, "query-options.limit", "must be a whole number"),
        ({"offset": -1}, "query-options.offset", "must be a whole number from 0"),
        ({"offset": 1.5}, "query-options.offset", "must be a whole number from 0"),
        ({"count": 1}, "query-options.count", "must be true or false"),
        ({"get": "yes"}, "query-options.get", "must be true or false"),
        ({"force_sql_filters": 1}, "query-options.force_sql_filters", "must be true or false"),
        ({"extra": True}, "query-options.extra", "must be an object"),
        ({"order_by": "id"}, "query-options.order_by", "must be a list"),
        ({"order_by": [5]}, "query-options.order_by", "5 is not the name of a field"),
        ({"order_by": ["-"]}, "query-options.order_by", "'-' is not the name of a field"),
        ({"select": "id"}, "query-options.select", "must be a list"),
        ({"select": [5]}, "query-options.select", "5 is neither the name of a field nor [field, new name]"),
        ({"select": [["a"]]}, "query-options.select", "['a'] is neither"),
        ({"select": [["a", 5]]}, "query-options.select", "['a', 5] is neither"),
        ({"select": [["a", None]]}, "query-options.select", "['a', None] is neither"),
        ({"select": [["a", "b", "c"]]}, "query-options.select", "['a', 'b', 'c'] is neither"),
        ({"select": [""]}, "query-options.select", "'' is neither"),
    ],
)
def test_what_is_no_option_is_refused_by_name(given, place, sentence):
    mistakes: list[Mistake] = []

    read_options(given, mistakes)

    assert [one.parameter for one in mistakes] == [place]
    assert mistakes[0].sentence.startswith(sentence)
    assert mistakes[0].error == 22
