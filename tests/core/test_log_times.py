"""The times of rpc/logs: every format that the original knows, where it is right and where it was not."""

import os
import time
from datetime import datetime

import pytest

from dispatcher.api.sysadm.log_times import Window, entry_key, read_window
from dispatcher.errors import InvalidRequest

NOW = 1_795_332_780.5  # 2026-11-22 07:33:00.5 UTC
HOURS = 12 * 3600.0


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
    assert "TZ" not in os.environ or os.environ["TZ"] != ""


def at(text):
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def window(given=None, start=None, end=None, now=NOW):
    args = {"time_format": given, "start_time": start, "end_time": end}
    return read_window({name: value for name, value in args.items() if value is not None}, now)


def test_without_a_format_the_last_twelve_hours_are_meant_whatever_the_times_say():
    assert window() == Window(NOW - HOURS, NOW)
    assert window(start="0", end="x") == Window(NOW - HOURS, NOW)
    assert window("", start="0") == Window(NOW - HOURS, NOW)


@pytest.mark.parametrize(
    ("given", "start", "end", "since", "until"),
    [
        ("time_t_seconds", "1795300000", "1795300010", 1795300000, 1795300011),
        ("time_t_seconds", 1795300000, 1795300010, 1795300000, 1795300011),
        ("epoch_mseconds", "1795300000123", "1795300000125", 1795300000.123, 1795300000.126),
        ("relative_second", "60", "10", NOW - 70, NOW - 10),
        ("relative_second", "-60", "-10", NOW - 70, NOW - 10),
        ("relative_day", "2", "1", NOW - 3 * 86400, NOW - 86400),
        ("relative_day", "1", None, NOW - 86400, NOW),
        ("relative_day", None, "2", NOW - 2 * 86400 - HOURS, NOW - 2 * 86400),
        ("relative_month", "1", None, at("2026-10-22T07:33:00.5"), NOW),
        ("relative_month", "12", "1", at("2025-10-22T07:33:00.5"), at("2026-10-22T07:33:00.5")),
        ("relative_month", "99999", None, 0.0, NOW),
        (
            "yyyy-MM-dd hh:mm:ss",
            "2026-11-21 22:00:00",
            "2026-11-21 23:30:05",
            at("2026-11-21T22:00"),
            at("2026-11-21T23:30:06"),
        ),
        ("dd.MM.yyyy", "21.11.2026", "22.11.2026", at("2026-11-21"), at("2026-11-22T00:00:01")),
        ("d/M/yyyy h:mm AP", "1/2/2026 12:05 am", None, at("2026-02-01T00:05"), NOW),
        ("MMM d yyyy H'h'", "Nov 21 2026 9h", None, at("2026-11-21T09:00"), NOW),
        ("dddd, MMMM dd, yyyy", "Saturday, November 21, 2026", None, at("2026-11-21"), NOW),
        ("yyyyMMddThhmmss.zzz", "20261121T010203.250", None, at("2026-11-21T01:02:03.25"), NOW),
        # An end that lies in the future is now.
        ("time_t_seconds", "1795300000", "1995300000", 1795300000, NOW),
    ],
)
def test_a_span_in_each_format(given, start, end, since, until):
    found = window(given, start, end)

    assert (found.since, found.until) == (pytest.approx(since), pytest.approx(until))


def test_a_month_before_the_last_of_a_long_month_is_the_last_of_a_short_one():
    now = at("2026-03-31T12:00")

    assert window("relative_month", "1", now=now).since == at("2026-02-28T12:00")


@pytest.mark.parametrize(
    ("given", "start", "end", "reason"),
    [
        ("time_t_seconds", "soon", None, "whole number"),
        ("time_t_seconds", "1e9", None, "whole number"),
        ("time_t_seconds", "9" * 40, None, "whole number"),
        ("epoch_mseconds", "9" * 18, None, "in range"),
        ("relative_day", "1.5", None, "whole number"),
        ("time_t_seconds", "1795300010", "1795300000", "behind end_time"),
        ("time_t_seconds", "1995300000", None, "in the future"),
        ("yyyy-MM-dd", "2026-02-30", None, "no such time"),
        ("yyyy-MM-dd", "yesterday", None, "relative_day"),
        ("hh AP", "13 pm", None, "1 to 12"),
        ("nonsense", "1", None, "time_t_seconds"),
        ("time_t_seconds", ["1"], None, "must be a string"),
        ("time_t_seconds", True, None, "must be a string"),
        (7, "1", None, "name of a format"),
        ("y" * 300, "1", None, "name of a format"),
    ],
)
def test_what_cannot_be_understood_is_said(given, start, end, reason):
    with pytest.raises(InvalidRequest, match=reason):
        window(given, start, end)


def test_names_of_one_second_differ_and_sort():
    names = [entry_key(int(NOW), place) for place in (1, 2, 10, 11, 999)]

    assert names[:2] == ["2026-11-22T07:33:00", "2026-11-22T07:33:00 (0002)"]
    assert sorted(names) == names
