"""Tokens that a TrueNAS client makes for itself, to come back or to fetch and send files over HTTP.

Only the SHA-256 of a token is kept, in memory. A token lives `ttl` seconds from its last use; it is
over when its account changes or the API key behind it is removed. One with attributes is good for
what they say and nothing else. An account has at most 1000; the one that was not used longest goes.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping

import msgspec

from dispatcher.api.truenas.credentials import Identity
from dispatcher.core.model import Value

PER_ACCOUNT = 1000
BYTES = 48


class Grant(Value, frozen=True):
    """What a token stands for: who made it, in which session, and what it is good for.

    `address` is the only one that may use it; None for any.
    """

    identity: Identity
    session: str
    ttl: float | None = 600.0
    attrs: Mapping[str, object] = msgspec.field(default_factory=dict)
    address: str | None = None
    is_single_use: bool = False


class _Token(Value, frozen=True):
    grant: Grant
    until: float | None


class SessionTokens:
    """All live tokens. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By account; within one, the token that was used last stands last.
        self._tokens: dict[str, dict[bytes, _Token]] = {}
        self._account_of: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._account_of)

    def issue(self, grant: Grant) -> str:
        """Make a token: 64 characters that may stand in a URL."""
        account = grant.identity.caller.name
        mine = self._tokens.get(account, {})
        now = self._clock()
        for digest in [one for one, token in mine.items() if _is_over(token, now)]:
            self._forget(digest)
        if len(mine) >= PER_ACCOUNT:
            self._forget(next(iter(mine)))
        text = secrets.token_urlsafe(BYTES)
        self._keep(_digest(text), grant)
        return text

    def check(self, text: str, address: str, wants: Mapping[str, object] | None = None) -> Grant | None:
        """Use a token: for all that its maker may do, or for what its attributes must say (`wants`).

        Gives None if it is unknown, over, not for this address, or not for this. A token for a single
        use is used up even then; a right one lives on from now.
        """
        digest = _digest(text)
        account = self._account_of.get(digest)
        if account is None:
            return None
        token = self._tokens[account][digest]
        grant = token.grant
        is_over = _is_over(token, self._clock())
        if is_over or grant.is_single_use:
            self._forget(digest)
        if is_over or grant.address not in (None, address) or not _is_for(grant.attrs, wants):
            return None
        if not grant.is_single_use:
            self._forget(digest)
            self._keep(digest, grant)
        return grant

    def end(self, text: str) -> None:
        """End one token; an unknown one is ignored."""
        self._forget(_digest(text))

    def end_session(self, session: str, *, only_logins: bool = False) -> None:
        """End the tokens that a session has made; with `only_logins` those without attributes."""
        self._end(lambda grant: grant.session == session and not (only_logins and grant.attrs))

    def end_account(self, name: str) -> None:
        """End the tokens of an account that was changed or removed."""
        for digest in list(self._tokens.get(name, ())):
            self._forget(digest)

    def end_key(self, number: int) -> None:
        """End the tokens that go back to an API key."""
        self._end(lambda grant: grant.identity.key == number)

    def _end(self, is_meant: Callable[[Grant], bool]) -> None:
        for tokens in list(self._tokens.values()):
            for digest in [one for one, token in tokens.items() if is_meant(token.grant)]:
                self._forget(digest)

    def _keep(self, digest: bytes, grant: Grant) -> None:
        account = grant.identity.caller.name
        until = None if grant.ttl is None else self._clock() + grant.ttl
        self._tokens.setdefault(account, {})[digest] = _Token(grant, until)
        self._account_of[digest] = account

    def _forget(self, digest: bytes) -> None:
        account = self._account_of.pop(digest, None)
        if account is not None:
            del self._tokens[account][digest]
            if not self._tokens[account]:
                del self._tokens[account]


def _is_over(token: _Token, now: float) -> bool:
    return token.until is not None and now >= token.until


def _is_for(attrs: Mapping[str, object], wants: Mapping[str, object] | None) -> bool:
    if wants is None:
        return not attrs
    return all(name in attrs and attrs[name] == value for name, value in wants.items())


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
