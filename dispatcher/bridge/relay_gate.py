"""Who gets into a bridge: who proves that it has the private half of a trusted key.

Wrong proofs count against the address, and against the key that was named beforehand: too many, and
the address, or any proof of the key *by that name*, is refused for a while. Who names no key is tried
with all of them, so that nobody can lock out another's key.
"""

import trio

from dispatcher.access.failures import AddressRefused, Failures, WrongLogin
from dispatcher.api.sysadm.logins import ENCRYPTED, read_signature, require_secrecy
from dispatcher.bridge.relay_keys import TrustedKey, TrustedKeys
from dispatcher.net.peer import Peer

_MOST_NAME = 64


class RelayGate:
    """Lets peers in. `failures` knows addresses, and named keys as `key SUM`."""

    def __init__(self, keys: TrustedKeys, failures: Failures) -> None:
        self.keys = keys
        self.failures = failures
        self._threads = trio.CapacityLimiter(2)

    async def admit(self, args: object, challenge: str, named: str, peer: Peer) -> TrustedKey:
        """Give the key that has signed the challenge.

        Raises NotAuthenticated (WrongLogin, AddressRefused) with the reason, which is for our log only.
        """
        require_secrecy(peer)
        name = f"key {named}" if named else ""
        self.failures.require_open(peer.address)
        if name and self.failures.is_refused(name):
            raise AddressRefused("too many proofs of the key that it names have failed; name none")
        self.keys.refresh()
        signature = read_signature(args)
        key = None
        if challenge and signature:
            key = await trio.to_thread.run_sync(
                self.keys.find, signature, challenge.encode("ascii"), named, limiter=self._threads
            )
        # Asked again: it may have been removed while the thread was at work.
        if key is None or key not in self.keys.all():
            await self.failures.count(peer.address)
            if named in {one.checksum for one in self.keys.all()}:
                await self.failures.count(name)
            raise WrongLogin(
                "no trusted key has signed the test string of this connection, given out at most 30 s ago;"
                " import its key with: dispatcher bridge keys import NICK FILE"
            )
        self.failures.forget(peer.address)
        self.failures.forget(name)
        return key


def asks_for_challenge(args: object) -> bool:
    """Tell whether this is the first half of a login: anything without a signed text."""
    return not (isinstance(args, dict) and ENCRYPTED in args)


def named_key(args: object) -> str:
    """Give the sum of the key that the first half of a login names; "" if none."""
    named = args.get("md5_key") if isinstance(args, dict) else None
    return named if isinstance(named, str) and len(named) <= _MOST_NAME else ""
