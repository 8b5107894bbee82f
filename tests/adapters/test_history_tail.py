"""Following a history: each line once and in order, whatever is renamed or thrown away meanwhile."""

import contextlib
import json
import random
from contextlib import ExitStack

import pytest

from dispatcher.logs import history_tail
from dispatcher.logs.history import History, line, stamp
from dispatcher.logs.history_tail import HistoryTail


class Written:
    """A history whose files hold two lines each, and what was written to it."""

    def __init__(self, folder, files=3):
        # One line is 44 bytes long with a number of four digits.
        self.history = History(folder / "audit.log", 2 * len(one(1000)), files)
        self.next = 1000

    def write(self, count=1):
        numbers = range(self.next, self.next + count)
        self.next += count
        self.history.append([one(number) for number in numbers])
        return list(numbers)


def one(number):
    return line(float(number), json.dumps({"n": number}).encode())


def numbers(lines):
    return [json.loads(text)["n"] for text in lines]


@pytest.fixture
def written(tmp_path):
    return Written(tmp_path)


@pytest.fixture
def follow():
    """Follow a history until the test ends."""
    with ExitStack() as closing:

        def begin(history, since=None):
            return closing.enter_context(contextlib.closing(HistoryTail(history, since)))

        yield begin


def test_what_was_there_before_is_not_told_and_what_comes_is(written, follow):
    written.write(3)
    tail = follow(written.history)

    assert numbers(tail.read()) == []
    assert [numbers(tail.read()) for _ in range(3) if written.write()] == [[1003], [1004], [1005]]
    assert numbers(tail.read()) == []


def test_older_lines_come_first_from_an_instant_on(written, follow):
    written.write(6)
    tail = follow(written.history, stamp(1003).encode())

    assert numbers(tail.read()) == [1003, 1004, 1005]
    assert numbers(tail.read()) == []
    written.write(2)
    assert numbers(tail.read()) == [1006, 1007]


def test_files_that_were_begun_and_ended_between_two_looks_are_read_too(written, follow):
    written.write(1)
    tail = follow(written.history)
    expected = written.write(6)

    assert numbers(tail.read()) == expected


def test_what_was_thrown_away_is_lost_and_the_rest_goes_on(written, follow):
    written.write(1)
    tail = follow(written.history)
    expected = written.write(30)

    found = numbers(tail.read())

    # Its own file was still held open; of the others as many are left as are kept.
    assert found[0] == expected[0]
    assert found[1:] == expected[-len(found[1:]) :]
    assert len(found) == 1 + 2 * 3 + 1
    assert numbers(tail.read()) == []
    assert numbers(tail.read() if written.write() else []) == [1031]


def test_a_file_that_is_not_there_yet_is_waited_for(written, follow):
    tails = [follow(written.history), follow(written.history, b"")]
    assert [numbers(tail.read()) for tail in tails] == [[], []]

    written.write(3)

    assert [numbers(tail.read()) for tail in tails] == [[1000, 1001, 1002]] * 2


def test_without_older_files_the_new_one_is_read(tmp_path, follow):
    written = Written(tmp_path, files=0)
    written.write(1)
    tail = follow(written.history)

    assert numbers(tail.read() if written.write(1) else []) == [1001]
    assert numbers(tail.read() if written.write(1) else []) == [1002]


def test_half_a_line_waits_for_its_end_and_a_torn_one_is_left_out(written, follow):
    written.write(1)
    tail = follow(written.history)
    path = written.history.path
    with path.open("ab") as file:
        file.write(one(1001)[:20])
    assert list(tail.read()) == []
    with path.open("ab") as file:
        file.write(one(1001)[20:])
    assert numbers(tail.read()) == [1001]
    with path.open("ab") as file:
        file.write(one(1002)[:30])  # the daemon is killed

    written.history.append([one(1003)])

    assert numbers(tail.read()) == [1003]


def test_what_was_taken_back_from_a_full_disk_is_not_missed(written, follow):
    written.write(1)
    tail = follow(written.history)
    size = written.history.path.stat().st_size
    with written.history.path.open("ab") as file:
        file.write(one(1001))
    assert numbers(tail.read()) == [1001]
    with written.history.path.open("ab") as file:
        file.truncate(size)

    assert list(tail.read()) == []
    assert numbers(tail.read() if written.write() else []) == [1001]


def test_a_line_longer_than_a_piece_is_whole(tmp_path, follow):
    history = History(tmp_path / "audit.log", 100_000_000, 1)
    tail = follow(history)
    long = line(1.0, json.dumps({"n": "x" * 3_000_000}).encode())

    history.append([long, one(1000)])

    assert [len(text) for text in tail.read()] == [len(long) - 1, len(one(1000)) - 1]


def test_while_one_file_is_renamed_after_the_other_each_line_comes_once(tmp_path, monkeypatch, follow):
    """Looks at the files between any two renames, as a reader in another process may."""
    written = Written(tmp_path, files=4)
    written.write(1)
    tail = follow(written.history)
    found: list[int] = []
    dice = random.Random(7)  # noqa: S311 (the same each time)
    path_type = type(written.history.path)
    replace = path_type.replace

    def watched(self, target):
        if dice.random() < 0.3:
            found.extend(numbers(tail.read()))
        done = replace(self, target)
        if dice.random() < 0.3:
            found.extend(numbers(tail.read()))
        return done

    monkeypatch.setattr(path_type, "replace", watched)
    expected = [number for _ in range(200) for number in written.write(dice.randint(1, 3))]
    found.extend(numbers(tail.read()))

    assert found == expected


def test_a_rename_in_the_middle_of_a_look_skips_nothing(tmp_path, monkeypatch, follow):
    written = Written(tmp_path, files=6)
    written.write(1)
    tail = follow(written.history)
    expected = written.write(4)
    path_type = type(written.history.path)
    opened = path_type.open
    more = iter((2, 2))

    def late(self, *args, **kwargs):
        if "r" in (args[0] if args else kwargs.get("mode", "")):
            for count in (next(more, 0),):
                expected.extend(written.write(count) if count else [])
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(path_type, "open", late)

    assert numbers(tail.read()) == expected


def test_what_comes_between_a_look_and_the_rename_is_told(written, monkeypatch, follow):
    written.write(1)
    tail = follow(written.history)
    expected: list[int] = []
    look = history_tail._inode_at

    def look_late(path):
        expected.extend(written.write(2) if not expected else [])
        return look(path)

    monkeypatch.setattr(history_tail, "_inode_at", look_late)

    assert numbers(tail.read()) == expected == [1001, 1002]
