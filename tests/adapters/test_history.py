"""Histories: lines in bounded files, found by time, whole after any crash."""

import json
import os

import pytest

from dispatcher.logs.history import History, line, span, stamp

START = 1_000_000.0


def lines_of(*numbers):
    return [line(START + number, json.dumps({"n": number}).encode()) for number in numbers]


def numbers(found):
    return [json.loads(one)["n"] for one in found]


def test_the_time_comes_first_and_is_always_as_long():
    assert line(0.0, b"{}") == b'{"at":"1970-01-01T00:00:00.000Z"}\n'
    assert line(1.9996, b'{"a":1}') == b'{"at":"1970-01-01T00:00:01.999Z","a":1}\n'
    assert len(stamp(1e30)) == len(stamp(-5.0)) == len(stamp(0.0))


def test_a_span_includes_its_start_and_not_its_end_and_comes_newest_first(tmp_path):
    history = History(tmp_path / "h.log", 100_000, 2)
    history.append(lines_of(1, 2, 3, 4))

    found, more = history.newest(span(START + 2, START + 4), 0, 1000)

    assert (numbers(found), more) == ([3, 2], False)
    assert history.count(span(START + 2, START + 4)) == 2


def test_files_are_rotated_by_size_and_the_oldest_goes(tmp_path):
    history = History(tmp_path / "h.log", 120, 2)
    for number in range(10):
        history.append(lines_of(number))

    found, _ = history.newest(span(START, START + 99), 0, 10_000)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.log", "h.log.1", "h.log.2"]
    assert all(path.stat().st_size <= 120 for path in tmp_path.iterdir())
    assert numbers(found) == list(range(9, 9 - len(found), -1))
    assert 4 <= len(found) < 10
    assert numbers(history.forwards(b"")) == numbers(found)[::-1]


def test_one_batch_may_fill_many_files_and_a_line_longer_than_a_file_has_one_of_its_own(tmp_path):
    history = History(tmp_path / "h.log", 50, 50)
    history.append(lines_of(*range(20)))
    history.append([line(START + 20, json.dumps({"n": 20, "x": "y" * 200}).encode())])

    assert numbers(history.forwards(b"")) == list(range(21))


def test_pages_go_on_where_the_last_one_ended_whatever_is_appended_meanwhile(tmp_path):
    history = History(tmp_path / "h.log", 150, 50)
    history.append(lines_of(*range(10)))
    window = span(START, START + 10)
    seen: list[int] = []
    more = True
    while more:
        found, more = history.newest(window, len(seen), 100)
        assert found
        assert sum(map(len, found)) <= 100
        seen += numbers(found)
        history.append(lines_of(10 + len(seen)))

    assert seen == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_line_that_was_torn_by_a_crash_spoils_no_other(tmp_path):
    history = History(tmp_path / "h.log", 100_000, 2)
    history.append(lines_of(1))
    with history.path.open("ab") as file:
        file.write(lines_of(2)[0][:-5])

    assert numbers(history.newest(span(START, START + 9), 0, 1000)[0]) == [1]
    history.append(lines_of(3))
    assert numbers(history.newest(span(START, START + 9), 0, 1000)[0]) == [3, 1]


def test_a_clock_that_was_set_back_hides_nothing(tmp_path):
    history = History(tmp_path / "h.log", 100_000, 2)
    history.append(lines_of(5, 1, 6, 2))

    assert numbers(history.newest(span(START + 2, START + 9), 0, 1000)[0]) == [2, 6, 5]


def test_a_file_that_somebody_took_away_is_made_again_for_its_owner_only(tmp_path):
    history = History(tmp_path / "h.log", 100_000, 2)
    history.append(lines_of(1))
    history.path.unlink()
    history.append(lines_of(2))

    assert numbers(history.forwards(b"")) == [2]
    assert history.path.stat().st_mode & 0o777 == 0o600


def test_what_could_be_written_only_in_part_is_taken_back(tmp_path, monkeypatch):
    history = History(tmp_path / "h.log", 100_000, 2)
    history.append(lines_of(1))
    real = os.write
    calls = []

    def full(fd, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="space"):
        history.append(lines_of(2))
    monkeypatch.undo()
    history.append(lines_of(3))

    assert numbers(history.forwards(b"")) == [1, 3]


def test_no_file_is_an_empty_history(tmp_path):
    history = History(tmp_path / "h.log", 100_000, 2)

    assert history.newest(span(0, 1e9), 0, 100) == ([], False)
    with pytest.raises(FileNotFoundError):
        list(history.forwards(b""))
