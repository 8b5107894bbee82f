"""Tokens: whole ones only, 900 s from the last use, and an end that everybody concerned hears of."""

import pytest

from dispatcher.access.peers import caller_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.tokens import Tokens
from dispatcher.net.peer import Peer

ADMIN = Caller("admin", Level.FULL)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    return Tokens(clock)


def test_a_token_has_twenty_letters_and_digits_and_never_returns(tokens):
    made = {tokens.issue(ADMIN)[0] for _ in range(500)}

    assert len(made) == 500
    assert all(len(token) == 20 and token.isascii() and token.isalnum() for token in made)


def test_the_token_itself_is_not_kept(tokens):
    token, _ = tokens.issue(ADMIN)

    assert token not in repr(vars(tokens))
    assert token.encode() not in b"".join(tokens._by_digest)


@pytest.mark.parametrize(
    "change",
    [
        lambda _token: "",
        lambda token: token[:-1],
        lambda token: token[1:],
        lambda token: token[10:],
        lambda token: token + "x",
        lambda token: " " + token,
        lambda token: token.swapcase(),
        lambda token: token + "::::operator",
        lambda _token: "operator",
        lambda _token: "user",
        lambda _token: "admin",
        lambda _token: "\ud800",
    ],
)
def test_anything_but_the_whole_token_is_nobody(change, tokens):
    token, _ = tokens.issue(ADMIN)

    assert tokens.find(change(token)) is None
    assert tokens.find(token) is not None


def test_a_token_lives_900_seconds_from_its_last_use(tokens, clock):
    token, login = tokens.issue(ADMIN)
    for _ in range(10):
        clock.now += 899
        assert tokens.find(token) is login

    clock.now += 900

    assert tokens.find(token) is None
    assert len(tokens) == 0


def test_expired_tokens_are_forgotten_though_others_live(tokens, clock):
    old, _ = tokens.issue(ADMIN)
    kept, _ = tokens.issue(ADMIN)
    clock.now += 500
    tokens.touch(kept)
    clock.now += 500
    tokens.issue(ADMIN)

    assert len(tokens) == 2
    assert tokens.find(old) is None


def test_an_ended_token_tells_all_who_follow_its_login(tokens):
    heard = []
    token, login = tokens.issue(ADMIN)
    tokens.follow(login, lambda: heard.append("first"))
    tokens.follow(login, lambda: heard.append("second"))

    tokens.end(token)
    tokens.end(token)

    assert heard == ["first", "second"]
    assert (tokens.find(token), login.is_over) == (None, True)


def test_a_revoked_key_ends_what_was_begun_with_it(tokens):
    heard = []
    callers = [Caller("admin", Level.FULL, key=key) for key in ("k", "l", "")]
    made = [tokens.issue(caller) for caller in (*callers, Caller("other", Level.FULL, key="k"))]
    _, followed = tokens.issue(callers[0])
    tokens.follow(followed, lambda: heard.append("over"))

    tokens.end_key("admin", "k")

    assert [tokens.find(token) is None for token, _ in made] == [True, False, False, False]
    assert heard == ["over"]


def test_a_login_outlives_its_token_and_ends_with_its_account(tokens, clock):
    heard = []
    _, login = tokens.issue(ADMIN)
    tokens.follow(login, lambda: heard.append("over"))
    clock.now += 10_000
    tokens.issue(Caller("other", Level.FULL))
    assert heard == []

    tokens.end_account("admin")

    assert heard == ["over"]


def test_the_end_of_an_account_leaves_the_others(tokens):
    gone, _ = tokens.issue(ADMIN)
    kept, _ = tokens.issue(Caller("admin2", Level.FULL))

    tokens.end_account("admin")

    assert tokens.find(gone) is None
    assert tokens.find(kept) is not None


def test_who_unfollows_hears_nothing_and_leaves_nothing(tokens):
    heard = []

    def follow():
        heard.append("over")

    token, login = tokens.issue(ADMIN)
    tokens.follow(login, follow)
    tokens.unfollow(login, follow)
    tokens.end(token)

    assert (heard, tokens._followed) == ([], set())
    tokens.unfollow(login, follow)  # after the end it is no error


@pytest.mark.parametrize(
    ("address", "uid", "level"),
    [
        ("", 0, Level.FULL),
        ("", 77, Level.FULL),
        ("", 78, Level.NOBODY),
        ("", None, Level.NOBODY),
        ("127.0.0.1", None, Level.NOBODY),
        ("::1", 0, Level.NOBODY),
    ],
)
def test_root_and_the_daemons_user_are_known_over_the_unix_socket_only(address, uid, level):
    peer = Peer(address, 5, uid, uid, is_tls=False, may_send_password=True)

    assert caller_of(peer, 77).level is level


def test_the_origin_names_the_other_end():
    unix = Peer("", 0, 123456, 5, is_tls=False, may_send_password=True)
    ipv6 = Peer("2001:db8::1", 5, None, None, is_tls=True, may_send_password=True)
    ipv4 = Peer("192.0.2.1", 5, None, None, is_tls=True, may_send_password=True)

    assert caller_of(unix, 1).origin == "unix uid 123456"
    assert caller_of(unix, 1).name == "123456"
    assert caller_of(ipv6, 1).origin == "[2001:db8::1]:5"
    assert caller_of(ipv4, 1).origin == "192.0.2.1:5"
