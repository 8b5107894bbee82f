"""rpc/auth and rpc/auth_token: who a client is, by password or by token. For WebSocket and REST."""

from typing import Protocol

from dispatcher.access.accounts import Accounts
from dispatcher.access.passwords import PasswordCheck
from dispatcher.access.peers import Peer, origin_of
from dispatcher.access.tokens import Login, Tokens
from dispatcher.api.sysadm.arguments import read_credentials, read_token
from dispatcher.api.sysadm.codec import Call
from dispatcher.errors import NotAuthenticated

PROTOCOL = "sysadm"


class SecretPeer(Peer, Protocol):
    """A peer of which it is known whether secrets may pass over its connection."""

    @property
    def may_send_password(self) -> bool:
        """Whether the connection is encrypted or does not leave the machine."""
        ...


class Logins:
    """Carry out the calls that make a login. Raises NotAuthenticated, or Refused if the line is full."""

    def __init__(self, accounts: Accounts, passwords: PasswordCheck, tokens: Tokens) -> None:
        self.passwords = passwords
        self.tokens = tokens
        self._accounts = accounts
        accounts.on_changed = tokens.end_account

    def refresh(self, token: str) -> None:
        """Let a token live on because it was used; notice accounts that were changed or removed."""
        self._accounts.refresh()
        self.tokens.touch(token)

    async def log_in(self, call: Call, peer: SecretPeer) -> tuple[str, Login]:
        """Give token and login for `auth` and `auth_token`."""
        match call.name:
            case "auth":
                require_secrecy(peer)
                name, password = read_credentials(call.args)
                caller = await self.passwords.login(name, password, origin=origin_of(peer), protocol=PROTOCOL)
                return self.tokens.issue(caller)
            case "auth_token":
                require_secrecy(peer)
                token = read_token(call.args)
                login = self.tokens.find(token)
                if login is None:
                    raise NotAuthenticated("this token is not valid, or no longer: log in with rpc/auth")
                return token, login
            case _:
                raise NotAuthenticated(f"there is no way to log in by {call.name[:60]!r}: use auth")

    def success(self, token: str) -> list[object]:
        """Give the `args` of the reply to a login: the token and how many seconds it lives."""
        return [token, int(self.tokens.lifetime)]


def require_secrecy(peer: SecretPeer) -> None:
    """Refuse a secret that came over an open network."""
    if not peer.may_send_password:
        raise NotAuthenticated(
            "cannot log in here: this connection is not encrypted; use https or wss,"
            " or set allow_plain_login: true for this listener"
        )
