"""What the audit hears of this protocol's logins."""

from dispatcher.access.audit import Audit
from dispatcher.access.peers import Peer, origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.arguments import read_credentials
from dispatcher.api.sysadm.codec import Call
from dispatcher.errors import DispatcherError

_BY = {"auth": "password", "auth_token": "token", "auth_ssl": "ssl"}


def note_login(audit: Audit, call: Call, caller: Caller, *, is_first: bool = False) -> None:
    """Note that somebody has logged in, and before it the connection if nobody had on it."""
    if is_first:
        audit.connected(caller)
    audit.login(caller, _BY.get(call.name, "none"))


def note_logout(audit: Audit, caller: Caller) -> None:
    """Note that somebody has logged out; who was nobody has not."""
    if caller.level is not Level.NOBODY:
        audit.logout(caller)


def note_refusal(audit: Audit, call: Call, peer: Peer, error: DispatcherError) -> None:
    """Note a try that failed, with the name that was claimed; a token is never written down."""
    name, _ = read_credentials(call.args)
    note_wrong(audit, name, peer, _BY.get(call.name, "none"), error)


def note_wrong(audit: Audit, name: str, peer: Peer, by: str, error: DispatcherError) -> None:
    """Note a try that failed."""
    audit.login(Caller(name, Level.NOBODY, origin_of(peer), "sysadm"), by, error)
