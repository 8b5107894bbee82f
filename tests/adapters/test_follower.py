"""Following a file: each line once, whatever happens to the file or to the daemon."""

import pytest

from dispatcher.watch import lines as lines_module
from dispatcher.watch.lines import Follower


@pytest.fixture
def log(tmp_path):
    return tmp_path / "a.log"


@pytest.fixture
def follow():
    followers = []

    def make(path, place=None):
        followers.append(Follower(path, place))
        return followers[-1]

    yield make
    for one in followers:
        one.close()


def add(path, text):
    with path.open("a") as file:
        file.write(text)


def test_a_line_is_given_once_and_only_when_it_is_whole(log, follow):
    follower = follow(log)
    assert follower.read() == []
    add(log, "one\ntw")
    assert follower.read() == ["one"]
    assert follower.unfinished() == "tw"
    add(log, "o\nthree\n")

    assert follower.read() == ["two", "three"]
    assert follower.read() == []
    assert follower.unfinished() == ""


def test_what_was_written_just_before_a_rotation_is_not_lost(log, follow):
    follower = follow(log)
    add(log, "one\n")
    assert follower.read() == ["one"]
    add(log, "two\n")
    log.rename(log.with_name("a.log.0"))
    add(log, "three\n")

    assert follower.read() == ["two", "three"]


def test_a_file_that_is_gone_gives_its_rest_and_a_new_one_begins_at_its_start(log, follow):
    follower = follow(log)
    add(log, "one\n")
    assert follower.read() == ["one"]
    add(log, "two\n")
    log.unlink()
    assert follower.read() == ["two"]
    add(log, "three\n")

    assert follower.read() == ["three"]


def test_a_truncated_file_is_read_from_its_start(log, follow):
    follower = follow(log)
    add(log, "one\ntwo\n")
    assert follower.read() == ["one", "two"]
    log.write_text("three\n")

    assert follower.read() == ["three"]


def test_a_file_that_was_emptied_and_has_grown_beyond_the_old_end_is_read_from_its_start(log, follow):
    follower = follow(log)
    add(log, "one\n")
    assert follower.read() == ["one"]
    log.write_text("three\nfour\nfive\n")

    assert follower.read() == ["three", "four", "five"]


def test_over_a_restart_it_goes_on_where_it_was(log, follow):
    first = follow(log)
    add(log, "one\ntwo\n")
    assert first.read() == ["one", "two"]
    first.close()
    add(log, "three\n")

    assert follow(log, first.place).read() == ["three"]


@pytest.mark.parametrize("suffix", [".0", ".1"])
def test_a_rotation_during_the_restart_loses_nothing(log, follow, suffix):
    first = follow(log)
    add(log, "one\n")
    assert first.read() == ["one"]
    first.close()
    add(log, "two\n")
    log.rename(log.with_name(f"a.log{suffix}"))
    add(log, "three\n")

    assert follow(log, first.place).read() == ["two", "three"]


def test_a_new_file_with_the_inode_of_the_old_one_is_not_taken_for_it(log, follow):
    first = follow(log)
    add(log, "one\n")
    assert first.read() == ["one"]
    first.close()
    inode = log.stat().st_ino
    log.write_text("other text, longer than before\n")
    assert log.stat().st_ino == inode

    assert follow(log, first.place).read() == ["other text, longer than before"]


def test_a_long_file_is_read_in_pieces_and_lines_without_end_are_skipped(log, follow, monkeypatch):
    monkeypatch.setattr(lines_module, "PIECE", 64)
    monkeypatch.setattr(lines_module, "LONGEST", 32)
    add(log, "".join(f"line {number}\n" for number in range(100)) + "x" * 500 + "\nlast\n")
    found = follow(log).read()

    assert found[:100] == [f"line {number}" for number in range(100)]
    assert found[-1] == "last"


def test_the_tail_begins_with_a_whole_line(log, follow):
    follower = follow(log)
    add(log, "one\ntwo\nthree\n")
    follower.skip_to_tail(8)
    assert follower.read() == ["three"]

    again = follow(log)
    again.skip_to_tail(100)
    assert again.read() == ["one", "two", "three"]
