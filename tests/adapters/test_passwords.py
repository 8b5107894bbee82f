"""Password checks: who gets in, what a check costs, and that nobody else has to wait for it."""

import os
import sys
import threading

import pytest
import trio

from dispatcher.access import accounts as accounts_module
from dispatcher.access.accounts import NOBODYS, Account, Accounts
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.roles import Level
from dispatcher.errors import NotAuthenticated, Refused


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


async def login(check, name, password):
    caller = await check.login(name, password, origin="here", protocol="test")
    return caller.name, caller.level


async def test_the_right_password_gives_name_and_level(accounts):
    check = PasswordCheck(accounts)

    assert await login(check, "admin", "secret:with:colons") == ("admin", Level.FULL)
    assert await login(check, "reader", "r") == ("reader", Level.READ)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", ""),
        ("admin", "secret"),
        ("", ""),
        ("ghost", "r"),
        ("admin", "r"),
        ("Reader", "r"),
        ("reader", "r "),
    ],
)
async def test_anything_else_is_nobody(name, password, accounts):
    with pytest.raises(NotAuthenticated, match="wrong user name or password"):
        await login(PasswordCheck(accounts), name, password)


async def test_a_new_password_counts_at_once_also_for_those_checked_just_now(path, accounts):
    check = PasswordCheck(Accounts(path))
    await login(check, "reader", "r")
    accounts.set("reader", Level.READ, "new")

    with pytest.raises(NotAuthenticated):
        await login(check, "reader", "r")
    assert await login(check, "reader", "new") == ("reader", Level.READ)


async def test_an_unusable_file_lets_nobody_in(path, accounts):
    check = PasswordCheck(accounts)
    await login(check, "reader", "r")
    path.chmod(0o644)

    with pytest.raises(NotAuthenticated, match="cannot be used"):
        await login(check, "reader", "r")


async def test_an_unknown_account_costs_the_same_check_as_a_wrong_password(accounts, monkeypatch):
    costs = []
    real = accounts_module._scrypt

    def watch(password, salt, n, r, p):
        costs.append((n, r, p))
        return real(password, salt, 2, 8, 1)

    monkeypatch.setattr(accounts_module, "_scrypt", watch)
    with pytest.raises(NotAuthenticated):
        await login(PasswordCheck(accounts), "ghost", "x")

    assert costs == [(32768, 8, 1)]
    assert (NOBODYS.n, NOBODYS.r, NOBODYS.p) == (32768, 8, 1)


async def test_a_password_that_was_right_a_moment_ago_is_not_hashed_again(accounts, monkeypatch):
    check = PasswordCheck(accounts)
    await login(check, "reader", "r")
    monkeypatch.setattr(Account, "matches", lambda *_args: pytest.fail("hashed again"))

    assert await login(check, "reader", "r") == ("reader", Level.READ)


async def test_two_checks_run_at_once_the_rest_wait_and_a_full_line_refuses(accounts, monkeypatch):
    release, started = threading.Event(), threading.Semaphore(0)
    names = []
    peak = 0
    busy = 0
    lock = threading.Lock()

    def slow(_account, _password):
        nonlocal peak, busy
        with lock:
            busy += 1
            peak = max(peak, busy)
            names.append(threading.current_thread().name)
        started.release()
        release.wait(20)
        with lock:
            busy -= 1
        return False

    monkeypatch.setattr(Account, "matches", slow)
    check = PasswordCheck(accounts, line=3)
    wrong = []

    async def try_it():
        with pytest.raises(NotAuthenticated):
            await login(check, "reader", "x")
        wrong.append(1)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(try_it)
            for _ in range(2):
                await trio.to_thread.run_sync(started.acquire)
            assert check._line.waiting == 5
            with pytest.raises(Refused, match=r"password_line: 3"):
                await login(check, "reader", "x")
            release.set()

    assert (len(wrong), peak) == (5, 2)
    assert set(names) == {"dispatcher password_0", "dispatcher password_1"}
    assert check._line.waiting == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only there has a thread a priority of its own")
async def test_a_check_stands_back_for_all_others_and_leaves_no_other_thread_behind_it(accounts, monkeypatch):
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen = []

    def note(_account, _password):
        seen.append(niceness())
        return False

    monkeypatch.setattr(Account, "matches", note)
    before = niceness()
    with pytest.raises(NotAuthenticated):
        await login(PasswordCheck(accounts), "reader", "x")

    assert seen == [before + 5]
    assert niceness() == before
    assert await trio.to_thread.run_sync(niceness) == before


async def test_a_check_delays_no_other_task(path):
    accounts = Accounts(path)
    accounts.set("admin", Level.FULL, "x")
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await trio.sleep(0.001)
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        assert await login(PasswordCheck(accounts), "admin", "x") == ("admin", Level.FULL)
        nursery.cancel_scope.cancel()

    assert turns > 3
