"""Filters as sets of numbers: exactly those that pass."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.api.truenas import spans
from dispatcher.api.truenas.conditions import holds
from dispatcher.api.truenas.filters import AnyOf, Condition, Filter, Instant

NUMBERS = range(-3, 24)
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
VALUES = st.one_of(
    st.integers(-2, 22),
    st.sampled_from([0.5, 7.0, 7.25, -0.0, True, False, 1e300, -1e300, 10**400, 2**63, -(10**30)]),
)
SETS = st.frozensets(st.integers(0, 20))


def spans_of(numbers: frozenset[int]) -> spans.Spans:
    return spans.either(tuple((number, number) for number in sorted(numbers)), spans.NONE)


def members(found: spans.Spans) -> set[int]:
    return {number for number in NUMBERS if any(low <= number <= high for low, high in found)}


def is_tidy(found: spans.Spans) -> bool:
    ends = [end for span in found for end in span]
    return all(low <= high for low, high in found) and all(
        found[place][1] + 1 < found[place + 1][0] for place in range(len(found) - 1)
    ) and ends == sorted(ends)  # fmt: skip


@given(one=SETS, other=SETS)
def test_spans_are_sets(one, other):
    left, right = spans_of(one), spans_of(other)

    for found, expected in [
        (spans.either(left, right), one | other),
        (spans.both(left, right), one & other),
        (spans.outside(left), set(NUMBERS) - one),
        (spans.outside(spans.outside(left)), one),
    ]:
        assert members(found) == expected
        assert is_tidy(found)


def test_nothing_and_everything_are_each_outside_the_other():
    assert spans.outside(spans.NONE) == spans.ALL
    assert spans.outside(spans.ALL) == spans.NONE


CONDITIONS = st.one_of(
    st.builds(Condition, st.just(("id",)), st.sampled_from(OPERATORS), VALUES),
    st.builds(Condition, st.just(("id",)), st.sampled_from(["in", "nin"]), st.lists(st.one_of(VALUES, st.none(), st.just("7")))),
)  # fmt: skip
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    CONDITIONS,
    lambda inner: st.builds(
        AnyOf, st.lists(st.lists(inner, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)


@settings(max_examples=40)
@given(one=FILTERS)
def test_a_filter_on_a_number_is_the_set_of_those_that_pass(one):
    found = spans.numbers_of(one)

    assert found is not None
    assert members(found) == {number for number in NUMBERS if holds((one,), {"id": number})}
    assert is_tidy(found)


INSTANTS = st.builds(
    Condition,
    st.just(("at",)),
    st.sampled_from(["=", "<", "<=", ">", ">="]),
    st.builds(Instant, st.one_of(st.integers(-3000, 23_000), st.just(10**33), st.just(253_402_300_799_999_999))),
)  # fmt: skip


@given(one=INSTANTS)
def test_a_filter_on_an_instant_is_the_set_of_milliseconds_that_pass(one):
    found = spans.milliseconds_of(one)

    assert found is not None
    assert members(found) == {number for number in NUMBERS if holds((one,), {"at": {"$date": number}})}


def test_what_spans_cannot_tell_is_left_to_others():
    plain = Condition(("id",), "=", 5)

    assert spans.numbers_of(Condition(("id",), "=", "5")) is None
    assert spans.numbers_of(Condition(("id",), "^", "5")) is None
    assert spans.numbers_of(Condition(("id", "x"), "=", 5)) is None
    assert spans.numbers_of(AnyOf(((plain,), (plain, Condition(("id",), "rin", 5))))) is None
    assert spans.milliseconds_of(Condition(("at",), "!=", Instant(5))) is None
    assert spans.milliseconds_of(Condition(("at",), "=", None)) is None
    assert math.isfinite(spans.ALL[0][1])
