"""The accounts file and password checks: what is trusted, what is refused, and who waits for whom."""

import base64
import hashlib
import logging
import os

import pytest

from dispatcher.access import accounts as accounts_module
from dispatcher.access.accounts import Accounts
from dispatcher.access.roles import Level
from dispatcher.errors import InvalidRequest, NotFound, SettingsError


@pytest.fixture
def cheap(monkeypatch):
    """Make a check cost nothing; that it is dear is tested elsewhere."""
    monkeypatch.setattr(accounts_module, "SCRYPT_N", 2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "accounts"


@pytest.fixture
def accounts(path, cheap):
    found = Accounts(path)
    found.set("admin", Level.FULL, "secret:with:colons")
    found.set("reader", Level.READ, "r")
    return found


def test_a_file_that_does_not_exist_has_no_accounts(path):
    accounts = Accounts(path)
    accounts.load()

    assert accounts.names() == ()


def test_what_is_set_is_there_for_the_next_reader(path, accounts):
    other = Accounts(path)
    other.load()

    assert other.names() == (("admin", Level.FULL), ("reader", Level.READ))
    admin = other.find("admin")
    assert admin is not None
    assert admin.matches("secret:with:colons")
    assert not admin.matches("secret")


def test_the_hash_is_scrypt_with_the_parameters_in_the_line(path):
    Accounts(path).set("admin", Level.FULL, "pässword")

    name, level, hashed = path.read_text().strip().split(":")
    scheme, n, r, p, salt, digest = hashed.split("$")
    expected = hashlib.scrypt(
        "pässword".encode(),
        salt=base64.b64decode(salt),
        n=32768,
        r=8,
        p=1,
        dklen=32,
        maxmem=2**28,
    )
    assert (name, level, scheme, n, r, p) == ("admin", "full", "scrypt", "32768", "8", "1")
    assert base64.b64decode(digest) == expected


def test_the_file_is_for_its_owner_only_and_replaced_in_one_go(path, accounts):
    before = path.stat().st_ino
    accounts.set("third", Level.READ, "x")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_ino != before
    assert sorted(path.parent.iterdir()) == [path, path.with_name("accounts.lock")]


def test_comments_and_other_accounts_survive_a_change(path, accounts):
    path.write_text("# who may log in\n" + path.read_text().rstrip("\n"))
    accounts.set("reader", Level.FULL, "new")
    accounts.delete("admin")

    assert path.read_text().startswith("# who may log in\nreader:full:scrypt$")
    assert accounts.names() == (("reader", Level.FULL),)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_may_use_is_refused(mode, path, accounts):
    path.chmod(mode)

    with pytest.raises(SettingsError, match="chmod 600"):
        Accounts(path).load()


def test_a_folder_is_no_accounts_file(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot (use|read) the accounts"):
        Accounts(tmp_path).load()


def test_a_file_of_another_user_is_refused(path, accounts, monkeypatch):
    real = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    if real == 0:
        os.chown(path, 4321, -1)

    with pytest.raises(SettingsError, match="belongs to uid"):
        Accounts(path).load()


@pytest.mark.parametrize(
    "line",
    [
        "admin",
        "admin:full:",
        "admin:operator:scrypt$2$8$1$AAAA$AAAA",
        "admin:full:md5$2$8$1$AAAA$AAAA",
        "admin:full:scrypt$3$8$1$AAAA$AAAA",
        "admin:full:scrypt$2$0$1$AAAA$AAAA",
        "admin:full:scrypt$1073741824$8$1$AAAA$AAAA",
        "admin:full:scrypt$2$8$1$AAAA$",
        "admin:full:scrypt$2$8$1$AAAA$A",
        "admin:full:scrypt$x$8$1$AAAA$AAAA",
        ":full:scrypt$2$8$1$AAAA$AAAA",
    ],
)
def test_a_line_that_makes_no_sense_names_its_place_and_the_remedy(line, path, accounts):
    path.write_text(path.read_text() + line + "\n")

    with pytest.raises(SettingsError, match=rf"{path}:3:1: .*dispatcher passwd NAME"):
        Accounts(path).load()


def test_a_file_that_is_no_text_is_refused(path, accounts):
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="UTF-8"):
        Accounts(path).load()


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "#x", " x", "x" * 256, "a\0"])
def test_a_name_that_would_break_the_file_is_refused(name, accounts):
    with pytest.raises(InvalidRequest, match="account name"):
        accounts.set(name, Level.FULL, "x")


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_an_empty_or_endless_password_is_refused(password, accounts):
    with pytest.raises(InvalidRequest, match="1 to 1024 bytes"):
        accounts.set("admin", Level.FULL, password)


def test_a_password_beyond_the_limit_is_wrong_even_if_it_begins_right(accounts):
    accounts.set("long", Level.FULL, "x" * 1024)

    assert accounts.find("long").matches("x" * 1024)
    assert not accounts.find("long").matches("x" * 1025)


def test_nobody_is_not_a_level_to_give(accounts):
    with pytest.raises(InvalidRequest, match="full or read"):
        accounts.set("x", Level.NOBODY, "x")


def test_an_account_that_is_not_there_cannot_be_removed(accounts):
    with pytest.raises(NotFound, match="'ghost'"):
        accounts.delete("ghost")


def test_who_changes_or_goes_is_named_and_nobody_else(path, accounts):
    watching = Accounts(path)
    watching.load()
    changed: list[str] = []
    watching.on_changed = changed.append

    accounts.set("new", Level.READ, "x")
    watching.load()
    assert changed == []
    accounts.set("admin", Level.READ, "secret:with:colons")
    watching.load()
    accounts.delete("reader")
    watching.load()
    assert changed == ["admin", "reader"]
    path.unlink()
    watching.load()
    assert changed == ["admin", "reader", "new", "admin"]


def test_a_file_that_went_bad_is_complained_of_once(path, accounts, caplog):
    watching = Accounts(path)
    path.chmod(0o644)

    with caplog.at_level(logging.ERROR):
        assert [watching.refresh() for _ in range(5)] == [False] * 5
    path.chmod(0o600)

    assert len(caplog.records) == 1
    assert watching.refresh()
