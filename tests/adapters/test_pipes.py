"""Pipes of jobs: from who offers them, by the pool, to a worker; results and progress the way back."""

import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from dispatcher.core import messages as m
from dispatcher.core.model import Job, Outcome, Progress, ResultKind, Task
from dispatcher.runner.pipes import Pipes
from dispatcher.runner.worker_link import WorkerLink
from tests.adapters.workers import House, Worker, house, running_job

UPLOAD = Task("config.upload", input=True)
DOWNLOAD = Task("config.save", output=True)
BOTH = Task("convert", input=True, output=True, has_progress_fd=True)


def job_with(task: Task | None, number: int, worker: int, *commands: tuple[str, ...], **more: Any) -> Job:
    job = running_job(number, worker, 3, *commands)
    return replace(job, submission=replace(job.submission, task=task, **more))


def offer_upload(pipes: Pipes, job: Job) -> int:
    """Make the pipe of an upload; return the end that it is written to."""
    reader, writer = os.pipe()
    pipes.offer(job.key, stdin=reader, keeper=os.dup(writer))
    return writer


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
async def it(tmp_path_factory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("w")) as it:
        yield it


# --- who has which end -------------------------------------------------------------------------


def test_what_was_offered_is_given_until_it_is_withdrawn_and_then_closed():
    pipes, job = Pipes(), job_with(BOTH, 7, 5)
    reader, keeper = os.pipe()
    out_reader, stdout = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(stdout, False)
    pipes.offer(job.key, stdin=reader, keeper=keeper, stdout=stdout)

    given = pipes.ends(job).named
    blocking = [os.get_blocking(one) for one in (reader, stdout)]
    pipes.end_input(job.key)
    without_keeper = pipes.ends(job).named
    pipes.withdraw(job.key)
    pipes.withdraw(job.key)
    pipes.end_input(job.key)

    assert given == {"stdin": reader, "keeper": keeper, "stdout": stdout}
    assert blocking == [True, True], "commands know no other kind"
    assert without_keeper == {"stdin": reader, "stdout": stdout}
    assert [is_open(one) for one in given.values()] == [False] * 3
    os.close(out_reader)


def test_a_new_offer_and_the_end_close_what_was_there():
    pipes = Pipes()
    first, second = os.pipe()
    pipes.offer("key", stdin=first)
    pipes.offer("key", stdout=second)
    offered_again = is_open(first), is_open(second)
    pipes.close()

    assert offered_again == (False, True)
    assert not is_open(second)


@pytest.mark.parametrize(("task", "what"), [(UPLOAD, "upload"), (DOWNLOAD, "download"), (BOTH, "upload")])
def test_a_job_whose_pipes_are_gone_has_a_sentence_for_that(task, what):
    with pytest.raises(LookupError, match=f"^its {what} ended with the restart of the dispatcher$"):
        Pipes().ends(job_with(task, 7, 5))


@pytest.mark.parametrize("task", [None, Task("plain")])
def test_other_jobs_have_no_ends(task):
    assert Pipes().ends(job_with(task, 7, 5)).named == {}


@pytest.mark.parametrize(
    ("fact", "closes"),
    [
        (m.Taken(7, 5, 1.0), False),
        (m.JobReturned(7, 5, 3, 1.0), False),
        (m.CommandStarted(8, 5, 0, 99, 0, 1.0), False),
        (m.CommandStarted(7, 5, 0, 99, 0, 1.0), True),
        (m.JobEnded(7, 5, Outcome.KILLED, 1.0), True),
        (m.JobLost(7, 5, "gone", 1.0), True),
    ],
)
def test_the_ends_are_kept_until_the_job_has_begun_or_will_not(fact, closes):
    pipes, job = Pipes(), job_with(DOWNLOAD, 7, 5)
    reader, writer = os.pipe()
    pipes.offer(job.key, stdout=writer)

    pipes.follow([fact], {7: job})

    assert is_open(writer) is not closes
    pipes.close()
    os.close(reader)


# --- on the wire ---------------------------------------------------------------------------------


async def test_descriptors_leave_with_their_line_and_are_copies():
    ours, theirs = socket.socketpair()
    link = WorkerLink(ours)
    reader, writer = os.pipe()
    link.put({"plain": 1})
    link.put({"fed": 2}, [reader])
    link.put({"plain": 3})
    link.put({"fed": 4}, [writer, reader])
    link.put({"plain": 5})
    os.close(reader)
    os.close(writer)
    link.flush()

    lines = b'{"plain":1}\n{"fed":2}\n{"plain":3}\n{"fed":4}\n{"plain":5}\n'
    got: list[tuple[bytes, int]] = []
    came: list[int] = []
    theirs.settimeout(10)
    while sum(len(data) for data, _ in got) < len(lines):
        data, descriptors, _, _ = socket.recv_fds(theirs, 65536, 8)
        got.append((data, len(descriptors)))
        came += descriptors
    os.write(came[1], b"through")

    assert b"".join(data for data, _ in got) == lines
    assert [count for data, count in got if b"fed" in data] == [1, 2]
    assert os.read(came[0], 99) == b"through"
    for one in came:
        os.close(one)
    link.close()
    theirs.close()


async def test_what_cannot_be_sent_is_closed_with_the_connection():
    ours, theirs = socket.socketpair()
    link = WorkerLink(ours)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    reader, writer = os.pipe()
    link.put({"much": "x" * 1_000_000})
    link.put({"fed": 1}, [writer])
    os.close(writer)
    link.flush()
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)  # the copy that waits to be sent keeps it open

    link.close()

    assert os.read(reader, 1) == b""
    os.close(reader)
    theirs.close()


async def test_descriptors_for_a_dead_worker_are_closed():
    ours, theirs = socket.socketpair()
    link = WorkerLink(ours)
    reader, writer = os.pipe()
    theirs.close()
    link.put({"fed": 1}, [writer])
    os.close(writer)
    link.flush()

    assert os.read(reader, 1) == b""
    os.close(reader)
    link.close()


# --- the pool, with workers that the test plays ----------------------------------------------------


async def test_a_job_that_comes_back_goes_to_the_next_worker_with_the_same_pipes(it):
    job = job_with(UPLOAD, 7, 5)
    writer = offer_upload(it.pool.pipes, job)
    it.pool.start(job)
    async with it.worker(5) as first:
        order = await first.order()
        assert order["streams"] == {"descriptors": ["stdin", "keeper"]}
        await first.say(first.fact("returned", 7, handover=3))
        await it.until(lambda: it.facts(m.JobReturned))
    it.pool.start(job_with(UPLOAD, 7, 6))
    async with it.worker(6) as second:
        await second.order()
        os.write(writer, b"all of it")
        stdin, keeper = second.descriptors
        os.close(writer)
        it.pool.end_input(7, job.key)
        ended = await second.order()
        began = second.fact("started", 7, command=0, pid=99, start=1, log=0)
        await second.say(second.fact("taken", 7), began)
        await it.until(lambda: it.facts(m.CommandStarted))
        os.close(keeper)
        second.descriptors.remove(keeper)

        assert ended == {"do": "end_input", "job": 7}
        assert os.read(stdin, 99) == b"all of it"
        assert os.read(stdin, 99) == b"", "no copy of the other end is left"


async def test_input_that_ends_before_the_job_is_handed_over_needs_no_keeper(it):
    job = job_with(UPLOAD, 7, 5)
    os.close(offer_upload(it.pool.pipes, job))
    it.pool.end_input(7, job.key)
    it.pool.start(job)
    async with it.worker(5) as worker:
        order = await worker.order()

        assert order["streams"] == {"descriptors": ["stdin"]}
        assert os.read(worker.descriptors[0], 1) == b""


async def test_a_job_whose_pipes_are_gone_fails_and_its_worker_has_nothing_to_do(it):
    it.pool.start(job_with(DOWNLOAD, 7, 5))
    async with it.worker(5):
        await it.until(lambda: it.facts(m.WorkerReported))

    *_, started, ended, done = it.facts(m.Taken, m.CommandStarted, m.CommandEnded, m.JobEnded)
    assert (started.command, started.pid) == (0, None)
    assert (ended.end.code, ended.end.error) == (-1, "its download ended with the restart of the dispatcher")
    assert (done.job, done.worker, done.outcome) == (7, 5, Outcome.FAILED)
    report = it.facts(m.WorkerReported)[0]
    assert (report.known, report.missing) == ((), ())


async def test_a_job_fails_when_its_pipes_cannot_be_copied(it, monkeypatch):
    job = job_with(UPLOAD, 7, 5)
    os.close(offer_upload(it.pool.pipes, job))

    def dup(_descriptor: int) -> int:
        raise OSError(24, "Too many open files")

    it.pool.start(job)
    monkeypatch.setattr("dispatcher.runner.worker_link.os.dup", dup)
    async with it.worker(5):
        await it.until(lambda: it.facts(m.JobEnded))

    assert "Too many open files" in it.facts(m.CommandEnded)[0].end.error


async def test_the_pipes_of_a_job_that_is_lost_are_closed(it):
    job = job_with(DOWNLOAD, 7, 5)
    reader, writer = os.pipe()
    it.pool.pipes.offer(job.key, stdout=writer)
    it.pool.start(job)
    async with it.worker(5) as worker:
        await worker.order()
        worker.fact("taken", 7)
    await it.until(lambda: it.facts(m.JobLost))

    assert os.read(reader, 1) == b""
    os.close(reader)


async def test_progress_is_a_fact_that_needs_no_acknowledgement_and_the_end_has_the_last(it):
    it.pool.start(job_with(None, 7, 5))
    async with it.worker(5) as worker:
        await worker.order()
        await worker.say({"progress": 7, "percent": 10, "description": "one", "extra": "[1]"})
        await it.until(lambda: it.facts(m.Progressed))
        last: dict[str, Any] = {"percent": 100, "description": "", "extra": ""}
        await worker.say(worker.fact("done", 7, outcome="success", by=None, result="out", **last))
        await it.until(lambda: it.facts(m.JobEnded))
        acknowledged = await worker.order()

    assert it.facts(m.Progressed) == [m.Progressed(7, 5, Progress(10, "one", "[1]"))]
    assert it.facts(m.JobEnded) == [
        m.JobEnded(7, 5, Outcome.SUCCESS, 3.0, result="out", progress=Progress(100)),
    ]
    assert acknowledged == {"do": "ack", "seq": 1}, "and nothing before it"


async def test_a_dead_workers_journal_has_the_result_and_the_last_progress(it):
    worker = Worker(it.place, 5)
    worker.fact("taken", 7)
    worker.fact("done", 7, outcome="success", by=None, result="ü", percent=99, description="d", extra="")
    await worker.die()
    it.pool.adopt([job_with(None, 7, 5)])
    await it.until(lambda: it.facts(m.JobEnded))

    ended = it.facts(m.JobEnded)[0]
    assert (ended.result, ended.progress) == ("ü", Progress(99, "d"))


@pytest.mark.parametrize(
    ("task", "stdin", "streams"),
    [
        (None, None, None),
        (Task("plain"), None, None),
        (None, "text", {"stdin": "text"}),
        (Task("t", result=ResultKind.JSON), None, {"keeps_stdout": True}),
        (
            Task("t", result=ResultKind.STDOUT, pattern="x"),
            "",
            {"stdin": "", "keeps_stdout": True, "pattern": "x"},
        ),
        (Task("t", has_progress_fd=True), None, {"progress_fd": True}),
    ],
)
async def test_an_order_says_what_its_commands_read_and_write_only_if_there_is_something(
    it, task, stdin, streams
):
    it.pool.start(job_with(task, 7, 5, stdin=stdin))
    async with it.worker(5) as worker:
        order = await worker.order()

    assert order.get("streams") == streams


# --- the pool, with real workers -------------------------------------------------------------------


async def test_a_file_goes_in_and_another_comes_out(tmp_path_factory, nursery):
    it = House(tmp_path_factory.mktemp("w"))
    it.pool.report_to(it.post)
    await nursery.start(it.pool.run)
    job = job_with(replace(BOTH, result=ResultKind.STDOUT), 7, 5, ("tr", "a-z", "A-Z"), ("cat",))
    reader, writer = os.pipe()
    out_reader, out_writer = os.pipe()
    it.pool.pipes.offer(job.key, stdin=reader, keeper=os.dup(writer), stdout=out_writer)
    it.pool.start(job)
    it.pool.flush()
    text = b"some words\n" * 50_000

    async def upload() -> None:
        async with trio.lowlevel.FdStream(writer) as stream:
            await stream.send_all(text)
        it.pool.end_input(7, job.key)

    nursery.start_soon(upload)
    with trio.fail_after(10):
        async with trio.lowlevel.FdStream(out_reader) as stream:
            came = b"".join([piece async for piece in stream])
    await it.until(lambda: it.facts(m.JobEnded))
    it.pool.end(5)
    it.pool.flush()
    await it.until(lambda: not it.pool._links)

    assert came == text.upper()
    ended = it.facts(m.JobEnded)[0]
    assert (ended.outcome, ended.result) == (Outcome.SUCCESS, "")
