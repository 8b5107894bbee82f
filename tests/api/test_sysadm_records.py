"""The flat record of a job: keys in each state, keys that nobody can forge, and log text within its caps."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.api.sysadm.records import (
    CODES,
    FIXED,
    Span,
    command_keys,
    local_time,
    read_text,
    record,
    spans,
)
from dispatcher.core.model import Command, CommandRun, Finished, Outcome, Running
from tests.api.told_jobs import T0, finished, pending, running

BIG = 10**9


def commands(*texts):
    return [Command((text,), text) for text in texts]


def sizes(parts):
    return [part.end - part.start for part in parts]


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_pending_record_has_three_keys():
    assert record(pending(1, "a", "b"), []) == {
        "cmd_list": ["a", "b"],
        "process_id": "build",
        "state": "pending",
    }


def test_a_job_killed_while_pending_has_no_start_and_no_code():
    job = finished(pending(1, "a", "b"), 2, outcome=Outcome.KILLED)

    assert record(job, []) == {
        "cmd_list": ["a", "b"],
        "outcome": "killed",
        "process_id": "build",
        "state": "finished",
        "time_finished": "2026-11-22T04:22:48",
    }


def test_the_first_failure_ends_the_keys():
    job = finished(pending(1, "a", "b"), 4, 2, outcome=Outcome.FAILED, code=137)

    found = record(job, ["x\n"])

    assert found["return_codes/a"] == "137"
    assert found["outcome"] == "failed"
    assert not {"b", "return_codes/b"} & set(found)


def test_a_command_whose_end_nobody_saw_has_code_minus_one():
    running_job = running(pending(1, "a", "b"), 3, 2)
    job = type(running_job)(
        1, running_job.submission, T0, Finished(Outcome.LOST, T0 + 3, T0), running_job.runs, 4
    )

    assert record(job, ["x", "y"])["return_codes/b"] == "-1"


def test_the_same_command_twice_gets_a_number_for_text_code_and_current_command():
    job = running(pending(1, "echo q", "echo q", "echo q"), 3, 2, 4)

    found = record(job, ["q\n", "q\n", ""])

    assert found["echo q (2)"] == "q\n"
    assert found["return_codes/echo q (2)"] == "0"
    assert found["current_cmd"] == "echo q (3)"
    assert found["cmd_list"] == ["echo q", "echo q", "echo q"]


@pytest.mark.parametrize("text", sorted(FIXED))
def test_a_command_named_like_a_fixed_key_forges_nothing(text):
    job = finished(pending(1, text), 3, 2)

    found = record(job, ["forged"])

    assert found[f"{text} (2)"] == "forged"
    assert found.get(text) != "forged"


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        (("state", "state"), ["state (2)", "state (3)"]),
        (("return_codes/a", "a"), ["return_codes/a (2)", "a"]),
        (("a", "return_codes/a"), ["a", "return_codes/a (2)"]),
        (("return_codes/a", "a (2)"), ["return_codes/a (2)", "a (2) (2)"]),
        (("a (2)", "a", "a"), ["a (2)", "a", "a (3)"]),
        (("a", "a", "a (2)"), ["a", "a (2)", "a (2) (2)"]),
    ],
)
def test_keys_are_numbered_until_they_are_free(texts, keys):
    assert command_keys(commands(*texts)) == keys


TEXTS = st.sampled_from(
    ["a", "a (2)", "a (3)", "state", "state (2)", CODES + "a", CODES + "a (2)", CODES + CODES + "a"]
)


@given(st.lists(TEXTS, max_size=12))
def test_no_two_keys_of_a_record_are_ever_the_same(texts):
    keys = command_keys(commands(*texts))

    everything = [*keys, *(CODES + key for key in keys), *FIXED]
    assert len(everything) == len(set(everything))


def test_a_thousand_equal_commands_are_numbered_in_one_pass():
    assert command_keys(commands(*["x"] * 1000))[-1] == "x (1000)"


# --- log text -------------------------------------------------------------------------------


def test_a_job_that_has_just_started_shows_its_first_command_with_what_is_there():
    job = running(pending(1, "a", "b"), 2)

    assert spans(job, 0, BIG, BIG) == [Span(0, 0, 0, is_whole=False)]
    assert spans(job, 7, BIG, BIG) == [Span(0, 7, 0, is_whole=False)]
    assert record(job, ["x"])["current_cmd"] == "a"


def test_between_two_commands_the_next_one_is_shown():
    job = running(pending(1, "a", "b"), 2, 5)
    job = type(job)(1, job.submission, T0, job.phase, job.runs[:1], 2)

    assert sizes(spans(job, 5, BIG, BIG)) == [5, 0]
    assert record(job, ["x", ""])["current_cmd"] == "b"


def test_after_the_last_command_nothing_more_is_shown():
    job = running(pending(1, "a"), 2, 5)
    job = type(job)(1, job.submission, T0, job.phase, job.runs[:1], 2)

    assert sizes(spans(job, 5, BIG, BIG)) == [5]
    assert record(job, ["x"])["current_cmd"] == "a"


def test_the_tail_of_a_long_output_is_kept():
    job = finished(pending(1, "a"), 2, 1000)

    assert spans(job, 0, 100, BIG) == [Span(900, 1000, 900)]


def test_the_oldest_commands_are_shortened_first():
    job = finished(pending(1, "a", "b", "c"), 2, 100, 200, 300)

    found = spans(job, 0, 80, 130)

    assert sizes(found) == [0, 50, 80]
    assert [part.cut for part in found] == [100, 50, 20]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 60), st.integers(1, 120))
def test_no_cap_is_ever_broken_and_no_byte_forgotten(lengths, command_bytes, event_bytes):
    ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    job = finished(pending(1, *(f"c{place}" for place in range(len(lengths)))), 2, *ends)

    found = spans(job, 0, command_bytes, event_bytes)

    assert max(sizes(found)) <= command_bytes
    assert sum(sizes(found)) <= event_bytes
    assert [part.end - part.start + part.cut for part in found] == lengths


def test_the_first_line_says_how_much_was_cut():
    text = read_text(Span(900, 903, 900), b"abc")

    assert text == "[900 bytes were cut here; the job's log has them]\nabc"


def test_bytes_that_are_no_text_are_replaced():
    assert read_text(Span(0, 4), b"a\xffb\0") == "a\ufffdb\ufffd"


def test_a_character_that_is_not_wholly_there_yet_is_left_out():
    data = "é€".encode()[:-1]

    assert read_text(Span(0, 4, 0, is_whole=False), data) == "é"
    assert read_text(Span(0, 4), data) == "é\ufffd"


def test_a_character_that_the_cap_cut_in_two_is_left_out():
    assert read_text(Span(1, 4, 1), "€x".encode()[1:]).endswith("\nx")


def test_times_are_local_without_zone_and_fraction():
    assert local_time(T0 + 0.9) == "2026-11-22T04:22:45"


def test_a_run_without_end_in_a_running_job_has_no_code():
    job = pending(1, "a")
    job = type(job)(1, job.submission, T0, Running(T0, 1, "b"), (CommandRun(T0, 9, 0),), 2)

    assert set(record(job, ["x"])) == {"a", "cmd_list", "current_cmd", "process_id", "state", "time_started"}
