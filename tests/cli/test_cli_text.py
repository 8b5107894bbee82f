"""What people read: aligned text in a pipe, tables on a terminal."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from dispatcher.cli import connection, output
from dispatcher.cli.times import read_time
from tests.cli.fake_daemon import Failure, event, finished, pending, running


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_list_is_aligned_text_in_a_pipe(scripted, say):
    jobs = [pending(key="a" * 12), finished()]
    scripted.script["dispatcher.list"] = [{"jobs": jobs, "total": 9}]
    said = say("list", "--limit", "2")

    assert said.out.splitlines() == [
        "JOB  KEY           QUEUE      STATE    CODE  SINCE                TOOK  COMMANDS",
        "  7  aaaaaaaaaaaa  pkg_queue  pending        2026-11-22 05:56:59        pkg update (and 1 more)",
        "  7  build-7       pkg_queue  failed      3  2026-11-22 05:57:59  59 s  pkg update (and 1 more)",
    ]
    assert said.err == "2 of 9 jobs; the next ones: --offset 2\n"


def test_times_are_shown_in_the_local_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()

    assert output.local_time("2026-11-22T05:56:59.123Z") == "2026-11-22 06:56:59"


def test_a_command_cannot_steer_the_terminal_or_break_a_line(scripted, say):
    evil = pending()
    evil["commands"][0]["text"] = "a\x1b[31m\nb\u202e"
    scripted.script["dispatcher.list"] = [{"jobs": [evil], "total": 1}]

    assert "a\\x1b[31m\\nb\\u202e (and 1 more)" in say("list").out


@pytest.mark.parametrize("no_color", ["1", ""])
def test_a_table_on_a_terminal_takes_markup_for_text(scripted, say, monkeypatch, no_color):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", no_color)
    job = finished()
    job["commands"][0]["text"] = "echo [bold]x[/bold]"
    scripted.script["dispatcher.list"] = [{"jobs": [job], "total": 1}]
    out = say("list").out

    assert "echo [bold]x[/bold]" in out
    assert ("\x1b[1;31mfailed" in out) is not bool(no_color)


MADE_UP = "f535ed6a-f287-4020-83a0-cdb8c0f14668"


def test_a_made_up_key_is_short_on_a_terminal_and_whole_in_a_pipe(scripted, say, monkeypatch):
    scripted.script["dispatcher.list"] = [{"jobs": [finished(key=MADE_UP)], "total": 1}]
    piped = say("list").out
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    shown = say("list").out

    assert f"  {MADE_UP}  " in piped
    assert "  f535ed6a…  " in shown
    assert MADE_UP not in shown


def test_a_sentence_names_only_a_key_that_somebody_chose():
    assert output.name_of(finished(key=MADE_UP)) == "job 7"
    assert output.name_of(finished(key="f535ed6a")) == "job 7 (f535ed6a)"


def test_a_list_on_a_narrow_terminal_has_one_line_for_each_job(scripted, say, monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    job = finished(key="nightly-build-of-everything")
    job["commands"][0]["text"] = "a long command " * 9
    scripted.script["dispatcher.list"] = [{"jobs": [job] * 3, "total": 3}]
    lines = say("list", "--limit", "3").out.splitlines()

    assert len(lines) == 4
    assert max(map(len, lines)) <= 80
    assert all("nightly-build-o…" in row and "a long" in row for row in lines[1:])


def test_times_of_today_are_short_on_a_terminal_only(monkeypatch):
    now = datetime.now(UTC)
    today, last_year = now.isoformat(), now.replace(year=now.year - 1, day=1).isoformat()

    assert len(output.short_time(today)) == 19
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert output.short_time(today) == f"{now:%H:%M:%S}"
    assert output.short_time(last_year) == f"{now.year - 1}-{now:%m}-01"
    assert output.short_time(None) == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [([], "no pending or running jobs; finished ones: dispatcher list --all"), (["--all"], "no such jobs")],
)
def test_nothing_to_list_is_said(scripted, say, arguments, sentence):
    scripted.script["dispatcher.list"] = [{"jobs": [], "total": 0}]

    assert say("list", *arguments).err.startswith(sentence)


def test_show_tells_everything_about_a_job(scripted, say):
    job = finished(reason="because", ended_by="KILL")
    job["commands"][1]["signal"] = "SIGKILL"
    scripted.script["dispatcher.show"] = [job]
    out = say("show", "7").out

    assert "state       failed\n" in out
    assert "reason      because\n" in out
    assert "ended by    KILL\n" in out
    assert "1     0  1.0 s  pkg update  [left in the background: sshd (pid 77)]" in out
    assert "2     3   58 s  pkg upgrade -y  [SIGKILL; 7 bytes of its log were cut out]" in out


def test_the_end_of_a_watched_job_is_one_sentence(scripted, say):
    job = finished()
    job["commands"][1]["signal"] = "SIGSEGV"
    scripted.script["dispatcher.wait"] = [job]

    assert say("wait", "7").out == "job 7 (build-7): failed, pkg upgrade -y (code 3, SIGSEGV), after 59 s\n"


def test_run_says_where_the_job_is_and_warns_of_a_question(scripted, say):
    scripted.script["dispatcher.submit"] = [{**pending(), "attached": False}, {**pending(), "attached": True}]
    first = say("run", "--", "pkg", "upgrade")
    second = say("run", "--", "pkg", "upgrade", "-y")

    assert first.out == "job 7 (build-7) is pending in pkg_queue\n"
    assert "warning: pkg upgrade asks before it acts" in first.err
    assert "add -y" in first.err
    assert second == (0, "job 7 (build-7) is pending in pkg_queue; it was there already\n", "")


def test_no_warning_about_a_job_that_was_refused(scripted, say):
    scripted.script["dispatcher.submit"] = [Failure("EBUSY", "no")]

    assert say("run", "--", "pkg", "upgrade").err == "dispatcher: no\n"


def test_a_job_that_is_being_stopped_or_out_of_reach_is_shown_as_such():
    stop = {"at": "2026-11-22T05:57:00.123Z", "by": "root", "reason": "killed"}

    assert output.standing(running(stop=stop)) == "running, stopping"
    assert output.standing(running(stop=stop, unreachable=True)) == "running, unreachable"


def test_an_event_is_one_line(scripted, say, monkeypatch):
    monkeypatch.setattr(connection, "RESTART_SECONDS", 0.0)
    scripted.script["dispatcher.events"] = [{"last": 9, "truncated": 5}]
    told = [event(3, pending()), event(8, running()), event(9, finished()), None]
    scripted.then["dispatcher.events"] = [told]
    said = say("events", "--since", "2")

    assert said.out.splitlines() == [
        "3  2026-11-22 05:56:59  job 7 (build-7)  pkg_queue  pending",
        "8  2026-11-22 05:57:01  job 7 (build-7)  pkg_queue  running  2/2 pkg upgrade -y",
        "9  2026-11-22 05:57:59  job 7 (build-7)  pkg_queue  failed  code 3",
    ]
    assert "the first event kept is 5" in said.err


def test_waiting_on_a_terminal_shows_a_bar_and_ends_with_the_sentence(scripted, say, monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    scripted.script["dispatcher.events"] = [{"last": 9, "truncated": None}]
    scripted.then["dispatcher.events"] = [[event(8, running()), None], [event(9, finished())]]
    said = say("wait", "7")

    assert said.status == 3
    assert said.out == "job 7 (build-7): failed, pkg upgrade -y (code 3), after 59 s\n"
    assert scripted.params("dispatcher.events") == [{"job": 7, "since": 0}] * 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12, "12 s"), (245, "4:05"), (7389, "2:03:09"), (262800, "3 d 01:00")],
)
def test_durations(seconds, text):
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21", "2026-11-21T00:00:00.000Z"),
        ("2026-11-21 22:00", "2026-11-21T22:00:00.000Z"),
        ("2026-11-21T22:00:00+02:00", "2026-11-21T20:00:00.000Z"),
    ],
)
def test_written_times(text, instant):
    assert read_time(text) == instant


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600)]
)
def test_times_ago(text, seconds):
    ago = datetime.now(UTC) - datetime.fromisoformat(read_time(text))

    assert abs(ago - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_yesterday_begins_at_midnight():
    yesterday, today = (datetime.fromisoformat(read_time(day)) for day in ("yesterday", "today"))

    assert today - yesterday == timedelta(days=1)
    assert re.search("T00:00:00.000Z$", read_time("today"))
