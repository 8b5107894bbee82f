"""Wrapped values: what clients can unwrap goes through, what they would stumble over does not."""

import json
from datetime import date, time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.api.truenas.wrapped import harmless, instant, is_harmful

NAMES = ("$date", "$time", "$set", "$type", "$value", "$ipv4_interface", "$ipv6_interface", "name")
GOOD = [
    {"$date": 1571300596053},
    {"$date": -1},
    {"$time": "23:59:59"},
    {"$time": "23:59"},
    {"$set": [1, "a", None]},
    {"$type": "date", "$value": "2026-11-22"},
    {"$ipv4_interface": "192.0.2.7/24"},
    {"$ipv6_interface": "2001:db8::1/64"},
    {"$date": "of two keys it is none", "other": 1},
    {"$unknown": "x"},
    [{"a": {"$date": 0}}],
    "$date",
    None,
]
BAD = [
    {"$date": "x"},
    {"$date": None},
    {"$date": True},
    {"$date": 1.5},
    {"$date": 10**18},
    {"$time": "24:00:00"},
    {"$time": "noon"},
    {"$time": "12:00:00.5"},
    {"$time": "T12:00:00"},
    {"$time": 12},
    {"$set": 5},
    {"$set": [[1]]},
    {"$set": [{"a": 1}]},
    {"$type": "date", "$value": "20261122"},
    {"$type": "date", "$value": "2026-W47-1"},
    {"$type": "date", "$value": "2026-02-30"},
    {"$type": "date", "$value": None},
    {"$ipv4_interface": "2001:db8::1"},
    {"$ipv6_interface": "x"},
]


def unwrapped(fields: dict[str, Any]) -> object:
    """Do what clients do with every object that they read; an exception loses them the message."""
    if len(fields) == 1:
        ((name, inner),) = fields.items()
        match name:
            case "$date":
                assert isinstance(inner, int)
                return inner / 1000
            case "$time":
                hour, minute, second = [*map(int, inner.split(":")), 0][:3]
                return time(hour, minute, second)
            case "$set":
                return frozenset(inner)
    if fields.keys() == {"$type", "$value"} and fields["$type"] == "date":
        year, month, day = map(int, fields["$value"].split("-"))
        return date(year, month, day)
    return fields


@pytest.mark.parametrize("value", GOOD)
def test_what_can_be_unwrapped_stays_as_it_is(value):
    assert not is_harmful(value)
    assert harmless(value) == value


@pytest.mark.parametrize("value", BAD)
def test_what_cannot_is_shown_as_text_wherever_it_stands(value):
    assert is_harmful(value)
    assert is_harmful([{"deep": [value]}])
    assert harmless([{"deep": [value]}, 1]) == [
        {"deep": [json.dumps(value, separators=(",", ":"), ensure_ascii=False)]},
        1,
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=2)
    ),
    max_leaves=8,
)


@given(json_values)
@example({"$set": [{"$date": 1}]})
def test_a_client_can_read_whatever_leaves(value):
    shown = harmless(value)

    json.loads(json.dumps(shown), object_hook=unwrapped)
    assert not is_harmful(shown)
    assert is_harmful(value) == (shown != value)


def test_an_instant_has_milliseconds():
    assert instant(1571300596.0534) == {"$date": 1571300596053}
