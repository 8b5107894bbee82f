"""Say which certificate clients see, and what is wrong with one that was configured."""

import datetime as dt
import time
from pathlib import Path

from dispatcher.errors import StartupError
from dispatcher.net.tls import RENEW_SECONDS, Certificate, dotted, read_certificate, self_signed_paths
from dispatcher.settings import Settings


def describe_certificate(settings: Settings) -> str:
    """Give one sentence about the certificate that is shown; "" if no listener has TLS."""
    paths = _paths(settings)
    if paths is None:
        return ""
    if settings.tls is None and not _exists(paths[0]):
        return f"certificate {paths[0]}: is made at the first start, self-signed"
    try:
        found = read_certificate(*paths)
    except StartupError as error:
        return f"certificate: {error.sentence}"
    kind = "self-signed" if found.is_self_signed else "signed by a CA"
    renewal = ", renewed by itself" if settings.tls is None else ""
    return (
        f"certificate {paths[0]}: SHA-256 {dotted(found)}, "
        f"valid from {_day(found.begins)} to {_day(found.ends)}, {kind}{renewal}"
    )


def certificate_warnings(settings: Settings, now: float | None = None) -> list[str]:
    """Give one sentence for each reason for which clients may not take a configured certificate."""
    paths = _paths(settings)
    if settings.tls is None or paths is None:
        return []
    try:
        found = read_certificate(*paths)
    except StartupError:
        return []  # the start says it
    remedy = "put another in its place, or leave tls: out, and one is made and renewed by itself"
    warnings = []
    trouble = _trouble(found, time.time() if now is None else now)
    if trouble:
        warnings.append(f"tls: the certificate {paths[0]} {trouble}; {remedy}")
    if not found.is_self_signed:
        warnings.append(
            f"tls: the certificate {paths[0]} is signed by a CA, and SysAdm's own client crashes on that; "
            "for such clients use a self-signed one"
        )
    return warnings


def _trouble(found: Certificate, now: float) -> str:
    crash = ", and SysAdm's own client crashes on that"
    if now < found.begins:
        return f"is not valid before {_day(found.begins)}{crash}"
    if now >= found.ends:
        return f"has ended on {_day(found.ends)}{crash}"
    if now >= found.ends - RENEW_SECONDS:
        return f"ends on {_day(found.ends)}"
    return ""


def _paths(settings: Settings) -> tuple[Path, Path] | None:
    if not any(one.tls for one in settings.listen if one.path is None):
        return None
    if settings.tls is not None:
        return settings.tls.certificate, settings.tls.key
    return self_signed_paths(settings.state_dir)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True  # in a directory that is not ours to look into


def _day(instant: float) -> str:
    return dt.datetime.fromtimestamp(instant, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
