"""The log of a job as the worker writes it: caps, the line about the cut, and disks that are full."""

import errno
import os

import pytest

from dispatcher.logs.files import LogEnd, LogWriter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "0" / "7.log"


@pytest.fixture
def log(path, said, clock):
    writer = LogWriter(str(path), 10, 6, said.append, clock)
    yield writer
    writer.close()


def cut_line(count: int, cap: int = 10) -> bytes:
    return b"[dispatcher: %012d bytes of output were cut here, cap %d]\n" % (count, cap)


def test_output_below_the_cap_is_kept_as_it_is(log, path):
    assert log.begin() == 0
    log.write(b"one\n")
    log.write(b"two\n")
    end = log.end()

    assert end == LogEnd(8, 0)
    assert path.read_bytes() == b"one\ntwo\n"


def test_the_file_is_made_at_the_first_byte_for_its_owner_only(log, path):
    log.begin()
    assert not path.parent.exists()

    log.write(b"x")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_output_between_cap_and_tail_is_kept_without_a_line(log, path):
    log.begin()
    log.write(b"0123456789abcdef")
    end = log.end()

    assert end == LogEnd(16, 0)
    assert path.read_bytes() == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("first", "between"), [(b"012345678\n", b""), (b"0123456789", b"\n")], ids=["whole line", "half a line"]
)
def test_what_is_too_much_is_cut_from_the_middle_with_a_line_that_says_how_much(log, path, first, between):
    log.begin()
    log.write(first + b"lost and last\n")
    end = log.end()

    assert path.read_bytes() == first + between + cut_line(8) + b" last\n"
    assert end == LogEnd(path.stat().st_size, 8)


def test_the_size_of_the_pieces_makes_no_difference(path, said):
    text = bytes(range(32, 127)) * 3
    for number, size in enumerate((1, 7, 64, 1000)):
        log = LogWriter(f"{path}.{size}", 50, 33, said.append)
        log.begin()
        for at in range(0, len(text), size):
            log.write(text[at : at + size])
        end = log.end()
        log.close()

        assert end.cut == len(text) - 83, number
        assert (path.parent / f"7.log.{size}").read_bytes() == text[:50] + b"\n" + cut_line(
            end.cut, 50
        ) + text[-33:]


def test_the_next_command_starts_behind_the_end_with_a_cap_of_its_own(log, path):
    log.begin()
    log.write(b"0123456789lost and last")
    first = log.end()

    assert log.begin() == first.length
    log.write(b"second")
    second = log.end()

    assert second == LogEnd(first.length + 6, 0)
    assert path.read_bytes().endswith(b" lastsecond")


def test_the_tail_is_on_disk_a_second_after_it_changed(log, path, clock):
    log.begin()
    log.write(b"012345678\nlost and last\n")
    assert path.read_bytes() == b"012345678\n"

    assert log.refresh_at == clock.now + 1
    clock.now += 1
    log.refresh()

    assert path.read_bytes() == b"012345678\n" + cut_line(8) + b" last\n"
    assert log.refresh_at is None


def test_the_number_of_cut_bytes_grows_in_place(log, path, clock):
    log.begin()
    log.write(b"012345678\nlost and last\n")
    clock.now += 1
    log.refresh()
    size = path.stat().st_size
    log.write(b"again!\n")
    clock.now += 1
    log.refresh()

    assert path.stat().st_size == size
    assert path.read_bytes() == b"012345678\n" + cut_line(15) + b"gain!\n"


def test_followers_may_read_what_will_not_change(log, clock):
    log.begin()
    log.write(b"01234")
    assert log.stable == 5
    log.write(b"5678\nabc")
    assert log.stable == 10
    log.write(b"defghijk")
    assert log.stable == 10, "the line is not on disk yet"
    clock.now += 1
    log.refresh()
    assert log.stable == 10 + len(cut_line(0))

    end = log.end()

    assert log.stable == end.length == 10 + len(cut_line(0)) + 6


def full_disk(monkeypatch: pytest.MonkeyPatch, room: list[int]) -> None:
    """Let every pwrite behind `room` bytes of the file fail, as a full file system does."""
    real = os.pwrite

    def pwrite(fd: int, data: memoryview, offset: int) -> int:
        fits = room[0] - offset
        if fits <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[:fits], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)


def test_a_full_disk_loses_output_says_so_once_and_counts_it(path, said, clock, monkeypatch):
    full_disk(monkeypatch, [4])
    log = LogWriter(str(path), 1000, 100, said.append, clock)
    log.begin()
    for _ in range(3):
        log.write(b"abc")
    end = log.end()
    log.close()

    assert path.read_bytes() == b"abca"
    assert end == LogEnd(4, 5)
    assert len(said) == 1
    assert "No space left on device" in said[0]


def test_output_is_written_again_when_there_is_room_behind_a_line_about_the_loss(
    path, said, clock, monkeypatch
):
    room = [4]
    full_disk(monkeypatch, room)
    log = LogWriter(str(path), 1000, 100, said.append, clock)
    log.begin()
    log.write(b"abcdef")
    room[0] = 1000
    log.write(b"too early")
    clock.now += 1
    log.write(b"back\n")
    end = log.end()
    log.close()

    line = b"\n[dispatcher: %012d bytes of output could not be written here]\n" % 11
    assert path.read_bytes() == b"abcd" + line + b"back\n"
    assert end.cut == 11


def test_a_tail_that_finds_no_room_is_counted_as_cut(path, said, clock, monkeypatch):
    full_disk(monkeypatch, [12])
    log = LogWriter(str(path), 10, 6, said.append, clock)
    log.begin()
    log.write(b"0123456789abcdef")
    end = log.end()
    log.close()

    assert path.read_bytes() == b"0123456789ab"
    assert end == LogEnd(12, 4)


def test_a_log_that_cannot_be_made_stops_nothing(tmp_path, said):
    (tmp_path / "0").write_text("a file where the folder should be")
    log = LogWriter(str(tmp_path / "0" / "7.log"), 10, 6, said.append)
    log.begin()
    log.write(b"x" * 100)
    end = log.end()
    log.close()

    assert end == LogEnd(0, 100)
    assert len(said) == 1


def test_a_folder_that_appears_later_gets_the_rest(path, said, clock):
    path.parent.write_text("in the way")
    log = LogWriter(str(path), 100, 6, said.append, clock)
    log.begin()
    log.write(b"lost")
    path.parent.unlink()
    clock.now += 1
    log.write(b"kept")
    end = log.end()
    log.close()

    assert path.read_bytes().endswith(b"]\nkept")
    assert end == LogEnd(path.stat().st_size, 4)


def test_a_link_in_place_of_the_log_is_not_followed(path, said, tmp_path):
    path.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.symlink_to(victim)
    log = LogWriter(str(path), 100, 6, said.append)
    log.begin()
    log.write(b"text")
    log.end()
    log.close()

    assert victim.read_text() == "precious"
    assert len(said) == 1
