"""What life-preserver's lines mean, by lines that were seen on a real system and by odd ones."""

import pytest

from dispatcher.watch.preserver_lines import (
    Ended,
    PreserverEvent,
    Progress,
    Started,
    read_log_line,
    read_progress,
)


def event(kind, message, priority=1):
    return PreserverEvent(kind, message, priority)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "Fri Apr  8 10:00:00 EDT 2016: Creating snapshot on tank1",
            event("snapshot", "Fri Apr 8 10:00:00 EDT 2016: New snapshot of tank1"),
        ),
        (
            "Sun Nov 22 10:00:01 2026: creating snapshot of tank/usr",
            event("snapshot", "Sun Nov 22 10:00:01 2026: New snapshot of tank/usr"),
        ),
        (
            "Sun Nov 22 10:00:02 2026: Starting replication MANUAL task on tank1: /var/log/lpreserver/lastrep.log",
            Started(
                event("replication", "Sun Nov 22 10:00:02 2026: Starting replication for tank1"),
                "/var/log/lpreserver/lastrep.log",
            ),
        ),
        (
            "Sun Nov 22 10:00:03 2026: finished replication task MANUAL on tank1 -> remote1",
            Ended(event("replication", "Sun Nov 22 10:00:03 2026: Finished replication for tank1")),
        ),
        (
            "Sun Nov 22 10:00:04 2026: Finished replication task on tank1 -> remote1: x",
            Ended(event("replication", "Sun Nov 22 10:00:04 2026: Finished replication for tank1")),
        ),
        (
            "Sun Nov 22 10:00:05 2026: FAILED replication task on tank1 -> remote1: LOGFILE: /var/log/lp/x.log",
            Ended(
                event(
                    "replication",
                    "Sun Nov 22 10:00:05 2026: Replication Failed for tank1\n"
                    "Logfile available at: /var/log/lp/x.log",
                    7,
                )
            ),
        ),
        # Where the original is not right: a path with colons, a dataset with capitals, no log file.
        (
            "Sun Nov 22 10:00:02 2026: Starting replication task on tank1: /var/log/a:b/c.log",
            Started(
                event("replication", "Sun Nov 22 10:00:02 2026: Starting replication for tank1"),
                "/var/log/a:b/c.log",
            ),
        ),
        (
            "Sun Nov 22 10:00:01 2026: Creating snapshot of Tank/USR",
            event("snapshot", "Sun Nov 22 10:00:01 2026: New snapshot of Tank/USR"),
        ),
        (
            "Sun Nov 22 10:00:05 2026: failed replication on tank1",
            Ended(event("replication", "Sun Nov 22 10:00:05 2026: Replication Failed for tank1", 7)),
        ),
        ("Sun Nov 22 10:00:06 2026: something else", None),
        ("", None),
        ("no colons", None),
        (":::", None),
    ],
)
def test_each_line_of_the_log_is_told_as_the_original_tells_it(line, told):
    assert read_log_line(line) == told


def test_progress_is_told_when_the_size_is_another_one():
    lines = [
        "send from @auto-0 to tank1/a@auto-1 estimated size is 10.0M",
        "total estimated size is 10.0M",
        "TIME        SENT   SNAPSHOT",
        "10:00:03   1.00M   tank1/a@auto-1",
    ]
    first, told = read_progress(Progress(), lines)
    second, told_then = read_progress(first, ["10:00:04   2.50M   tank1/a@auto-1", ""])
    _, told_again = read_progress(second, ["10:00:05   2.50M   tank1/a@auto-1", "warning: x y z"])

    assert told == event("replication", "Replicating tank1: 1.00M/10.0M (10%)", 0)
    assert told_then == event("replication", "Replicating tank1: 2.50M/10.0M (25%)", 0)
    assert told_again is None


@pytest.mark.parametrize(
    ("total", "size", "shown"),
    [
        ("", "1.00M", "1.00M/??"),
        ("3.00G", "1.00G", "1.00G/3.00G (33.3%)"),
        ("1.5T", "1.5T", "1.5T/1.5T (100%)"),
        ("unknown", "12K", "12K/unknown"),
        ("0", "12", "12/0"),
        ("2000", "1999", "1999/2000 (99.9%)"),
    ],
)
def test_the_part_that_is_done_is_cut_to_a_tenth(total, size, shown):
    _, told = read_progress(Progress(total), [f"10:00:00 {size} tank@now"])

    assert told == event("replication", f"Replicating tank: {shown}", 0)


@pytest.mark.parametrize("line", ["10:00:04   2.5", "10:00:04", "2.5M", "cannot send: broken pipe"])
def test_a_line_that_is_not_whole_yet_says_nothing(line):
    assert read_progress(Progress("10M"), [line]) == (Progress("10M"), None)
