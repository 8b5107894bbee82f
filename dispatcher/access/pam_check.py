"""Check passwords of the system's users by PAM.

A check may take seconds (a wrong password usually does) and cannot be ended, so at most eight run
at once, in threads of their own; nobody else waits for them. An unknown user is asked for like any other.
"""

import logging
import os
from collections.abc import Callable

import trio

from dispatcher.access.failures import WrongLogin
from dispatcher.access.line import Line
from dispatcher.access.passwords import WRONG
from dispatcher.access.remembered import Remembered
from dispatcher.access.roles import Level
from dispatcher.access.system_users import SystemUser, SystemUsers
from dispatcher.errors import NotAuthenticated

AT_ONCE = 8
_MAX_NAME, _MAX_PASSWORD = 255, 1024

Authenticate = Callable[[str, str, str], bool]  # name, password, service

log = logging.getLogger("dispatcher.access")


class PamCheck:
    """Turn a name and a password into a user of the system that may do something here."""

    def __init__(self, users: SystemUsers, line: int, authenticate: Authenticate | None = None) -> None:
        self._users = users
        self._line = Line(AT_ONCE, line, "dispatcher pam")
        self._lookups = trio.CapacityLimiter(AT_ONCE)
        self._authenticate = authenticate or by_pam
        self._remembered = Remembered()

    async def login(self, name: str, password: str, may_go_on: Callable[[], None]) -> SystemUser:
        """Give the user whose password this is.

        Raises WrongLogin if it is not or the user's groups give it no level, Refused if too many
        logins are waiting, and NotAuthenticated if PAM cannot be used.
        """
        if not _can_be(name, _MAX_NAME) or not _can_be(password, _MAX_PASSWORD):
            raise WrongLogin(WRONG)
        user = await trio.to_thread.run_sync(self._users.find, name, limiter=self._lookups)
        if user is not None and self._remembered.is_right(name, password, user):
            return user
        is_right = await self._line.run(may_go_on, self._check, name, password, service_of(user))
        if not is_right or user is None or user.level is Level.NOBODY:
            raise WrongLogin(WRONG)
        self._remembered.note(name, password, user)
        return user

    def _check(self, name: str, password: str, service: str) -> bool:
        try:
            return self._authenticate(name, password, service)
        except ValueError:
            return False  # characters that PAM cannot be given
        except (ImportError, OSError, AttributeError, TypeError) as error:
            log.warning("PAM cannot be used: %s; install PAM and python-pam, or set auth: methods", error)
            raise NotAuthenticated("cannot log in: PAM cannot be used; see the daemon's log") from error


def service_of(user: SystemUser | None) -> str:
    """Name the PAM service.

    FreeBSD's `login` begins with pam_self, which lets the user of this very process in without a
    password; so for that one, and for root, it is `system`.
    """
    return "system" if user is not None and user.uid in (0, os.geteuid()) else "login"


def by_pam(name: str, password: str, service: str) -> bool:
    """Ask PAM whether the password is right and the account may be used. Blocks."""
    import pam  # noqa: PLC0415  most daemons need it late or never

    # Credentials are for a session of that user; we only want to know.
    return bool(pam.pam().authenticate(name, password, service=service, resetcreds=False))


def _can_be(text: str, longest: int) -> bool:
    # Never an empty password, whatever PAM says: `nullok` is meant for the console.
    return bool(text) and "\0" not in text and len(text.encode("utf-8", "surrogatepass")) <= longest
