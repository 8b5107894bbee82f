"""Check passwords of the accounts file without delaying anybody else.

A check costs 0.1 s of a processor and 32 MiB, so at most two run at once, in threads of their own
that stand back for all others; the rest wait in a bounded line. An unknown account takes as long as a
wrong password.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from dispatcher.access.accounts import NOBODYS, Accounts
from dispatcher.access.failures import WrongLogin
from dispatcher.access.line import Line, always
from dispatcher.access.remembered import Remembered
from dispatcher.access.roles import Caller
from dispatcher.errors import NotAuthenticated

AT_ONCE = 2
# With two processors two checks take everything: lists took three times as long at the same priority.
# More than this would make a login wait for ever beside a command that uses all processors.
NICE = 5
WRONG = "wrong user name or password"


class PasswordCheck:
    """Turn a name and a password into a caller. `line` logins may wait; more are refused."""

    def __init__(self, accounts: Accounts, line: int = 100) -> None:
        self._accounts = accounts
        self._line = Line(AT_ONCE, line, "dispatcher password", _stand_back)
        self._remembered = Remembered()

    async def login(
        self,
        name: str,
        password: str,
        *,
        origin: str,
        protocol: str,
        may_go_on: Callable[[], None] = always,
    ) -> Caller:
        """Give the caller whose password this is. `may_go_on` is called when the check's turn comes.

        Raises WrongLogin if it is not, and Refused if too many logins are waiting.
        """
        if not self._accounts.refresh():
            raise NotAuthenticated("cannot log in: the accounts file cannot be used; see the daemon's log")
        account = self._accounts.find(name)
        if account is None or not self._remembered.is_right(name, password, account):
            is_right = await self._line.run(may_go_on, (account or NOBODYS).matches, password)
            if not is_right or account is None:
                raise WrongLogin(WRONG)
            # The file may have changed meanwhile: what is right now is not what was checked.
            if not self._accounts.refresh() or self._accounts.find(name) != account:
                raise NotAuthenticated("the account was changed during the login: log in again")
            self._remembered.note(name, password, account)
        return Caller(account.name, account.level, origin, protocol)


def _stand_back() -> None:
    """Let others go first in this thread."""
    # On Linux each thread has its own nice value. FreeBSD prefers threads that mostly wait by itself.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a sandbox may forbid it; logins work all the same
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + NICE)
