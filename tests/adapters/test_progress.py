"""How far a job is: what of its output counts, what of its own words, and how often it is told."""

import json
import tracemalloc

import pytest

from dispatcher.runner.progress import (
    OUTPUT_LINE,
    TELL_SECONDS,
    LineCutter,
    OutputProgress,
    Progress,
    WrittenProgress,
)


def told(line: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(line)
    return found


def values(progress: Progress) -> tuple[object, ...]:
    return tuple(progress.fields().values())


def test_the_first_is_told_at_once_and_then_the_newest_after_a_second():
    progress = Progress(7)
    progress.note(10)
    first = progress.line(100.0)
    progress.note(20)
    progress.note(30, "half")

    assert told(first) == {"progress": 7, "percent": 10, "description": "", "extra": ""}
    assert progress.line(100.0 + TELL_SECONDS - 0.001) == b""
    assert progress.next_at() == 100.0 + TELL_SECONDS
    late = told(progress.line(100.0 + TELL_SECONDS))
    assert late == {"progress": 7, "percent": 30, "description": "half", "extra": ""}
    assert (progress.line(200.0), progress.next_at()) == (b"", None)


def test_the_last_is_told_without_delay_when_nothing_comes_after_it():
    progress = Progress(7)
    progress.note(10)
    progress.line(100.0)
    progress.note(99)

    assert told(progress.news())["percent"] == 99
    assert progress.news() == b""


def test_a_new_supervisor_is_told_again_and_at_once():
    progress = Progress(7)
    progress.forget_told()
    silent = progress.next_at()
    progress.note(10)
    progress.line(100.0)
    progress.forget_told()

    assert silent is None, "nothing was ever said"
    assert told(progress.line(100.1))["percent"] == 10


@pytest.mark.parametrize(
    ("percent", "whole"), [(-3, 0), (0.9, 0), (41.9, 41), (100.0, 100), (250, 100), (10**400, 100)]
)
def test_percent_is_whole_and_between_0_and_100(percent, whole):
    progress = Progress(7)
    progress.note(percent, "words")

    assert progress.fields()["percent"] == whole


def test_what_is_empty_clears_nothing_and_what_is_the_same_is_no_news():
    progress = Progress(7)
    progress.note(50, "half", "[1]")
    progress.line(100.0)
    progress.note(50.7, "", "")
    progress.note(None, "half")

    assert progress.next_at() is None
    assert values(progress) == (50, "half", "[1]")


def test_nothing_said_is_nothing_to_tell():
    progress = Progress(7)
    progress.note(0)

    assert (progress.fields(), progress.line(100.0)) == ({}, b"")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_cut_at_line_ends_and_carriage_returns_whatever_the_pieces(size):
    raw = b"one\r\ntwo\rthree\n\n\rfour"
    lines: list[bytes] = []
    cutter = LineCutter(OUTPUT_LINE, lines.append)
    for at in range(0, len(raw), size):
        cutter.feed(raw[at : at + size])
    before = list(lines)
    cutter.finish()
    cutter.finish()

    assert before == [b"one", b"two", b"three"]
    assert lines == [*before, b"four"]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_long_line_is_cut_and_the_next_one_is_not(size):
    raw = b"0123456789" * 10 + b"\nnext\n" + b"x" * 30
    lines: list[bytes] = []
    cutter = LineCutter(12, lines.append)
    for at in range(0, len(raw), size):
        cutter.feed(raw[at : at + size])
    cutter.finish()

    assert lines == [b"012345678901", b"next", b"x" * 12]


def test_a_line_without_end_does_not_fill_the_memory():
    cutter = LineCutter(OUTPUT_LINE, print)
    cutter.feed(b"x" * 65536)
    tracemalloc.start()
    for _ in range(200):
        cutter.feed(b"x" * 65536)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size < 100_000


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        (r"(?P<percent>\d+)%", b"done 42% of it", (42, "", "")),
        (
            r"\[(?P<percent>[^]]+)\] (?P<description>.*)",
            b"[41.9%] fetching \xfc ",
            (41, "fetching \ufffd", ""),
        ),
        (r"(?P<description>Installing \S+)", b"Installing x", (0, "Installing x", "")),
        (r"(?P<percent>\d+)?/(?P<description>\w+)?", b"/", ()),
        (r"(?P<percent>\w+)", b"much", ()),
        (r"(?P<percent>\w+)", b"nan", ()),
        (r"(?P<percent>\d+)%", b"nothing", ()),
        (r"\d+", b"42", ()),
    ],
)
def test_a_pattern_finds_percent_and_description_in_a_line(pattern, line, found):
    progress = Progress(7)
    OutputProgress(pattern, progress).take(line)

    assert values(progress) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"42", (42, "", "")),
        (b" 42.9% fetching it all ", (42, "fetching it all", "")),
        (b'{"percent": 7.5, "description": "w", "extra": {"a": [1]}}', (7, "w", '{"a": [1]}')),
        (b'{"description": "words only", "new": 1}', (0, "words only", "")),
        (b'{"percent": 1e999, "extra": 0}', (100, "", "0")),
        (b'{"percent": 5, "description": null, "extra": {}}', (5, "", "")),
        (b'{"description": "\\ud800", "extra": "\\udc80"}', (0, "?", '"?"')),
    ],
)
def test_a_command_writes_its_progress_in_words_or_as_json(line, found):
    complaints: list[str] = []
    progress = Progress(7)
    WrittenProgress(progress, complaints.append).take(line)

    assert (values(progress), complaints) == (found, [])


@pytest.mark.parametrize(
    "line",
    [
        b"half",
        b"inf",
        b"nan done",
        b"{",
        b"{}}",
        b'{"percent": "7"}',
        b'{"percent": true}',
        b'{"percent": NaN}',
        b'{"extra": [Infinity]}',
        b'{"description": 7}',
        b'{"extra": ' + b"[" * 60_000,
    ],
)
def test_what_cannot_be_read_changes_nothing_and_is_said_once(line):
    complaints: list[str] = []
    progress = Progress(7)
    progress.note(10)
    reader = WrittenProgress(progress, complaints.append)
    reader.take(line)
    reader.take(line)
    reader.take(b"11")

    assert values(progress) == (11, "", "")
    assert [one[:24] for one in complaints] == ["cannot read the progress"]
