"""Fakes for logins: passwords without a file, users without a system, threads without a thread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.failures import WrongLogin
from dispatcher.access.line import always
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.roles import Caller, Level
from dispatcher.access.system_users import SystemUser, SystemUsers
from dispatcher.errors import Refused
from dispatcher.settings import Auth


class QuickPasswords(PasswordCheck):
    """`admin`/`a:b` may do all, `reader`/`r` may read; no thread, no file. `busy` refuses all."""

    def __init__(self) -> None:
        super().__init__(Accounts(Path("/nonexistent")))
        self.busy = False
        self.checks = 0

    async def login(
        self,
        name: str,
        password: str,
        *,
        origin: str,
        protocol: str,
        may_go_on: Callable[[], None] = always,
    ) -> Caller:
        self.checks += 1
        await trio.lowlevel.checkpoint()
        if self.busy:
            raise Refused("100 logins are waiting")
        level = {("admin", "a:b"): Level.FULL, ("reader", "r"): Level.READ}.get((name, password))
        if level is None:
            raise WrongLogin("wrong user name or password")
        return Caller(name, level, origin, protocol)


class FakeUsers(SystemUsers):
    """Users of the system: `local` (1000) may read, `plain` (1001) nothing, `toor` is root."""

    def __init__(self, auth: Auth) -> None:
        super().__init__(auth)
        self.levels = {"local": (1000, Level.READ), "plain": (1001, Level.NOBODY), "toor": (0, Level.FULL)}
        self.is_changed = False

    def find(self, name: str) -> SystemUser | None:
        return SystemUser(name, *self.levels[name]) if name in self.levels else None

    def has_changed(self) -> bool:
        changed, self.is_changed = self.is_changed, False
        return changed


async def at_once(function: Callable[..., Any], *args: Any, limiter: object = None) -> Any:
    """Do without a thread what is to be done in one."""
    del limiter
    await trio.lowlevel.checkpoint()
    return function(*args)
