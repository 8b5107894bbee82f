"""rpc/settings: the keys with which clients log in without a password.

Everybody manages their own keys; with full access also those of others.
"""

import time
from collections import defaultdict
from collections.abc import Callable

import trio

from dispatcher.access.client_keys import ClientKey, ClientKeys
from dispatcher.access.roles import Caller, Level
from dispatcher.api.sysadm.codec import Call
from dispatcher.errors import InvalidRequest

ACTIONS = "register_ssl_cert, list_ssl_certs, list_ssl_checksums, revoke_ssl_cert"


# The user of a revoked key and the key's checksum: whoever logged in with it is out.
EndLogins = Callable[[str, str], None]


class Certificates:
    """The calls of rpc/settings on the registered keys."""

    def __init__(self, keys: ClientKeys, end_logins: EndLogins = lambda _user, _checksum: None) -> None:
        self._keys = keys
        self._end_logins = end_logins
        self._writing = trio.CapacityLimiter(1)  # each change begins with what the one before has left

    async def answer(self, call: Call, caller: Caller) -> dict[str, object]:
        """Carry out an action; its name is compared exactly."""
        action = _text(call, "action")
        match action:
            case "register_ssl_cert":
                return await self._register(call, caller)
            case "list_ssl_certs":
                return self._list(caller)
            case "list_ssl_checksums":
                return {"md5_keys": list(dict.fromkeys(key.checksum for key in self._keys.all()))}
            case "revoke_ssl_cert":
                return await self._revoke(call, caller)
            case _:
                raise InvalidRequest(f"there is no action {action[:60]!r}; there are: {ACTIONS}")

    async def _register(self, call: Call, caller: Caller) -> dict[str, object]:
        date = time.strftime("%Y-%m-%dT%H:%M:%S")
        notes = _text(call, "nickname"), _text(call, "email")
        key = ClientKey(caller.name, _text(call, "pub_key"), *notes, date)
        await trio.to_thread.run_sync(self._keys.register, key, limiter=self._writing)
        self._keys.on_changed()
        return {}

    def _list(self, caller: Caller) -> dict[str, object]:
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for key in self._keys.all():
            if key.user == caller.name or caller.level >= Level.FULL:
                # Clients look for these words at the beginning of each line.
                found[key.user][key.text] = (
                    f"Nickname: {key.nickname}\nEmail: {key.email}\nDate Registered: {key.date}"
                )
        return dict(found)

    async def _revoke(self, call: Call, caller: Caller) -> dict[str, object]:
        user = _text(call, "user") or caller.name
        text = _text(call, "pub_key")
        if user != caller.name and caller.level < Level.FULL:
            raise InvalidRequest("cannot revoke this key: it is somebody else's; that needs level full")
        if not await trio.to_thread.run_sync(self._keys.revoke, user, text, limiter=self._writing):
            raise InvalidRequest(f"cannot revoke this key: {user[:60]!r} has not registered it")
        self._end_logins(user, ClientKey(user, text, "", "", "").checksum)
        self._keys.on_changed()
        return {}


def _text(call: Call, name: str) -> str:
    value = call.args.get(name) if isinstance(call.args, dict) else None
    return value if isinstance(value, str) else ""
