"""What the methods `auth.*` are given, and what they answer."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dispatcher.api.truenas.user_info import UserInfo
from dispatcher.core.model import Value

TTL = 600  # seconds
_LONGEST_TTL = 366 * 86400


class PasswordLogin(Value, frozen=True):
    """A name and a password; a second factor is accepted as null only."""

    username: str
    password: str
    otp_token: None = None


class KeyLogin(Value, frozen=True):
    """The text of an API key."""

    api_key: str


class TokenLogin(Value, frozen=True):
    """A token of `auth.generate_token`."""

    token: str


class Wishes(Value, frozen=True):
    """What the answer to a login should hold."""

    user_info: bool = True
    reconnect_token: bool = False


class PasswordPlain(Value, frozen=True, tag="PASSWORD_PLAIN", tag_field="mechanism"):
    """A name and a password."""

    username: str
    password: str
    login_options: Wishes = Wishes()


class ApiKeyPlain(Value, frozen=True, tag="API_KEY_PLAIN", tag_field="mechanism"):
    """An API key and whose it is."""

    username: str
    api_key: str
    login_options: Wishes = Wishes()


class TokenPlain(Value, frozen=True, tag="TOKEN_PLAIN", tag_field="mechanism"):
    """A token."""

    token: str
    login_options: Wishes = Wishes()


class OtpToken(Value, frozen=True, tag="OTP_TOKEN", tag_field="mechanism"):
    """A one-time password, which is never asked for."""

    otp_token: str
    login_options: Wishes = Wishes()


class Scram(Value, frozen=True, tag="SCRAM", tag_field="mechanism"):
    """One of the two messages of a SCRAM login (RFC 5802)."""

    scram_type: str
    rfc_str: str


class LoginEx(Value, frozen=True):
    """One step of a login by any mechanism."""

    login_data: PasswordPlain | ApiKeyPlain | TokenPlain | OtpToken | Scram


class LoginContinued(Value, frozen=True):
    """The second step of a login with a second factor."""

    login_data: OtpToken


class TokenWish(Value, frozen=True):
    """The token to make: seconds from its last use (null: no end), and what it is good for."""

    ttl: Annotated[int, Meta(ge=1, le=_LONGEST_TTL)] | None = TTL
    attrs: dict[str, object] = msgspec.field(default_factory=dict)
    match_origin: bool = True
    single_use: bool = False


class SessionId(Value, frozen=True):
    """The id of a session, or the `login_id` that job records show."""

    id: str


class Failed(Value, frozen=True):
    """A login that did not succeed: AUTH_ERR, EXPIRED (the key) or DENIED (its user)."""

    response_type: str


class Success(Value, frozen=True):
    """A login that did; `reconnect_token` only if it was asked for."""

    user_info: UserInfo | None
    reconnect_token: str | None
    response_type: str = "SUCCESS"
    authenticator: str = "LEVEL_1"


class ScramAnswer(Value, frozen=True):
    """The answer to a message of SCRAM."""

    scram_type: str
    rfc_str: str
    user_info: UserInfo | None = None
    response_type: str = "SCRAM_RESPONSE"
