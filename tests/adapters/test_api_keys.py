"""The file of API keys: what is kept of a key, what is trusted, and who is told when one is gone."""

import json
import logging
import os
import stat
import threading

import pytest

from dispatcher.access import api_keys as module
from dispatcher.access.api_keys import ApiKeys
from dispatcher.access.roles import Level
from dispatcher.access.scram import ScramKeys
from dispatcher.errors import InvalidRequest, NotFound, SettingsError


@pytest.fixture
def quick(monkeypatch):
    """Make a key without PBKDF2; that it is dear is tested elsewhere."""
    monkeypatch.setattr(module, "keys_of", lambda _secret: ScramKeys(b"salt", b"stored", b"server"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "api_keys.json"


@pytest.fixture
def keys(path, quick):
    return ApiKeys(path)


def test_a_file_that_does_not_exist_has_no_keys(keys):
    keys.load()

    assert keys.all() == ()


def test_a_new_key_is_found_by_its_text_and_by_no_other(keys, path):
    text, key = keys.add("backup", "admin", Level.FULL, now=5.0)
    other = ApiKeys(path)
    other.load()
    number, _, secret = text.partition("-")

    assert (number, len(secret), secret.isalnum()) == ("1", 64, True)
    assert other.matching(text) == key == other.find(1)
    assert (key.name, key.user, key.level, key.created, key.expires) == (
        "backup",
        "admin",
        Level.FULL,
        5.0,
        None,
    )
    for wrong in (
        text[:-1],
        text + "x",
        f"2-{secret}",
        f"01-{secret}",
        secret,
        "1-",
        "",
        "1-\ud800",
        "\ud800",
    ):
        assert other.matching(wrong) is None


def test_nothing_by_which_one_could_log_in_is_in_the_file_and_nobody_else_can_read_it(keys, path):
    text, _ = keys.add("backup", "admin", Level.FULL, now=5.0)

    assert text.partition("-")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {one.name for one in path.parent.iterdir()} == {"api_keys.json", "api_keys.json.lock"}


def test_a_removed_key_is_nobodys_and_its_number_never_returns(keys):
    text, _ = keys.add("a", "admin", Level.FULL, now=0.0)
    removed = keys.remove(1)
    again, key = keys.add("a", "admin", Level.READ, now=0.0)

    assert removed.name == "a"
    assert keys.matching(text) is None
    assert (key.number, key.level) == (2, Level.READ)
    assert again.startswith("2-")
    with pytest.raises(NotFound, match="cannot remove key 1"):
        keys.remove(1)


def test_a_running_reader_is_told_of_each_key_that_is_gone(keys, path):
    gone: list[int] = []
    reader = ApiKeys(path)
    reader.on_removed = gone.append
    for name in "abc":
        keys.add(name, "admin", Level.FULL, now=0.0)
    reader.refresh()
    keys.remove(2)
    reader.refresh()
    reader.refresh()

    assert gone == [2]
    path.unlink()
    reader.refresh()
    assert gone == [2, 1, 3]


def test_an_expired_key_is_told_of_once(keys):
    gone: list[int] = []
    keys.on_removed = gone.append
    keys.add("a", "admin", Level.FULL, now=0.0, expires=100.0)
    keys.add("b", "admin", Level.FULL, now=0.0)
    keys.end_expired(99.9)
    assert gone == []
    keys.end_expired(100.0)
    keys.end_expired(101.0)

    assert gone == [1]


def test_a_user_has_a_name_once(keys):
    keys.add("backup", "admin", Level.FULL, now=0.0)
    keys.add("backup", "reader", Level.READ, now=0.0)

    with pytest.raises(InvalidRequest, match="has one of that name"):
        keys.add("backup", "admin", Level.FULL, now=0.0)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_shown_is_refused(name, keys):
    with pytest.raises(InvalidRequest, match="cannot use key name"):
        keys.add(name, "admin", Level.FULL, now=0.0)


def test_two_who_add_at_the_same_time_lose_no_key(path, quick):
    def add(who: int) -> None:
        mine = ApiKeys(path)
        for number in range(10):
            mine.add(f"{who}-{number}", "admin", Level.FULL, now=0.0)

    threads = [threading.Thread(target=add, args=(who,)) for who in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    keys = ApiKeys(path)
    keys.load()

    assert [key.number for key in keys.all()] == list(range(1, 31))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_or_write_is_not_used(mode, keys, path, caplog):
    text, _ = keys.add("a", "admin", Level.FULL, now=0.0)
    path.chmod(mode)
    reader = ApiKeys(path)
    with pytest.raises(SettingsError, match="chmod 600"):
        reader.load()

    with caplog.at_level(logging.ERROR):
        assert [reader.refresh(), reader.refresh()] == [False, False]
    assert len(caplog.records) == 1
    assert reader.matching(text) is None


def test_a_spoilt_file_keeps_what_was_known_and_says_what_to_do(keys, path):
    text, _ = keys.add("a", "admin", Level.FULL, now=0.0)
    path.write_text("{")

    assert keys.refresh() is False
    assert keys.matching(text) is not None
    with pytest.raises(SettingsError, match="from a backup, or remove it"):
        keys.add("b", "admin", Level.FULL, now=0.0)
    assert path.read_text() == "{"


def test_a_number_is_not_given_twice_even_if_the_file_was_edited(keys, path):
    keys.add("a", "admin", Level.FULL, now=0.0)
    keys.add("b", "admin", Level.FULL, now=0.0)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"last": 0}))

    assert keys.add("c", "admin", Level.FULL, now=0.0)[1].number == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_belongs_to_another_user_is_not_used(keys, path):
    keys.add("a", "admin", Level.FULL, now=0.0)
    os.chown(path, 65534, -1)

    with pytest.raises(SettingsError, match="belongs to uid 65534"):
        ApiKeys(path).load()


def test_a_key_costs_half_a_million_rounds_and_what_nobody_has_looks_the_same(path):
    keys = ApiKeys(path)
    _, key = keys.add("a", "admin", Level.FULL, now=0.0)
    nobodys = keys.decoy("nobody:1")
    again = ApiKeys(path)
    again.load()

    assert key.scram.iterations == nobodys.iterations == 500_000
    assert len(key.scram.salt) == len(nobodys.salt) == 16
    assert again.decoy("nobody:1").salt == nobodys.salt
