"""rpc/auth, rpc/auth_token and rpc/auth_ssl: who a client is. For WebSocket and REST."""

import base64
import binascii
from typing import Protocol

from dispatcher.access.accounts import Accounts
from dispatcher.access.challenge import Challenge
from dispatcher.access.gate import Gate, LocalPeer
from dispatcher.access.roles import Caller
from dispatcher.access.tokens import Login, Tokens
from dispatcher.api.sysadm.arguments import read_credentials, read_token
from dispatcher.api.sysadm.codec import Call
from dispatcher.errors import NotAuthenticated
from dispatcher.net.http import Request

PROTOCOL = "sysadm"
ENCRYPTED = "encrypted_string"


class SecretPeer(LocalPeer, Protocol):
    """A peer of which it is known whether secrets may pass over its connection."""

    @property
    def may_send_password(self) -> bool:
        """Whether the connection is encrypted or does not leave the machine."""
        ...


class Logins:
    """Carry out the calls that make a login. Raises NotAuthenticated, or Refused if the line is full."""

    def __init__(self, accounts: Accounts, gate: Gate, tokens: Tokens) -> None:
        self.gate = gate
        self.tokens = tokens
        self._accounts = accounts
        accounts.on_changed = tokens.end_account

    async def refresh(self, token: str) -> None:
        """Let a token live on because it was used; notice accounts that were changed or removed."""
        self._accounts.refresh()
        self.tokens.touch(token)
        await self.refresh_users()

    async def refresh_users(self, *, is_forced: bool = False) -> None:
        """End the sessions of users of the system who are gone or have other groups now."""
        for name in await self.gate.changed_users(is_forced=is_forced):
            self._accounts.on_changed(name)

    async def log_in(self, call: Call, request: Request, challenge: Challenge) -> tuple[str, Login]:
        """Give token and login for `auth`, `auth_token` and the second half of `auth_ssl`."""
        match call.name:
            case "auth":
                require_secrecy(request.peer)
                name, password = read_credentials(call.args)
                return self.tokens.issue(await self.by_password(name, password, request))
            case "auth_token":
                require_secrecy(request.peer)
                token = read_token(call.args)
                login = self.tokens.find(token)
                if login is None:
                    raise NotAuthenticated("this token is not valid, or no longer: log in with rpc/auth")
                return token, login
            case "auth_ssl":
                require_secrecy(request.peer)  # the token in the answer is one
                signature = read_signature(call.args)
                caller = await self.gate.by_key(signature, challenge.take(), request.peer, protocol=PROTOCOL)
                return self.tokens.issue(caller)
            case _:
                raise NotAuthenticated(
                    f"there is no way to log in by {call.name[:60]!r}: use auth, auth_token or auth_ssl"
                )

    async def by_password(self, name: str, password: str, request: Request) -> Caller:
        """Give the caller for a name and a password."""
        return await self.gate.by_password(
            name, password, request.peer, protocol=PROTOCOL, is_browser=_is_from_page(request)
        )

    def success(self, token: str) -> list[object]:
        """Give the `args` of the reply to a login: the token and how many seconds it lives."""
        return [token, int(self.tokens.lifetime)]


def asks_for_challenge(call: Call) -> bool:
    """Tell whether this is the first half of `auth_ssl`: anything without a signed text."""
    return call.name == "auth_ssl" and not (isinstance(call.args, dict) and ENCRYPTED in call.args)


def require_secrecy(peer: SecretPeer) -> None:
    """Refuse a secret that came over an open network."""
    if not peer.may_send_password:
        raise NotAuthenticated(
            "cannot log in here: this connection is not encrypted; use https or wss,"
            " or set allow_plain_login: true for this listener"
        )


def _is_from_page(request: Request) -> bool:
    # A browser names the page that made the request, and a page cannot change that; the stock client
    # sends "sysadm-client", others send nothing.
    origin = request.header("origin")
    return origin == "null" or "://" in origin


def read_signature(args: object) -> bytes:
    """Give the signed text of the second half of `auth_ssl`; empty if there is none."""
    value = args.get(ENCRYPTED) if isinstance(args, dict) else None
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        return b""  # the signature of nothing, which is found out as for any other
