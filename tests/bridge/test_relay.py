"""Who sees whom: a plain model of the rule, and the lists that change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.bridge.relay import Kind, Pairing

SERVER, CLIENT = Kind.SERVER, Kind.CLIENT


@pytest.fixture
def pairing():
    return Pairing()


def test_a_server_and_a_client_with_a_key_in_common_see_each_other(pairing):
    assert pairing.place("s", SERVER, ["a", "b"]) == []
    assert pairing.place("c", CLIENT, ["b", "c"]) == ["c", "s"]

    assert (pairing.visible("s"), pairing.visible("c")) == (("c",), ("s",))
    assert pairing.sees("s", "c")
    assert pairing.sees("c", "s")


def test_strangers_and_those_of_one_kind_do_not(pairing):
    pairing.place("s", SERVER, ["a"])

    assert pairing.place("t", SERVER, ["a"]) == []
    assert pairing.place("c", CLIENT, ["b"]) == []
    assert pairing.place("d", CLIENT, []) == []
    assert [pairing.visible(one) for one in "stcd"] == [()] * 4
    assert not pairing.sees("s", "t")
    assert not pairing.sees("s", "nobody")
    assert not pairing.sees("nobody", "s")


def test_who_leaves_is_gone_from_every_list_and_tells_who_saw_it(pairing):
    pairing.place("s", SERVER, ["a"])
    pairing.place("t", SERVER, ["b"])
    pairing.place("c", CLIENT, ["a", "b"])
    pairing.place("d", CLIENT, ["b"])

    assert pairing.remove("t") == ["c", "d"]
    assert pairing.visible("c") == ("s",)
    assert pairing.visible("d") == pairing.visible("t") == ()
    assert pairing.remove("t") == []


def test_new_keys_change_only_the_lists_that_they_change(pairing):
    pairing.place("s", SERVER, ["a"])
    pairing.place("c", CLIENT, ["a"])
    pairing.place("d", CLIENT, ["b"])

    assert pairing.place("s", SERVER, ["a", "x"]) == []
    assert pairing.place("s", SERVER, ["b"]) == ["s", "c", "d"]
    assert pairing.visible("s") == ("d",)


def test_a_list_is_in_the_order_of_coming_into_sight(pairing):
    for one in ("c", "b", "a"):
        pairing.place(one, CLIENT, ["k"])
        pairing.place("s", SERVER, ["k"])

    assert pairing.visible("s") == ("c", "b", "a")


PEERS = st.sampled_from("stuvwx")
STEPS = st.lists(
    st.tuples(PEERS, st.none() | st.tuples(st.sampled_from(Kind), st.frozensets(st.sampled_from("abcd")))),
    max_size=30,
)


@given(STEPS)
def test_after_any_steps_all_see_whom_the_rule_says_and_only_the_changed_are_told(steps):
    pairing = Pairing()
    known: dict[str, tuple[Kind, frozenset[str]]] = {}
    told: dict[str, set[str]] = {}
    for peer, place in steps:
        if place is None:
            known.pop(peer, None)
            told.pop(peer, None)
            changed = pairing.remove(peer)
        else:
            known[peer] = place
            changed = pairing.place(peer, *place)
        now = {
            one: {other for other, (kind, sums) in known.items() if kind is not mine and sums & keys}
            for one, (mine, keys) in known.items()
        }

        assert {one: set(pairing.visible(one)) for one in known} == now
        assert sorted(changed) == sorted(one for one in known if now[one] != told.get(one, set()))
        told = now
    for peer in list(known):
        pairing.remove(peer)
    assert (pairing._holders, pairing._sights, pairing._places) == ({}, {}, {})
