"""Tokens of TrueNAS sessions: how long they live, who may use them, and what for."""

import pytest

from dispatcher.access.api_keys import ApiKey
from dispatcher.access.roles import Caller, Level
from dispatcher.access.scram import ScramKeys
from dispatcher.api.truenas.credentials import Way, logged_in
from dispatcher.api.truenas.session_tokens import PER_ACCOUNT, Grant, SessionTokens

HERE, THERE = "192.0.2.1", "192.0.2.2"
ADMIN = logged_in(Caller("admin", Level.FULL), Way.PASSWORD, 0.0)
READER = logged_in(Caller("reader", Level.READ), Way.PASSWORD, 0.0)
KEY = ApiKey(3, "graphs", "admin", True, 0.0, "", ScramKeys(b"", b"", b""))
BY_KEY = logged_in(Caller("admin", Level.READ), Way.API_KEY, 0.0, key=KEY)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    return SessionTokens(clock)


def test_a_token_is_64_characters_that_may_stand_in_a_url(tokens):
    text = tokens.issue(Grant(ADMIN, "s"))

    assert len(text) == 64
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert tokens.check(text, HERE).identity is ADMIN


def test_a_token_lives_from_its_last_use(tokens, clock):
    text = tokens.issue(Grant(ADMIN, "s", ttl=10.0))
    for _ in range(3):
        clock.now += 9.9
        assert tokens.check(text, HERE)
    clock.now += 10.0

    assert tokens.check(text, HERE) is None
    assert len(tokens) == 0


def test_a_token_without_an_end_lives_on(tokens, clock):
    text = tokens.issue(Grant(ADMIN, "s", ttl=None))
    clock.now += 1e9

    assert tokens.check(text, HERE)


def test_only_its_own_address_may_use_a_token_that_is_bound_to_it(tokens):
    bound, free = tokens.issue(Grant(ADMIN, "s", address=HERE)), tokens.issue(Grant(ADMIN, "s"))

    assert tokens.check(bound, THERE) is None
    assert tokens.check(bound, "") is None
    assert tokens.check(bound, HERE)
    assert tokens.check(free, THERE)


def test_a_token_for_a_single_use_is_used_up_even_if_it_was_refused(tokens):
    good, foreign = (tokens.issue(Grant(ADMIN, "s", address=HERE, is_single_use=True)) for _ in "ab")

    assert tokens.check(good, HERE)
    assert tokens.check(good, HERE) is None
    assert tokens.check(foreign, THERE) is None
    assert tokens.check(foreign, HERE) is None


def test_a_token_with_attributes_is_good_for_what_they_say_only(tokens):
    download = tokens.issue(Grant(ADMIN, "s", attrs={"job": 7, "filename": "a"}))
    plain = tokens.issue(Grant(ADMIN, "s"))

    assert tokens.check(download, HERE) is None
    assert tokens.check(download, HERE, {"job": 8}) is None
    assert tokens.check(download, HERE, {"job": 7, "other": None}) is None
    assert tokens.check(download, HERE, {"job": 7}).attrs["filename"] == "a"
    assert tokens.check(plain, HERE, {"job": 7}) is None


@pytest.mark.parametrize("text", ["", "x", "\ud800"])
def test_what_is_no_token_is_none(text, tokens):
    tokens.issue(Grant(ADMIN, "s"))

    assert tokens.check(text, HERE) is None


def test_part_of_a_token_is_none(tokens):
    text = tokens.issue(Grant(ADMIN, "s"))

    assert tokens.check(text[:-1], HERE) is None
    assert tokens.check(text + "A", HERE) is None


def test_tokens_end_with_their_account_their_key_or_their_session(tokens):
    mine, others = tokens.issue(Grant(ADMIN, "s")), tokens.issue(Grant(READER, "t"))
    keys = tokens.issue(Grant(BY_KEY, "u"))
    child = logged_in(ADMIN.caller, Way.TOKEN, 0.0, parent=BY_KEY.credentials)
    grandchild = tokens.issue(Grant(child, "v"))

    tokens.end_key(3)
    assert (tokens.check(keys, HERE), tokens.check(grandchild, HERE)) == (None, None)
    assert tokens.check(mine, HERE)
    tokens.end_account("admin")
    assert tokens.check(mine, HERE) is None
    tokens.end_session("other")
    assert tokens.check(others, HERE)
    tokens.end_session("t")
    assert tokens.check(others, HERE) is None
    assert len(tokens) == 0


def test_a_logout_leaves_downloads_that_were_asked_for(tokens):
    login = tokens.issue(Grant(ADMIN, "s"))
    download = tokens.issue(Grant(ADMIN, "s", attrs={"job": 1}))
    tokens.end_session("s", only_logins=True)

    assert tokens.check(login, HERE) is None
    assert tokens.check(download, HERE, {"job": 1})


def test_of_too_many_tokens_the_one_that_was_not_used_longest_goes_and_nobody_elses(tokens):
    others = tokens.issue(Grant(READER, "t"))
    first, second = tokens.issue(Grant(ADMIN, "s")), tokens.issue(Grant(ADMIN, "s"))
    for _ in range(PER_ACCOUNT - 2):
        tokens.issue(Grant(ADMIN, "s"))
    tokens.check(first, HERE)
    tokens.issue(Grant(ADMIN, "s"))

    assert tokens.check(second, HERE) is None
    assert tokens.check(first, HERE)
    assert tokens.check(others, HERE)
    assert len(tokens) == PER_ACCOUNT + 1


def test_tokens_that_are_over_take_no_room(tokens, clock):
    for _ in range(5):
        tokens.issue(Grant(ADMIN, "s", ttl=1.0))
    clock.now += 2
    tokens.issue(Grant(ADMIN, "s"))

    assert len(tokens) == 1
