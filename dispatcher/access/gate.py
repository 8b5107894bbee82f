"""Every way in, in one place: password, key, or being the user at the other end of a local connection.

Each login that fails counts against its address, and an address that has failed too often is heard
no more. Only here is it decided which level somebody gets.
"""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec
import trio

from dispatcher.access.accounts import Accounts
from dispatcher.access.api_keys import ApiKey, ApiKeys
from dispatcher.access.client_keys import ClientKey, ClientKeys
from dispatcher.access.failures import Failures, WrongLogin
from dispatcher.access.pam_check import PamCheck
from dispatcher.access.passwords import WRONG, PasswordCheck
from dispatcher.access.peers import Peer, lacking, origin_of
from dispatcher.access.roles import Caller, Level
from dispatcher.access.system_users import SystemUser, SystemUsers
from dispatcher.errors import DispatcherError, NotAuthenticated
from dispatcher.settings import Auth

# Gives the uid that holds the other end of a connection on this machine, or None. Blocks.
OwnerOf = Callable[["LocalPeer"], int | None]


class KeyExpired(NotAuthenticated):
    """The API key is right, and too old."""


class NoAccess(NotAuthenticated):
    """The API key is right, and its user may do nothing here, or is gone."""


class LocalPeer(Peer, Protocol):
    """A peer of which it is also known where it arrived."""

    @property
    def local(self) -> tuple[str, int]:
        """Our own address and port."""
        ...


class Gate:
    """Logs clients in. Raises NotAuthenticated (WrongLogin, AddressRefused), or Refused if many wait."""

    def __init__(
        self,
        auth: Auth,
        accounts: Accounts,
        passwords: PasswordCheck,
        failures: Failures,
        keys: ClientKeys,
        *,
        api_keys: ApiKeys,
        pam: PamCheck,
        users: SystemUsers,
        owner_of: OwnerOf,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.api_keys = api_keys
        self.keys = keys
        self.failures = failures
        self._auth = auth
        self._accounts = accounts
        self._passwords = passwords
        self._pam = pam
        self._users = users
        self._owner_of = owner_of
        self._clock = clock
        self._lookups = trio.CapacityLimiter(4)
        self._signatures = trio.CapacityLimiter(2)
        self._seen: dict[str, SystemUser] = {}  # users of the system that have logged in

    async def by_password(
        self, name: str, password: str, peer: LocalPeer, *, protocol: str, is_browser: bool = True
    ) -> Caller:
        """Log in with a password, or without one as the owner of a local connection.

        `is_browser` is whether a web page may have made this request: any page that its user looks at
        could, so that being the owner then says nothing.
        """
        self.failures.require_open(peer.address)
        try:
            if not password and not is_browser and self._auth.loopback == "owner":
                caller = _caller(await self._owner(name, peer), peer, protocol)
            else:
                caller = await self._checked(name, password, peer, protocol)
        except WrongLogin:
            await self.failures.count(peer.address)
            raise
        self.failures.forget(peer.address)
        return caller

    async def by_key(self, signature: bytes, challenge: str, peer: LocalPeer, *, protocol: str) -> Caller:
        """Log in as the owner of the registered key that has signed the challenge."""

        def find() -> ClientKey | None:
            return self.keys.find(signature, challenge.encode("ascii")) if challenge else None

        return await self.by_found_key(find, peer, protocol=protocol)

    async def by_found_key(
        self, find: Callable[[], ClientKey | None], peer: LocalPeer, *, protocol: str
    ) -> Caller:
        """Log in as the owner of the key that `find`, called in a thread, has found to have signed."""
        self.failures.require_open(peer.address)
        key = await trio.to_thread.run_sync(find, limiter=self._signatures)
        caller = await self._owner_of_key(key.user, peer, protocol) if key else None
        # It may have been revoked meanwhile; from here to the token nobody else comes to run.
        if key not in self.keys.all() or caller is None or caller.level is Level.NOBODY:
            await self.failures.count(peer.address)
            raise WrongLogin("this is no signature of the test string by a registered key")
        self.failures.forget(peer.address)
        return msgspec.structs.replace(caller, key=key.checksum if key else "")

    async def by_api_key(
        self, text: str, peer: LocalPeer, *, protocol: str, user: str | None = None
    ) -> tuple[Caller, ApiKey]:
        """Log in with the text of an API key, which must be `user`'s if that is given.

        Raises WrongLogin, KeyExpired, NoAccess.
        """

        def find() -> ApiKey | None:
            key = self.api_keys.matching(text)
            return key if key is not None and user in (None, key.user) else None

        return await self.by_proved_key(find, peer, protocol=protocol)

    async def by_proved_key(
        self, prove: Callable[[], ApiKey | None], peer: LocalPeer, *, protocol: str
    ) -> tuple[Caller, ApiKey]:
        """Log in with the API key that `prove` gives; None counts as a failed login."""
        self.failures.require_open(peer.address)
        if not self.api_keys.refresh():
            raise NotAuthenticated("cannot log in: the API keys cannot be used; see the daemon's log")
        key = prove()
        if key is None:
            await self.failures.count(peer.address)
            raise WrongLogin("wrong API key")
        if key.is_over(self._clock()):
            raise KeyExpired(f"API key {key.number} has expired: make a new one with dispatcher apikey add")
        caller = await self._owner_of_key(key.user, peer, protocol)
        if caller is None or caller.level is Level.NOBODY:
            raise NoAccess(f"API key {key.number} is of {key.user!r}, who may do nothing here (or is gone)")
        if self.api_keys.find(key.number) != key:
            raise NotAuthenticated("the API key was removed during the login")
        self.failures.forget(peer.address)
        return msgspec.structs.replace(caller, level=min(caller.level, key.level)), key

    async def by_socket_user(self, peer: LocalPeer, *, protocol: str) -> Caller | None:
        """Log in the user at the other end of a Unix socket; None if its groups give it no level."""
        uid = peer.uid
        if uid is None or peer.address or self._auth.loopback != "owner":
            return None
        user = await trio.to_thread.run_sync(self._users.of_uid, uid, limiter=self._lookups)
        if user is None or user.level is Level.NOBODY:
            return None
        return _caller(self._noted(user), peer, protocol)

    def lacking(self, peer: LocalPeer) -> str:
        """Say to a user at the Unix socket whom `by_socket_user` gave nothing which group is missing."""
        return lacking(peer, self._auth)

    async def changed_users(self, *, is_forced: bool = False) -> list[str]:
        """Name the users of the system that have logged in and are gone or have another level now."""
        if not self._users.has_changed() and not is_forced:
            return []
        changed = []
        for name, before in list(self._seen.items()):
            now = await trio.to_thread.run_sync(self._users.find, name, limiter=self._lookups)
            if now != before:
                changed.append(name)
                del self._seen[name]
        return changed

    async def _checked(self, name: str, password: str, peer: LocalPeer, protocol: str) -> Caller:
        wrong: DispatcherError = NotAuthenticated(WRONG)

        def may_go_on() -> None:
            # Others of this address may have failed while this one waited.
            self.failures.require_open(peer.address)

        for method in self._auth.methods:
            try:
                if method == "accounts":
                    return await self._passwords.login(
                        name, password, origin=origin_of(peer), protocol=protocol, may_go_on=may_go_on
                    )
                user = self._noted(await self._pam.login(name, password, may_go_on))
                return _caller(user, peer, protocol)
            except WrongLogin as error:
                wrong = error
        raise wrong

    async def _owner(self, name: str, peer: LocalPeer) -> SystemUser:
        def look_up() -> SystemUser | None:
            user = self._users.find(name)
            # Never root: what runs as root may speak for somebody else.
            if user is None or user.uid == 0 or user.level is Level.NOBODY:
                return None
            return user if user.uid == self._owner_of(peer) else None

        user = await trio.to_thread.run_sync(look_up, limiter=self._lookups)
        if user is None:
            raise WrongLogin(
                "cannot log in without a password, but as yourself on this machine, and not as root"
            )
        return self._noted(user)

    async def _owner_of_key(self, name: str, peer: LocalPeer, protocol: str) -> Caller | None:
        if "accounts" in self._auth.methods and self._accounts.refresh():
            account = self._accounts.find(name)
            if account is not None:
                return Caller(account.name, account.level, origin_of(peer), protocol)
        if "pam" not in self._auth.methods:
            return None
        user = await trio.to_thread.run_sync(self._users.find, name, limiter=self._lookups)
        return _caller(self._noted(user), peer, protocol) if user is not None else None

    def _noted(self, user: SystemUser) -> SystemUser:
        self._seen[user.name] = user
        return user


def _caller(user: SystemUser, peer: LocalPeer, protocol: str) -> Caller:
    return Caller(user.name, user.level, origin_of(peer), protocol)
