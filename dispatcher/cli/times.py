"""Read the times that people write: points (12h, yesterday, 2026-11-21, 2026-11-21 22:00), and seconds."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

_LONGEST = 86_400.0  # seconds
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_time(text: str) -> str:
    """Give the instant in ISO 8601, UTC. Days and times without a zone are local."""
    now = datetime.now().astimezone()
    try:
        moment = _moment(text.strip(), now)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        raise ArgumentTypeError(
            f"{text!r} is no time: write 90s, 30m, 12h, 7d or 2w (ago), today, yesterday, "
            "2026-11-21 or '2026-11-21 22:00'"
        ) from None


def read_seconds(text: str) -> float:
    """Give a time to wait for, at most a day."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise ArgumentTypeError(f"{text!r} is no time: write seconds, 0 to {_LONGEST:.0f}")
    return seconds


def _moment(text: str, now: datetime) -> datetime:
    # Through a naive time: yesterday's midnight has yesterday's offset, not that of now.
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    if text[-1:] in _UNITS and text[:-1].replace(".", "", 1).isdigit():
        return now - timedelta(**{_UNITS[text[-1]]: float(text[:-1])})
    return datetime.fromisoformat(text)
