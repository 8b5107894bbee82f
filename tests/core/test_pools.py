"""What `zpool list` says, by its recorded output."""

import pytest

from dispatcher.watch.pools import COMMAND, Pool, read_pools
from dispatcher.watch.system_state import SystemState, Updates, read_updates

WRITTEN = (
    "bad\t100G\t5G\t95G\t-\t6%\t5%\t1.00x\tDEGRADED\t-\n"
    "full\t100G\t95G\t5G\t-\t6%\t95%\t1.00x\tONLINE\t-\n"
    "tank\t107G\t13.1G\t93.9G\t-\t6%\t12%\t1.00x\tONLINE\t/mnt\n"
)


def pool(**changes):
    fields = dict(zip(Pool.__struct_fields__, WRITTEN.splitlines()[2].split("\t"), strict=True))
    return Pool(**(fields | changes))


def test_the_columns_are_asked_for_by_name_and_read_in_that_order():
    bad, full, tank = read_pools(WRITTEN)

    assert COMMAND[:4] == ("zpool", "list", "-H", "-o")
    assert (tank.name, tank.size, tank.allocated, tank.free) == ("tank", "107G", "13.1G", "93.9G")
    assert (tank.expandsize, tank.fragmentation, tank.capacity) == ("-", "6%", "12%")
    assert (tank.dedupratio, tank.health, tank.altroot) == ("1.00x", "ONLINE", "/mnt")
    assert [one.priority for one in (bad, full, tank)] == [9, 6, 0]
    assert read_pools("") == ()


@pytest.mark.parametrize("written", ["no pools available\n", "a\tb\n", WRITTEN.replace("\t-\n", "\n")])
def test_other_columns_are_refused(written):
    with pytest.raises(ValueError, match="columns"):
        read_pools(written)


@pytest.mark.parametrize(
    ("capacity", "health", "priority"),
    [
        ("90%", "ONLINE", 0),
        ("91%", "ONLINE", 6),
        ("91%", "FAULTED", 9),
        ("-", "UNAVAIL", 9),
        ("-", "ONLINE", 0),
    ],
)
def test_a_pool_is_urgent_if_unwell_and_critical_if_full(capacity, health, priority):
    assert pool(capacity=capacity, health=health).priority == priority


@pytest.mark.parametrize(
    ("state", "priority"),
    [
        (SystemState("h"), 0),
        (SystemState("h", hostname_changed=True), 3),
        (SystemState("h", True, (pool(capacity="95%"),)), 6),
        (SystemState("h", True, (pool(), pool(health="FAULTED"))), 9),
        (SystemState("h", False, (), Updates("noupdates")), 0),
        (SystemState("h", False, (), Updates("updatesavailable")), 2),
        (SystemState("h", False, (), Updates("rebootrequired")), 9),
    ],
)
def test_the_priority_of_the_state_is_the_highest_of_its_parts(state, priority):
    assert state.priority == priority


def test_updates_are_a_word_or_an_object():
    assert read_updates("noupdates\n") == Updates("noupdates")
    assert read_updates('{"status": "rebootrequired", "details": "kernel"}') == Updates(
        "rebootrequired", (("details", "kernel"),)
    )


@pytest.mark.parametrize(
    "written", ["", "yes", "{", '{"status": 3}', '{"status": ["noupdates"]}', "[" * 9999]
)
def test_anything_else_is_refused_with_what_is_right(written):
    with pytest.raises(ValueError, match="noupdates, updatesavailable"):
        read_updates(written)
