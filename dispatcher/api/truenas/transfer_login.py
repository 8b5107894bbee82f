"""Who sends a plain HTTP request: a name and a password, an API key, a token, or a local user.

Only the head is looked at. Every refusal has the status and the words that TrueNAS clients know.
"""

import base64
import binascii
from urllib.parse import parse_qs

from dispatcher.api.truenas.credentials import Identity
from dispatcher.api.truenas.logins import Logins
from dispatcher.errors import DispatcherError, Forbidden, NotAuthenticated
from dispatcher.net.handshake import Refusal
from dispatcher.net.http_messages import Request

PROTOCOL = "http"
INVALID_TOKEN = "Invalid token"  # noqa: S105 - no token
_LOGIN = (("www-authenticate", 'Basic realm="dispatcher", charset="UTF-8"'),)


def token_of(request: Request) -> str:
    """Give the token that stands in the query, "" without one."""
    return parse_qs(request.query, errors="replace").get("auth_token", [""])[-1]


async def log_in(logins: Logins, request: Request) -> Identity:
    """Find out who sends a request. Raises Refusal: 400, 401, 403, or 503 if too many log in."""
    scheme, _, shown = request.header("authorization").strip().partition(" ")
    shown = shown.strip()
    peer = request.peer
    try:
        match scheme.lower():
            case "basic":
                name, password = _basic(shown)
                refusal = Refusal(401, "Bad username or password", _LOGIN)
                return await logins.by_password(peer, name, password, PROTOCOL)
            case "bearer":
                refusal = Refusal(401, "Invalid API key", _LOGIN)
                return await logins.by_api_key(peer, shown, protocol=PROTOCOL)
            case "token":
                refusal = Refusal(403, INVALID_TOKEN)
                return await logins.by_token(peer, shown, PROTOCOL)
            case "" if token_of(request):
                refusal = Refusal(403, INVALID_TOKEN)
                return await logins.by_token(peer, token_of(request), PROTOCOL)
            case "":
                identity = await logins.at_connect(peer, PROTOCOL)
                if identity.is_nobody:
                    raise Refusal(
                        401, "Not authenticated: send Authorization: Basic, Bearer or Token", _LOGIN
                    )
                return identity
            case _:
                raise Refusal(401, f"cannot log in by {scheme[:20]!r}: use Basic, Bearer or Token", _LOGIN)
    except NotAuthenticated:
        raise refusal from None
    except Forbidden as error:
        raise Refusal(403, error.sentence) from None
    except DispatcherError as error:
        raise Refusal(503, error.sentence, (("retry-after", "2"),)) from None


def _basic(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Refusal(400, "cannot read the Basic authentication: it is no base64 of UTF-8") from None
    name, colon, password = text.partition(":")  # the password may hold more of them
    if not colon:
        raise Refusal(400, "cannot read the Basic authentication: there is no colon behind the name")
    return name, password
