"""When a certificate is valid, and whether it is self-signed: read from its DER (RFC 5280, 4.1)."""

import datetime as dt
from typing import NamedTuple

from dispatcher.net.end_point import value_at

_VERSION = 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


class Dates(NamedTuple):
    """When it begins and ends to be valid (seconds, UTC), and whether its issuer is its own subject."""

    begins: float
    ends: float
    is_self_signed: bool


def dates_of(der: bytes) -> Dates:
    """Read the dates of a certificate. Raises ValueError if it is none."""
    try:
        certificate, _ = value_at(der, 0)
        at, _ = value_at(der, certificate)
        if der[at] == _VERSION:
            at = value_at(der, at)[1]
        for _ in ("serial number", "signature"):
            at = value_at(der, at)[1]
        issuer, validity = at, value_at(der, at)[1]
        first, subject = value_at(der, validity)
        last = value_at(der, first)[1]
        subject_end = value_at(der, subject)[1]
        _ = der[subject_end - 1]  # it must be there
        return Dates(
            _instant(der, first), _instant(der, last), der[issuer:validity] == der[subject:subject_end]
        )
    except IndexError:
        raise ValueError("it ends too early") from None


def _instant(der: bytes, at: int) -> float:
    start, end = value_at(der, at)
    text = der[start:end].decode("ascii")
    if der[at] == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: two digits of a year are 1950 to 2049.
        text = ("20" if text[:2] < "50" else "19") + text
    elif der[at] != _GENERALIZED_TIME:
        raise ValueError("there is no time where one must be")
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC).timestamp()
