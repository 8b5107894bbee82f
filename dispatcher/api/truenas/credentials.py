"""Who a TrueNAS client is, and by which way it has logged in: what job records and tokens tell of it."""

import uuid
from enum import StrEnum

from dispatcher.access.api_keys import ApiKey
from dispatcher.access.roles import Caller, Level
from dispatcher.api.truenas.wrapped import instant
from dispatcher.core.model import Value


class Way(StrEnum):
    """The ways to log in, in the words of TrueNAS."""

    PASSWORD = "LOGIN_PASSWORD"  # noqa: S105 - no password
    API_KEY = "API_KEY"
    TOKEN = "TOKEN"  # noqa: S105 - no token
    SOCKET = "UNIX_SOCKET"


class KeyName(Value, frozen=True):
    """An API key as it may be shown."""

    id: int
    name: str


class Credentials(Value, frozen=True):
    """One login: who, how, and when (seconds, UTC). `parent` is the login that made the token of this one."""

    way: Way
    username: str
    login_id: str
    login_at: float
    api_key: KeyName | None = None
    parent: "Credentials | None" = None

    def record(self) -> dict[str, object]:
        """Give `{"type", "data"}`, as it stands in the record of a job."""
        return {"type": self.way, "data": self.data}

    @property
    def data(self) -> dict[str, object]:
        """What is told besides the way."""
        data: dict[str, object] = {
            "username": self.username,
            "login_id": self.login_id,
            "login_at": instant(self.login_at),
        }
        if self.api_key is not None:
            data["api_key"] = {"id": self.api_key.id, "name": self.api_key.name}
        if self.way is Way.TOKEN:
            parent = self.parent
            data["parent"] = parent and {"credentials": parent.way, "credentials_data": parent.data}
        return data


class Identity(Value, frozen=True):
    """Who a client is. Nobody has no credentials; `is_lasting` is whom no changed account logs out."""

    caller: Caller
    credentials: Credentials | None = None
    is_lasting: bool = False

    @property
    def is_nobody(self) -> bool:
        """Whether nobody is logged in."""
        return self.caller.level is Level.NOBODY

    @property
    def key(self) -> int | None:
        """The number of the API key behind this login, or behind the token it was made with."""
        one = self.credentials
        while one is not None:
            if one.api_key is not None:
                return one.api_key.id
            one = one.parent
        return None


def nobody(origin: str, protocol: str, lacks: str = "") -> Identity:
    """Give who a client is before a login and after a logout; `lacks` as in `Caller`."""
    return Identity(Caller("", Level.NOBODY, origin, protocol, lacks=lacks))


def logged_in(
    caller: Caller,
    way: Way,
    now: float,
    *,
    key: ApiKey | None = None,
    parent: Credentials | None = None,
    is_lasting: bool = False,
) -> Identity:
    """Make the identity of a login that has just succeeded."""
    shown = KeyName(key.number, key.name) if key is not None else None
    credentials = Credentials(way, caller.name, str(uuid.uuid4()), now, shown, parent)
    return Identity(caller, credentials, is_lasting)
