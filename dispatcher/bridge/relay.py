"""Who sees whom on a bridge. Pure: peers and their sums in, lists of ids out.

A server and a client see each other if their lists of key sums have one in common. Nobody sees
its own kind. A list holds the others in the order in which they came into sight.
"""

from collections.abc import Iterable
from enum import StrEnum

from dispatcher.core.model import Value


class Kind(StrEnum):
    """The two kinds of peers, by the words of the protocol."""

    SERVER = "server"
    CLIENT = "client"

    @property
    def opposite(self) -> "Kind":
        """The kind that this one may see."""
        return Kind.CLIENT if self is Kind.SERVER else Kind.SERVER


class _Place(Value, frozen=True):
    kind: Kind
    sums: frozenset[str]


class Pairing:
    """Every peer that has a place, and whom it sees. A change costs what it changes, not all there are."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}
        self._holders: dict[tuple[Kind, str], dict[str, None]] = {}
        self._sights: dict[str, dict[str, None]] = {}

    def place(self, peer: str, kind: Kind, sums: Iterable[str]) -> list[str]:
        """Give a peer a place, or a new one; return the ids of all whose list is another one now."""
        self._let_go(peer)
        place = self._places[peer] = _Place(kind, frozenset(sums))
        now: dict[str, None] = {}
        for one in sorted(place.sums):
            self._holders.setdefault((kind, one), {})[peer] = None
            now.update(self._holders.get((kind.opposite, one), {}))
        return self._look(peer, now)

    def remove(self, peer: str) -> list[str]:
        """Forget a peer; return the ids of all who saw it."""
        self._let_go(peer)
        self._places.pop(peer, None)
        changed = self._look(peer, {})
        self._sights.pop(peer, None)
        return [other for other in changed if other != peer]

    def visible(self, peer: str) -> tuple[str, ...]:
        """Give the ids that a peer sees."""
        return tuple(self._sights.get(peer, ()))

    def sees(self, peer: str, other: str) -> bool:
        """Tell whether two peers see each other."""
        return other in self._sights.get(peer, ())

    def _let_go(self, peer: str) -> None:
        place = self._places.get(peer)
        if place is None:
            return
        for one in place.sums:
            holders = self._holders[place.kind, one]
            del holders[peer]
            if not holders:
                del self._holders[place.kind, one]

    def _look(self, peer: str, now: dict[str, None]) -> list[str]:
        sight = self._sights.setdefault(peer, {})
        gone = [other for other in sight if other not in now]
        new = [other for other in now if other not in sight]
        for other in gone:
            del sight[other], self._sights[other][peer]
        for other in new:
            sight[other] = self._sights[other][peer] = None
        return [peer, *gone, *new] if gone or new else []
