"""Excerpts of logs: all of a short one, both ends of a long one, read once."""

import threading

import pytest

from dispatcher.api.truenas import excerpts as module
from dispatcher.api.truenas.excerpts import Excerpts, excerpt_of
from dispatcher.logs.reading import log_path
from tests.api.told_jobs import finished, pending, running


def lines(first: int, last: int) -> str:
    return "".join(f"line {number}\n" for number in range(first, last + 1))


def log_of(folder, job, text):
    """Write the log of a job; give the job as it is when it has finished."""
    data = text.encode() if isinstance(text, str) else text
    path = log_path(folder, job.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return finished(job, 3, len(data))


async def read(folder, job):
    excerpts = Excerpts(lambda: folder)
    assert excerpts.wants(job)
    await excerpts.read([job])
    assert not excerpts.wants(job)
    known = excerpts.known(job)
    assert known is not None
    return known


async def test_twenty_lines_are_shown_whole_and_their_last_ten_are_the_tail(tmp_path):
    excerpt = await read(tmp_path, log_of(tmp_path, pending(1, "a"), lines(1, 20)))

    assert excerpt.text == lines(1, 20).rstrip()
    assert excerpt.tail == lines(11, 20).rstrip()


async def test_of_more_lines_ten_of_each_end_are_shown_and_the_rest_is_counted(tmp_path):
    excerpt = await read(tmp_path, log_of(tmp_path, pending(1, "a"), lines(1, 21)))

    assert excerpt.text == f"{lines(1, 10)}... 1 more lines ...\n{lines(12, 21)}".rstrip()


async def test_of_a_long_log_only_the_ends_are_read_and_all_lines_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WHOLE", 400)
    monkeypatch.setattr(module, "PIECE", 1000)

    excerpt = await read(tmp_path, log_of(tmp_path, pending(1, "a"), lines(1, 5000)))

    assert excerpt.text == f"{lines(1, 10)}... 4980 more lines ...\n{lines(4991, 5000)}".rstrip()
    assert excerpt.tail == lines(4991, 5000).rstrip()


async def test_of_lines_as_long_as_that_their_pieces_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WHOLE", 400)

    one = await read(tmp_path, log_of(tmp_path, pending(1, "a"), "x" * 1000))
    three = await read(tmp_path, log_of(tmp_path, pending(2, "a"), "a" * 500 + "\nmiddle\n" + "b" * 500))

    assert one.text == "x" * 200 + "\n" + "x" * 200
    assert three.text == "a" * 200 + "\n... 1 more lines ...\n" + "b" * 200
    assert three.tail == "b" * 200


@pytest.mark.parametrize(
    ("log", "text"),
    [
        ("", ""),
        ("no end", "no end"),
        ("a\n\nb\n", "a\n\nb"),
        (b"caf\xc3\xa9 \xff\n", "café \ufffd"),
        ("x" * 501, "x" * 500 + "..."),
    ],
)
async def test_whatever_was_written_can_be_shown(log, text, tmp_path):
    assert (await read(tmp_path, log_of(tmp_path, pending(1, "a"), log))).text == text


async def test_a_log_that_is_gone_is_empty(tmp_path):
    job = finished(pending(1, "a"), 3, 100)

    assert (await read(tmp_path, job)).text == ""


async def test_nothing_is_read_of_a_job_that_has_no_log_or_goes_on(tmp_path):
    excerpts = Excerpts(lambda: tmp_path)
    never_ran = finished(pending(1, "a"), 3)
    going = running(pending(2, "a"), 2, 10)

    await excerpts.read([never_ran, going])

    assert [excerpts.known(one) for one in (never_ran, going)] == [None, None]


async def test_a_log_is_read_once_in_a_thread_and_the_oldest_excerpt_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 2)
    readers: list[str] = []

    def read_all(folder, jobs):
        readers.append(threading.current_thread().name)
        return {job.number: excerpt_of(b"x") for job in jobs}

    monkeypatch.setattr(module, "_read_all", read_all)
    excerpts = Excerpts(lambda: tmp_path)
    jobs = [finished(pending(number, "a"), 3, 1) for number in (1, 2, 3)]

    for job in jobs:
        await excerpts.read([job])
        await excerpts.read([job])

    assert len(readers) == 3
    assert threading.main_thread().name not in readers
    assert [excerpts.wants(job) for job in jobs] == [True, False, False]
