"""Which queue a list of commands belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.look_through import look_through
from dispatcher.core.routing import Routes, route
from dispatcher.core.splitting import read_command
from dispatcher.errors import InvalidRequest, Refused

QUEUES = ("no_queue", "pkg_queue", "iocage_queue", "slow")


def queue_of(*commands: str | list[str], named: str | None = None, routes: Routes | None = None) -> str:
    return route([c for c in map(read_command, commands) if c], routes or Routes(), named, QUEUES)


@pytest.mark.parametrize(
    "command",
    [
        "pkg info",
        "/usr/sbin/pkg info",
        "pkg\tinfo",
        ["pkg", "info"],
        '"/usr/sbin/pkg" info',
        "pkg-static upgrade -y",
        "env A=1 pkg info",
        "/usr/bin/env -i -u HOME PATH=/bin A=b pkg info",
        "env - pkg",
        "env -C /tmp -- pkg info",
        "env --chdir /tmp --unset=X pkg info",
        'env -S "A=1 pkg info"',
        'env "-iSpkg info"',
        'env "--split-string=pkg info" -x',
        "env --split-string pkg",
        "sudo pkg info",
        "sudo -u root -E -- pkg info",
        "sudo -uroot -n A=1 pkg info",
        "sudo -Eu root pkg info",
        "sudo --user root --non-interactive pkg",
        "sudo --user=root pkg",
        "doas -n -u root pkg info",
        "nice pkg",
        "nice -n 10 pkg info",
        "nice -n10 pkg",
        "nice -10 pkg info",
        "nice --adjustment=5 pkg",
        "nice --adjustment 5 pkg",
        "sudo env A=1 nice -n 5 doas /usr/local/sbin/pkg info",
    ],
)
def test_pkg_is_found_however_it_is_written(command):
    assert queue_of(command) == "pkg_queue"


@pytest.mark.parametrize(
    "command",
    [
        "echo pkg",
        "env",
        "env A=1",
        "sudo -u pkg",
        "nice -n pkg",
        "pkgx",
        "/pkg/true",
        "sh -c pkg",
        "env -S",
        "sudo -u pkg true",
    ],
)
def test_other_commands_go_to_no_queue(command):
    assert queue_of(command) == "no_queue"


def test_every_command_of_the_list_is_looked_at():
    assert queue_of("echo", "pkg") == "pkg_queue"
    assert queue_of("true", "iocage list", "false") == "iocage_queue"
    assert queue_of("pkg update", "pkg-static upgrade -y") == "pkg_queue"
    assert queue_of() == "no_queue"


def test_commands_of_two_queues_are_refused_unless_a_queue_is_named():
    with pytest.raises(Refused) as caught:
        queue_of("true", "pkg update", "iocage list")

    assert caught.value.sentence == (
        "cannot choose a queue: pkg belongs to pkg_queue and iocage to iocage_queue; "
        "submit them as two jobs or name the queue"
    )
    assert queue_of("pkg update", "iocage list", named="slow") == "slow"


def test_a_named_queue_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InvalidRequest) as caught:
        queue_of("pkg update", named="pkg-queue")

    assert caught.value.sentence == (
        "cannot use queue 'pkg-queue': there is none of that name; "
        "name one of iocage_queue, no_queue, pkg_queue, slow"
    )
    with pytest.raises(InvalidRequest):
        queue_of("pkg update", named="")


def test_what_is_looked_through_is_settable():
    routes = Routes(
        programs=(("make", "slow"), ("sudo", "pkg_queue")), look_through=("timeout", "sudo", "ours")
    )

    assert queue_of("timeout -k 5 60 make", routes=routes) == "slow"
    assert queue_of("ours --fast make", routes=routes) == "slow"
    assert queue_of("sudo make", routes=routes) == "pkg_queue", "a routed program is not looked through"
    assert queue_of("env make", routes=routes) == "no_queue"


def test_variables_on_the_way_are_kept():
    target = look_through(["env", "A=1", "sudo", "B=x=y", "pkg", "C=3"])

    assert target.variables == (("A", "1"), ("B", "x=y"))
    assert target.argv == ("pkg", "C=3")


def test_a_tower_of_wrappers_ends():
    assert look_through(["env"] * 100_000 + ["pkg"]).program == "env"
    assert look_through(["env", *["-i"] * 300_000, "pkg"]).program == "pkg"


@given(
    st.lists(
        st.sampled_from(["env", "sudo", "nice", "-n", "-u", "-S", "--", "A=1", "", "-", "pkg", "-S env", "/"])
    )
)
def test_any_words_can_be_looked_through(words):
    look_through(words)
