"""The daemon's own log: nobody waits for it, no line is torn, and a file may be moved away at any time."""

import io
import logging
import os
import re
import socket
import threading

import pytest
from msgspec.structs import replace

from dispatcher import own_log, syslog
from dispatcher.errors import StartupError
from dispatcher.own_log import MANY, keeping_log
from tests.acceptance.daemon_clients import until
from tests.adapters.test_settings_change import NOW

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error) (.*)")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "dispatcher.log"


def to_file(file):
    return keeping_log(replace(NOW, log="file", log_file=file))


def lines(path):
    """Give level and text of each line; a line of another form is a failure."""
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    assert None not in found
    return [(one[1], one[2]) for one in found if one is not None]


def texts(path):
    return [text for _, text in lines(path)]


def test_each_line_has_its_time_and_level_and_the_file_is_ours_only(file):
    with to_file(file):
        logging.getLogger("dispatcher").warning("queue %s is paused", "a")
        logging.getLogger(MANY).info("job 1 is over")

    assert lines(file) == [("warning", "queue a is paused"), ("info", "job 1 is over")]
    assert file.stat().st_mode & 0o077 == 0


def test_an_older_file_is_gone_on_with(file):
    for n in range(2):
        with to_file(file):
            logging.getLogger("dispatcher").info("start %d", n)

    assert texts(file) == ["start 0", "start 1"]


def test_each_line_goes_to_the_file_that_has_the_name_by_then(file):
    log = logging.getLogger("dispatcher")
    with to_file(file):
        log.info("one")
        until(file.read_text, "it is written")
        file.rename(file.with_suffix(".0"))
        log.info("two")
        until(file.exists, "there is a new file")
        file.rename(file.with_suffix(".1"))
        file.write_text("")
        log.info("three")

    assert [texts(file.with_suffix(end)) for end in (".0", ".1", ".log")] == [["one"], ["two"], ["three"]]


def test_a_log_file_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    with (
        pytest.raises(
            StartupError, match=r"cannot write the log .*/none/x: No such file.*log_file: in queues"
        ),
        to_file(tmp_path / "none" / "x"),
    ):
        pass


def test_the_lines_of_before_are_told_as_they_are_on_stderr(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    with keeping_log(NOW):
        logging.getLogger("dispatcher").info("ready")
        logging.getLogger("dispatcher").error("no more room")

    assert said.getvalue() == "ready\nerror: no more room\n"


class Stuck:
    """A log that takes nothing until it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.written = []

    def write(self, lines):
        self.go.wait(20)
        self.written += [text for _, text in lines]

    def close(self):
        pass


def test_nobody_waits_for_a_log_that_is_stuck_and_what_is_left_out_is_counted(monkeypatch):
    monkeypatch.setattr(own_log, "MOST", 10)
    stuck = Stuck()
    monkeypatch.setattr(own_log, "Stderr", lambda: stuck)
    log = logging.getLogger("dispatcher")
    with keeping_log(NOW) as handler:
        log.info("first")
        until(lambda: not handler.waiting, "the thread has it")
        for n in range(25):
            log.info("%d", n)
        stuck.go.set()

    assert stuck.written == ["first", *map(str, range(10)), "warning: 15 lines of this log were left out"]


def test_a_log_that_cannot_be_written_ends_nobody(monkeypatch):
    def fail(_log, _lines):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Stuck, "write", fail)
    monkeypatch.setattr(own_log, "Stderr", Stuck)
    with keeping_log(NOW) as handler:
        for _ in range(2):
            logging.getLogger("dispatcher").info("x")
            until(lambda: not handler.waiting, "it is taken")


# syslog


@pytest.fixture
def place(tmp_path, monkeypatch):
    path = tmp_path / "log"
    monkeypatch.setattr(syslog, "PLACES", (tmp_path / "none", path))
    return path


def listening(path):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.settimeout(20)
    made.bind(os.fspath(path))
    return made


def test_syslog_gets_each_line_with_its_severity_and_our_pid_and_again_after_its_restart(place):
    log = logging.getLogger("dispatcher")
    with listening(place) as first, keeping_log(replace(NOW, log="syslog")):
        log.info("ready")
        log.error("torn\nin two")
        packets = [first.recv(2000) for _ in range(2)]
        first.close()
        place.unlink()
        with listening(place) as second:
            log.warning("again")
            packets.append(second.recv(2000))

    form = re.compile(rb"<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d dispatcher\[(\d+)\]: (.*)")
    found = [one.groups() for one in map(form.fullmatch, packets) if one is not None]
    pid = str(os.getpid()).encode()
    assert found == [
        (b"30", pid, b"ready"),
        (b"27", pid, b"error: torn | in two"),
        (b"28", pid, b"warning: again"),
    ]


def test_without_a_log_daemon_the_daemon_goes_on(place):
    with keeping_log(replace(NOW, log="syslog")) as handler:
        logging.getLogger("dispatcher").info("ready")
        until(lambda: not handler.waiting, "it is taken")
