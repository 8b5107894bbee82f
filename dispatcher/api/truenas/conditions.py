"""Whether a JSON object passes filters. Pure.

An operator that does not fit the kind of a value is false, never an error. Regular expressions are
not matched here, because a client's may take for ever: `asked` names what has to be matched, somebody
else finds it out in a process apart, and `holds` looks it up.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping

from dispatcher.api.truenas.fields import values_at
from dispatcher.api.truenas.filters import (
    PATTERN,
    Condition,
    Filters,
    Instant,
    as_instant,
    conditions_of,
    folded,
)

Question = tuple[str, str]
"""A regular expression and the text whose beginning it is to match."""

Matched = Mapping[Question, bool]

NOTHING: Matched = {}


def holds(filters: Filters, subject: object, matched: Matched = NOTHING) -> bool:
    """Tell whether all filters hold for an object; `matched` has the answers to what they ask."""
    for one in filters:
        if isinstance(one, Condition):
            if not any(_passes(one, value, matched) for value in values_at(subject, one.path)):
                return False
        elif not any(holds(branch, subject, matched) for branch in one.branches):
            return False
    return True


def asked(filters: Filters, subjects: Iterable[object]) -> set[Question]:
    """Name what must be matched before `holds` can tell about these objects."""
    patterns = [one for one in conditions_of(filters) if one.operator == PATTERN]
    if not patterns:
        return set()
    return {
        (str(one.value), text)
        for subject in subjects
        for one in patterns
        for text in _texts(values_at(subject, one.path))
    }


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str | None):
            yield value or ""


def _passes(one: Condition, value: object, matched: Matched) -> bool:
    if one.operator == PATTERN:
        return any(matched[str(one.value), text] for text in _texts((value,)))
    if one.folds:
        value = folded(value)
    elif isinstance(one.value, Instant):
        value = as_instant(value)
    try:
        return _MEANINGS[one.operator](value, one.value)
    except TypeError:  # no order between the two, or nothing can be in such a value
        return False


def _begins(field: object, value: object) -> bool:
    return isinstance(field, str) and isinstance(value, str) and field.startswith(value)


def _ends(field: object, value: object) -> bool:
    return isinstance(field, str) and isinstance(value, str) and field.endswith(value)


_MEANINGS: dict[str, Callable[..., bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "in": lambda field, value: field in value,
    "nin": lambda field, value: field is not None and field not in value,
    "rin": lambda field, value: field is not None and value in field,
    "rnin": lambda field, value: field is not None and value not in field,
    "^": _begins,
    "!^": lambda field, value: isinstance(field, str) and not _begins(field, value),
    "$": _ends,
    "!$": lambda field, value: isinstance(field, str) and not _ends(field, value),
}
