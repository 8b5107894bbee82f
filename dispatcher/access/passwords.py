"""Check passwords without delaying anybody else.

A check costs 0.1 s of a processor and 32 MiB, so at most two run at once, in threads of their own;
the others wait in a bounded line. An unknown account takes as long as a wrong password.
"""

import hmac
import secrets

import trio

from dispatcher.access.accounts import NOBODYS, Account, Accounts
from dispatcher.access.roles import Caller
from dispatcher.errors import NotAuthenticated, Refused

AT_ONCE = 2
# A client that sends its password with every request would keep both places busy.
RECENT_SECONDS = 60.0
_RECENT_COUNT = 1024


class PasswordCheck:
    """Turn a name and a password into a caller. `line` logins may wait; more are refused."""

    def __init__(self, accounts: Accounts, line: int = 100) -> None:
        self._accounts = accounts
        self._line = line
        self._waiting = 0
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._secret = secrets.token_bytes(32)
        self._recent: dict[bytes, tuple[Account, float]] = {}

    async def login(self, name: str, password: str, *, origin: str, protocol: str) -> Caller:
        """Give the caller whose password this is.

        Raises NotAuthenticated if it is not, and Refused if too many logins are waiting.
        """
        if not self._accounts.refresh():
            raise NotAuthenticated("cannot log in: the accounts file cannot be used; see the daemon's log")
        account = self._accounts.find(name)
        mark = hmac.digest(self._secret, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        if account is None or not self._was_right(mark, account):
            if not await self._is_right(account or NOBODYS, password) or account is None:
                raise NotAuthenticated("wrong user name or password")
            # The file may have changed meanwhile: what is right now is not what was checked.
            if not self._accounts.refresh() or self._accounts.find(name) != account:
                raise NotAuthenticated("the account was changed during the login: log in again")
            self._remember(mark, account)
        return Caller(account.name, account.level, origin, protocol)

    async def _is_right(self, account: Account, password: str) -> bool:
        if self._waiting >= self._line + AT_ONCE:
            raise Refused(
                f"cannot check the password: {self._line} logins are waiting (password_line: {self._line});"
                " try again in a few seconds"
            )
        self._waiting += 1
        try:
            return await trio.to_thread.run_sync(
                account.matches, password, limiter=self._limiter, thread_name="dispatcher password"
            )
        finally:
            self._waiting -= 1

    def _was_right(self, mark: bytes, account: Account) -> bool:
        known, until = self._recent.get(mark, (None, 0.0))
        return known == account and trio.current_time() < until

    def _remember(self, mark: bytes, account: Account) -> None:
        self._recent.pop(mark, None)
        while len(self._recent) >= _RECENT_COUNT:
            del self._recent[next(iter(self._recent))]
        self._recent[mark] = (account, trio.current_time() + RECENT_SECONDS)
