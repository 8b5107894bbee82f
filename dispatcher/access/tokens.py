"""Tokens: what a client shows instead of its password after a login.

Only the SHA-256 of a token is kept, and it is found by that whole digest: an empty token, a part
of one or a longer one is nobody. A token lives 900 s from its last use. A login that sessions
follow goes on without its token; it ends for all of them when somebody logs out with that token
or the account changes.
"""

import hashlib
import secrets
import string
from collections.abc import Callable

from dispatcher.access.roles import Caller

LIFETIME = 900.0
LENGTH = 20
_ALPHABET = string.ascii_letters + string.digits


class Login:
    """One successful login: whose it is, and whom to tell when it is over."""

    __slots__ = ("_followers", "caller", "is_over")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.is_over = False
        self._followers: list[Callable[[], None]] = []

    @property
    def is_followed(self) -> bool:
        """Whether a session depends on it."""
        return bool(self._followers)

    def follow(self, function: Callable[[], None]) -> None:
        """Call `function` once when the login ends."""
        self._followers.append(function)

    def unfollow(self, function: Callable[[], None]) -> None:
        """Do not call `function` any more."""
        self._followers.remove(function)

    def end(self) -> None:
        """Tell all followers, once."""
        self.is_over = True
        followers, self._followers = self._followers, []
        for function in followers:
            function()


class Tokens:
    """All live tokens of this daemon. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], lifetime: float = LIFETIME) -> None:
        self._clock = clock
        self._lifetime = lifetime
        # Every lifetime is the same and a use moves its token to the end: the oldest stands first.
        self._by_digest: dict[bytes, tuple[Login, float]] = {}
        self._followed: set[Login] = set()

    def __len__(self) -> int:
        self._forget_expired()
        return len(self._by_digest)

    @property
    def lifetime(self) -> float:
        """How many seconds a token lives after its last use."""
        return self._lifetime

    def issue(self, caller: Caller) -> tuple[str, Login]:
        """Make a token for a caller who has just proved who they are."""
        self._forget_expired()
        token, login = self.begin(caller)
        self._by_digest[_digest(token)] = (login, self._clock() + self._lifetime)
        return token, login

    def begin(self, caller: Caller) -> tuple[str, Login]:
        """Begin a login that only its own session has: nobody gets in with its token."""
        return "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH)), Login(caller)

    def find(self, token: str) -> Login | None:
        """Give the login of a live token and let it live on; None if there is none."""
        self._forget_expired()
        digest = _digest(token)
        entry = self._by_digest.pop(digest, None)
        if entry is None:
            return None
        self._by_digest[digest] = (entry[0], self._clock() + self._lifetime)
        return entry[0]

    def touch(self, token: str) -> None:
        """Let a token live on, if it still does."""
        self.find(token)

    def follow(self, login: Login, function: Callable[[], None]) -> None:
        """Call `function` once when the login ends; it is kept until `unfollow`."""
        login.follow(function)
        self._followed.add(login)

    def unfollow(self, login: Login, function: Callable[[], None]) -> None:
        """Do not call `function` any more; allowed after the end too."""
        if not login.is_over:
            login.unfollow(function)
        if not login.is_followed:
            self._followed.discard(login)

    def end(self, token: str) -> None:
        """End a token and its login; unknown ones are ignored."""
        entry = self._by_digest.pop(_digest(token), None)
        if entry is not None:
            self._end(entry[0])

    def end_account(self, name: str) -> None:
        """End every token and login of an account that was changed or removed."""
        self._end_all(lambda caller: caller.name == name)

    def end_key(self, name: str, checksum: str) -> None:
        """End every token and login that an account got by a registered key, which was revoked."""
        self._end_all(lambda caller: (caller.name, caller.key) == (name, checksum))

    def _end_all(self, is_meant: Callable[[Caller], bool]) -> None:
        logins = {login for login, _ in self._by_digest.values()} | self._followed
        ended = {login for login in logins if is_meant(login.caller)}
        self._by_digest = {key: entry for key, entry in self._by_digest.items() if entry[0] not in ended}
        for login in ended:
            self._end(login)

    def _end(self, login: Login) -> None:
        self._followed.discard(login)
        login.end()

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._by_digest:
            digest, (_, expires) = next(iter(self._by_digest.items()))
            if expires > now:
                return
            del self._by_digest[digest]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
