"""Users of the system: what their groups give, which PAM service is asked, and who waits for a slow one."""

import grp
import os
import pwd
import threading

import pytest
import trio
import trio.testing

from dispatcher.access import system_users as users_module
from dispatcher.access.accounts import Accounts
from dispatcher.access.failures import WrongLogin
from dispatcher.access.line import always
from dispatcher.access.pam_check import PamCheck, service_of
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.roles import Level
from dispatcher.access.system_users import SystemUser, SystemUsers
from dispatcher.errors import NotAuthenticated, Refused
from dispatcher.settings import Auth

AUTH = Auth(full_groups=("wheel",), read_groups=("operator", "staff"))
BOB = SystemUser("bob", 1000, Level.READ)


class Known(SystemUsers):
    def __init__(self, *users):
        super().__init__(AUTH)
        self.by_name = {user.name: user for user in users}

    def find(self, name):
        return self.by_name.get(name)


@pytest.fixture
def groups(monkeypatch):
    """Make the system know `bob` (1000) in the groups that the test says, by number."""
    names = {0: "root", 5: "wheel", 6: "operator", 7: "staff", 8: "games"}

    def find(gid):
        if gid not in names:
            raise KeyError(gid)
        return grp.struct_group((names[gid], "x", gid, []))

    def set_groups(*gids, uid=1000, name="bob"):
        entry = pwd.struct_passwd((name, "x", uid, gids[0], "", "/", "/bin/sh"))
        monkeypatch.setattr(pwd, "getpwnam", lambda _name: entry)
        monkeypatch.setattr(os, "getgrouplist", lambda _name, _gid: list(gids))

    monkeypatch.setattr(grp, "getgrgid", find)
    return set_groups


@pytest.mark.parametrize(
    ("gids", "uid", "level"),
    [
        ((8,), 1000, Level.NOBODY),
        ((8, 6), 1000, Level.READ),
        ((7,), 1000, Level.READ),
        ((8, 5, 6), 1000, Level.FULL),
        ((0,), 1000, Level.NOBODY),  # a group called root is no root
        ((99,), 1000, Level.NOBODY),  # a group without a name
        ((8,), 0, Level.FULL),  # toor
    ],
)
def test_groups_give_the_level(gids, uid, level, groups):
    groups(*gids, uid=uid)

    assert SystemUsers(AUTH).find("bob") == SystemUser("bob", uid, level)


@pytest.mark.parametrize("name", ["Bob", "bob ", "", "b\0ob", "\ud800"])
def test_only_the_exact_name_is_a_user(name, groups):
    groups(5)

    assert SystemUsers(AUTH).find(name) is None


def test_a_change_of_users_or_groups_is_noticed_once(tmp_path, monkeypatch):
    file = tmp_path / "group"
    file.write_text("a")
    monkeypatch.setattr(users_module, "FILES", (file, tmp_path / "none"))
    users = SystemUsers(AUTH)
    before = users.has_changed()
    file.write_text("ab")

    assert (before, users.has_changed(), users.has_changed()) == (False, True, False)


def test_root_and_the_daemons_own_user_are_not_asked_for_by_login(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1001)

    assert service_of(SystemUser("root", 0, Level.FULL)) == "system"
    assert service_of(SystemUser("me", 1001, Level.FULL)) == "system"
    assert service_of(SystemUser("bob", 1000, Level.READ)) == "login"
    assert service_of(None) == "login"


async def test_a_right_password_is_asked_for_once_and_again_when_the_groups_have_changed():
    asked = []

    def authenticate(name, password, service):
        asked.append((name, password, service))
        return password == "right"

    users = Known(BOB)
    check = PamCheck(users, 10, authenticate)

    assert await check.login("bob", "right", always) == BOB
    assert await check.login("bob", "right", always) == BOB
    assert asked == [("bob", "right", "login")]
    users.by_name["bob"] = SystemUser("bob", 1000, Level.FULL)
    assert (await check.login("bob", "right", always)).level is Level.FULL
    assert len(asked) == 2
    with pytest.raises(WrongLogin):
        await check.login("bob", "wrong", always)


@pytest.mark.parametrize(
    ("name", "password", "is_asked"),
    [
        ("bob", "", False),
        ("bob", "a\0b", False),
        ("bo\0b", "x", False),
        ("b" * 256, "x", False),
        ("bob", "x" * 1025, False),
        ("ghost", "right", True),
        ("games", "right", True),
    ],
)
async def test_who_is_nothing_here_is_wrong_and_empty_passwords_never_reach_pam(name, password, is_asked):
    asked = []

    def authenticate(*given):
        asked.append(given)
        return True

    check = PamCheck(Known(BOB, SystemUser("games", 5, Level.NOBODY)), 10, authenticate)
    with pytest.raises(WrongLogin, match="wrong user name or password"):
        await check.login(name, password, always)

    assert bool(asked) is is_asked


async def test_slow_checks_delay_no_login_by_the_file_and_a_full_line_refuses(tmp_path):
    accounts = Accounts(tmp_path / "accounts")
    accounts.set("admin", Level.FULL, "x")
    release = threading.Event()
    started = threading.Semaphore(0)

    def ask(*_given):
        started.release()
        return release.wait(20)

    check = PamCheck(Known(BOB), 1, ask)
    done = []

    async def slow():
        done.append(await check.login("bob", "right", always))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(slow)
            for _ in range(8):
                await trio.to_thread.run_sync(started.acquire)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert check._line.waiting == 9
            with pytest.raises(Refused, match="1 logins are waiting"):
                await check.login("bob", "right", always)
            caller = await PasswordCheck(accounts).login("admin", "x", origin="", protocol="")
            assert (caller.level, done) == (Level.FULL, [])
            release.set()

    assert len(done) == 9


async def test_a_system_without_pam_says_so_and_counts_nothing_as_wrong(caplog):
    def missing(*_given):
        raise OSError("libpam.so: cannot open shared object file")

    with pytest.raises(NotAuthenticated, match="PAM cannot be used") as caught:
        await PamCheck(Known(BOB), 10, missing).login("bob", "right", always)

    assert not isinstance(caught.value, WrongLogin)
    assert "libpam.so: cannot open" in caplog.text
