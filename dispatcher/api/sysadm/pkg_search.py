"""The order in which a search of packages shows what it found. Pure.

As the original's (trueos/sysadm src/server/library/sysadm-pkg.cpp, PKG::pkg_search): names that are
the term, begin with it, hold it; then comments, then descriptions, while few were found. Of several
words all must be there, or if nothing is found, any.
"""

from collections.abc import Callable, Iterable, Mapping

from dispatcher.core.model import Value

Info = Mapping[str, object]

FEW = 60  # fewer than this, and comments are looked at too
VERY_FEW = 100  # fewer than this, and descriptions are


class Search(Value, frozen=True):
    """What is looked for: `category` and `excludes` leave packages out."""

    term: str
    category: str = ""
    excludes: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The words of the term; the term itself if it has none."""
        return self.term.split() or [self.term]


def order(packages: Mapping[str, Info], search: Search) -> list[str]:
    """Give the origins of those that match, the best first."""
    return _round(packages, search, all) or _round(packages, search, any)


def is_enough(found: int, field: str) -> bool:
    """Whether so many were found that this field need not be looked at."""
    return found >= (FEW if field == "comment" else VERY_FEW)


def _round(
    packages: Mapping[str, Info], search: Search, combine: Callable[[Iterable[bool]], bool]
) -> list[str]:
    term = search.term.lower()
    found: dict[str, None] = {}

    def take(field: str, matches: Callable[[str, str], bool]) -> None:
        for origin, info in packages.items():
            text = str(info.get(field, "")).lower()
            if search.category and not origin.startswith(f"{search.category}/"):
                continue
            if matches(text, origin.lower()) and not any(one.lower() in text for one in search.excludes):
                found[origin] = None

    take("name", lambda name, origin: name == term or origin.endswith(f"/{term}"))
    if len(found) < FEW:
        take("name", lambda name, _: name.startswith(term))
        take("name", lambda name, _: term in name)
    words = [word.lower() for word in search.words]
    for field in ("comment", "desc"):
        if not is_enough(len(found), field):
            take(field, lambda text, _: combine(word in text for word in words))
    return list(found)
