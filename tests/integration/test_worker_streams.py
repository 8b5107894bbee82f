"""A real worker whose commands read and write more than a log: stdin, a result, pipes, their progress."""

import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dispatcher.runner.progress import TELL_SECONDS
from dispatcher.runner.streams import BROKE_OFF, RESULT_BYTES
from tests.integration.fake_supervisor import Connection, FakeSupervisor, Line, sh

PERCENT = {"pattern": r"(?P<percent>[0-9.]+)%(?: (?P<description>\w+))?"}


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path_factory.mktemp("w"))
    yield fake
    fake.end()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A FIFO that a command reads one line from, to wait for the test.

    Good for one wait: who reads it twice may find it open still, and its end at once.
    """
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.fixture
def next_gate(tmp_path: Path) -> Path:
    """Another one, for the wait after that."""
    path = tmp_path / "next-gate"
    os.mkfifo(path)
    return path


def pid_of(worker: Connection) -> int:
    pid = [line["pid"] for line in worker.heard if "pid" in line and "fact" not in line][-1]
    assert isinstance(pid, int)
    return pid


def held(worker: Connection) -> list[str]:
    """Name what the worker has open; numbers of pipes and sockets are left out."""
    return sorted(
        os.readlink(path).split(":")[0]  # noqa: PTH115 (it is no path that is there)
        for path in Path(f"/proc/{pid_of(worker)}/fd").iterdir()
    )


def progresses(lines: list[Line]) -> list[tuple[object, ...]]:
    return [
        (line["percent"], line["description"], line["extra"])
        for line in lines
        if "progress" in line and "fact" not in line
    ]


def input_pipe() -> tuple[dict[str, int], int]:
    """Make the ends for an order, and the one that is written to."""
    reader, writer = os.pipe()
    return {"stdin": reader, "keeper": os.dup(writer)}, writer


def send_at_once(worker: Connection, ends: dict[str, int], *orders: dict[str, object]) -> None:
    """Send orders in one piece, the second with descriptors: none is taken before the last is read."""
    fed = orders[1] | {"streams": {"descriptors": list(ends)}}
    piece = b"".join(json.dumps(line).encode() + b"\n" for line in (orders[0], fed, *orders[2:]))
    socket.send_fds(worker.sock, [piece], list(ends.values()))
    for end in ends.values():
        os.close(end)


# --- stdin and stdout ------------------------------------------------------------------------


def test_the_first_command_reads_the_text_and_the_next_one_nothing(supervisor):
    worker = supervisor.worker()
    text = "a secret: ü\n" + "x" * 200_000

    worker.run(supervisor.order(7, ["cat"], streams={"stdin": text}))
    worker.run(supervisor.order(8, ["true"], sh("wc -c"), streams={"stdin": text}))

    assert supervisor.log(7).read_text() == text
    assert supervisor.log(8).read_text() == "0\n"
    assert [path.name for path in (supervisor.state_dir / "spool").iterdir()] == ["1.journal"]


def test_a_text_that_cannot_be_written_down_fails_the_job_with_a_sentence(supervisor):
    worker = supervisor.worker()
    (supervisor.state_dir / "spool").rename(supervisor.state_dir / "elsewhere")

    facts = worker.run(supervisor.order(7, ["cat"], streams={"stdin": "text"}))

    assert facts[2]["error"].startswith("cannot start 'cat': what it is to read cannot be written to ")
    assert facts[-1]["outcome"] == "failed"


def test_stdout_is_the_result_and_the_log_has_all_in_order_of_arrival(supervisor, gate, next_gate):
    worker = supervisor.worker()
    first = f"echo one; read x <{gate}; echo two >&2; read x <{next_gate}; echo three"
    worker.send(**supervisor.order(7, sh(first), sh("printf 'fo\\377ur'"), streams={"keeps_stdout": True}))
    for length, one in ((4, gate), (8, next_gate)):
        worker.until(lambda line, length=length: line.get("length") == length)
        one.write_text("go\n")

    done = worker.facts_until("done", 7)[-1]

    assert done["result"] == "one\nthree\nfo\ufffdur"
    assert supervisor.log(7).read_bytes() == b"one\ntwo\nthree\nfo\xffur"
    assert supervisor.journal()[-1] == done


def test_a_job_that_fails_has_no_result_and_one_that_says_nothing_an_empty_one(supervisor):
    worker = supervisor.worker()

    failed = worker.run(supervisor.order(7, sh("echo one; exit 3"), streams={"keeps_stdout": True}))
    silent = worker.run(supervisor.order(8, sh("echo one >&2"), streams={"keeps_stdout": True}))

    assert "result" not in failed[-1]
    assert silent[-1]["result"] == ""


def test_of_much_stdout_the_first_mebibyte_is_the_result_and_the_log_says_so_once(supervisor):
    worker = supervisor.worker()
    much = [sys.executable, "-c", f"print('x' * {RESULT_BYTES}, end='y')"]

    facts = worker.run(supervisor.order(7, much, ["echo", "z"], streams={"keeps_stdout": True}, cap=1 << 24))

    assert facts[-1]["result"] == "x" * RESULT_BYTES
    said = supervisor.log(7).read_text().lstrip("x")
    assert said == f"y\n[dispatcher: of stdout, the first {RESULT_BYTES} bytes are the result]\nz\n"


def test_leftovers_that_hold_either_pipe_are_left_alone_and_in_no_result(supervisor, tmp_path, gate):
    worker = supervisor.worker()
    here = tmp_path / "here"
    os.mkfifo(here)
    before = held(worker)
    late = f"read x <{gate}; echo late; echo late >&2; echo done >{here}"

    facts = worker.run(
        supervisor.order(
            7,
            sh(f"({late}) 2>/dev/null & echo one"),
            sh("sleep 60 >/dev/null & echo two >&2"),
            sh("echo three"),
            streams={"keeps_stdout": True},
        )
    )
    gate.write_text("go\n")

    assert here.read_text() == "done\n", "it was not ended by a closed pipe"
    assert facts[-1]["result"] == "one\nthree\n"
    assert supervisor.log(7).read_text() == "one\ntwo\nthree\n"
    assert len([line for line in worker.heard if "pid" in line and "fact" not in line]) == 3
    assert held(worker) == before


# --- progress --------------------------------------------------------------------------------


def test_progress_is_found_in_both_streams_and_the_last_is_told_before_the_end(supervisor, gate):
    worker = supervisor.worker()
    wait = f"read x <{gate}"
    command = sh(f"printf '10.5%% one\\r'; {wait}; echo 20% two >&2; echo 30% three; printf 99%%")
    streams = PERCENT | {"keeps_stdout": True}
    worker.send(**supervisor.order(7, command, streams=streams))

    first = worker.until(lambda line: "progress" in line)
    gate.write_text("go\n")
    rest = worker.until(lambda line: line.get("fact") == "done")

    done = rest[-1]
    assert progresses(first) == [(10, "one", "")]
    assert progresses(rest)[-1] == (done["percent"], done["description"], done["extra"])
    assert (done["percent"], done["description"]) == (99, rest[-2]["description"])
    assert len(progresses(rest)) <= 2
    assert supervisor.journal()[-1] == done


def test_progress_is_told_once_a_second_with_the_newest_values(supervisor, gate, next_gate):
    worker = supervisor.worker()
    command = sh(f"echo 10%; read x <{gate}; echo 20%; echo 30%; read x <{next_gate}")
    worker.send(**supervisor.order(7, command, streams=PERCENT))

    worker.until(lambda line: "progress" in line)
    began = time.monotonic()
    gate.write_text("go\n")
    second = worker.until(lambda line: "progress" in line)
    took = time.monotonic() - began
    next_gate.write_text("go\n")
    rest = worker.until(lambda line: line.get("fact") == "done")

    assert progresses(second) == [(30, "", "")]
    assert took > TELL_SECONDS * 0.5
    assert progresses(rest) == []


def test_commands_write_their_progress_to_a_descriptor_of_one_digit(supervisor, gate):
    worker = supervisor.worker()
    wait = f"read x <{gate}"
    words = f"echo 10 first >&$DISPATCHER_PROGRESS_FD; printf half; {wait}; echo bad >&3; echo worse >&3"
    look = "import os; print([fd for fd in range(99) if os.path.exists(f'/proc/self/fd/{fd}')], end='')"
    last = """printf '{"percent": 50.9, "extra": {"a": 1}}' >&3; exit 3"""
    commands = sh(words), [sys.executable, "-c", look], sh(last)
    worker.send(**supervisor.order(7, *commands, streams={"progress_fd": True}))
    worker.until(lambda line: line.get("length") == len("half"))
    gate.write_text("go\n")

    done = worker.facts_until("done", 7)[-1]

    assert (done["outcome"], done["percent"]) == ("failed", 50)
    assert (done["description"], done["extra"]) == ("first", '{"a": 1}')
    half, note, descriptors = supervisor.log(7).read_text().splitlines()
    assert half == "half"
    assert note.startswith("[dispatcher: cannot read the progress 'bad': write PERCENT [DESCRIPTION], or ")
    assert descriptors == "[0, 1, 2, 3]"


def test_a_plain_job_says_and_gets_nothing_of_all_that(supervisor):
    worker = supervisor.worker()
    worker.run(supervisor.order(6, ["true"], streams={"progress_fd": True}))
    look = "import os; print(sorted(os.environ), os.path.exists('/proc/self/fd/3'))"

    facts = worker.run(supervisor.order(7, sh("echo 10%"), [sys.executable, "-c", look]))

    assert set(facts[-1]) == {"fact", "seq", "job", "outcome", "by", "at", "mono"}
    said = supervisor.log(7).read_text()
    assert "PROGRESS" not in said
    assert said.endswith("False\n")


def test_progress_is_told_again_to_the_next_supervisor(supervisor, gate):
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh(f"echo 10%; read x <{gate}"), streams=PERCENT))
    worker.until(lambda line: "progress" in line)
    supervisor.die()

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    again = worker.until(lambda line: "progress" in line)
    gate.write_text("go\n")
    done = worker.facts_until("done", 7)[-1]

    kinds = [line.get("fact") for line in again if "hello" not in line and "log" not in line]
    assert kinds[-1] is None, "not before the facts of the job"
    assert progresses(again) == [(10, "", "")]
    assert done["percent"] == 10


def test_a_pattern_that_is_none_is_said_in_the_log(supervisor):
    worker = supervisor.worker()

    facts = worker.run(supervisor.order(7, ["echo", "1%"], streams={"pattern": "(?P<percent>"}))

    assert facts[-1]["outcome"] == "success"
    assert supervisor.log(7).read_text().startswith("[dispatcher: cannot find the progress by '(?P<percent>'")


# --- pipes -----------------------------------------------------------------------------------


def test_much_input_goes_to_the_command_and_not_through_the_worker(supervisor):
    worker = supervisor.worker()
    worker.run(supervisor.order(6, ["true"]))
    process = psutil.Process(pid_of(worker))
    before = process.memory_info().rss
    ends, writer = input_pipe()
    worker.send_with(ends, **supervisor.order(7, ["sha256sum"], ["wc", "-c"]))
    piece, pieces, digest = os.urandom(1 << 20), 50, hashlib.sha256()

    for _ in range(pieces):
        digest.update(piece)
        left = memoryview(piece)
        while left:
            left = left[os.write(writer, left) :]
    os.close(writer)
    worker.send(do="end_input", job=7)
    facts = worker.facts_until("done", 7)

    assert facts[-1]["outcome"] == "success"
    assert supervisor.log(7).read_text().split() == [digest.hexdigest(), "-", "0"]
    assert process.memory_info().rss - before < 2_000_000


def test_all_commands_in_turn_read_the_input_and_leftovers_do_not_keep_it_open(supervisor):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    order = supervisor.order(7, sh("read x; echo 1 $x"), sh("sleep 60 <&- & true"), sh("cat; echo over"))
    worker.send_with(ends, **order)
    os.write(writer, b"one\n")
    worker.until(lambda line: line.get("fact") == "started" and line.get("command") == 2)
    os.write(writer, b"two\n")
    worker.until(lambda line: line.get("length") == len("1 one\ntwo\n"))
    os.close(writer)
    assert "over" not in supervisor.log(7).read_text(), "the keeper keeps it open"
    worker.send(do="end_input", job=7)

    done = worker.facts_until("done", 7)[-1]

    assert done["outcome"] == "success"
    assert supervisor.log(7).read_text() == "1 one\ntwo\nover\n"


def test_the_end_of_the_input_may_come_before_its_job_begins(supervisor):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    os.write(writer, b"early\n")
    os.close(writer)
    fed = supervisor.order(8, ["cat"])
    send_at_once(worker, ends, supervisor.order(7, ["true"]), fed, {"do": "end_input", "job": 8})

    assert worker.facts_until("done", 8)[-1]["outcome"] == "success"
    assert supervisor.log(8).read_text() == "early\n"


def test_a_job_that_is_stopped_before_it_began_leaves_nothing_open(supervisor):
    worker = supervisor.worker()
    worker.run(supervisor.order(6, ["true"]))
    before = held(worker)
    ends, writer = input_pipe()
    fed = supervisor.order(8, ["cat"])
    send_at_once(worker, ends, supervisor.order(7, ["true"]), fed, {"do": "stop", "job": 8, "grace": 1})
    worker.facts_until("done", 7)

    assert [line["outcome"] for line in worker.heard if line.get("fact") == "done"] == [
        "success",
        "killed",
        "success",
    ]
    assert held(worker) == before
    os.close(writer)


def test_a_leftover_does_not_keep_the_input_of_the_next_job_open(supervisor):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    fed = supervisor.order(8, ["cat"])
    send_at_once(worker, ends, supervisor.order(7, sh("sleep 60 &")), fed)
    worker.facts_until("started", 8)
    os.close(writer)
    worker.send(do="end_input", job=8)

    assert worker.facts_until("done", 8)[-1]["outcome"] == "success"


def test_all_commands_in_turn_write_to_the_output_pipe_and_stderr_alone_to_the_log(supervisor):
    worker = supervisor.worker()
    reader, writer = os.pipe()
    streams = PERCENT | {"keeps_stdout": True}
    order = supervisor.order(7, sh("echo one; echo 40% >&2"), sh("echo two"), streams=streams)
    worker.send_with({"stdout": writer}, **order)
    with os.fdopen(reader) as file:
        came = file.read()  # to its end, which comes with that of the last command

    done = worker.facts_until("done", 7)[-1]

    assert came == "one\ntwo\n"
    assert supervisor.log(7).read_text() == "40%\n"
    assert done["percent"] == 40


def test_a_reader_that_has_gone_ends_the_command_that_writes_to_it(supervisor):
    worker = supervisor.worker()
    reader, writer = os.pipe()
    os.close(reader)
    worker.send_with({"stdout": writer}, **supervisor.order(7, ["yes"]))

    facts = worker.facts_until("done", 7)

    assert (facts[2]["signal"], facts[-1]["outcome"]) == ("SIGPIPE", "failed")


@pytest.mark.parametrize(
    ("at_term", "code", "later"),
    [("", 143, []), ("trap 'exit 0' TERM; ", 0, []), ("trap 'exit 0' TERM; ", 0, [["true"]])],
)
def test_a_supervisor_that_dies_in_the_middle_of_an_upload_is_no_end_of_the_input(
    supervisor, at_term, code, later
):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    command = sh(f"{at_term}echo ready; cat && echo whole")
    worker.send_with(ends, **supervisor.order(7, command, *later))
    os.write(writer, b"half\n")
    worker.until(lambda line: line.get("length") == len("ready\nhalf\n"))
    supervisor.die()
    os.close(writer)

    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    facts = worker.facts_until("done", 7)

    ended = [(fact["code"], fact["error"]) for fact in facts if fact["fact"] == "ended"]
    assert ended == [(code, BROKE_OFF), *((-1, BROKE_OFF) for _ in later)]
    assert (facts[-1]["outcome"], facts[-1]["by"]) == ("failed", None)
    assert "whole" not in supervisor.log(7).read_text()


def test_an_upload_that_is_complete_does_not_need_the_supervisor_any_more(supervisor, gate):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    worker.send_with(ends, **supervisor.order(7, sh(f"read x; echo $x; read y <{gate}; cat")))
    os.write(writer, b"one\ntwo\n")
    os.close(writer)
    worker.send(do="end_input", job=7)
    worker.until(lambda line: line.get("log") == 7 and "fact" not in line)
    supervisor.die()
    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    gate.write_text("go\n")

    assert worker.facts_until("done", 7)[-1]["outcome"] == "success"
    assert supervisor.log(7).read_text() == "one\ntwo\n"


def test_the_wish_to_stop_counts_more_than_a_broken_input(supervisor):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    stubborn = sh("trap '' TERM; echo ready; while :; do read x; done")
    worker.send_with(ends, **supervisor.order(7, stubborn, grace=60))
    worker.until(lambda line: line.get("log") == 7 and "fact" not in line)
    supervisor.die()
    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    worker.send(do="stop", job=7, grace=0)

    done = worker.facts_until("done", 7)[-1]
    os.close(writer)

    assert (done["outcome"], done["by"]) == ("killed", "KILL")


def test_a_job_with_pipes_that_was_given_back_leaves_nothing_open_and_can_come_again(supervisor):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    again = {name: os.dup(end) for name, end in ends.items()}
    worker.send(**supervisor.order(7, ["sleep", "60"]))
    worker.facts_until("started", 7)
    before = held(worker)
    worker.send_with(ends, **supervisor.order(8, ["cat"]))
    worker.facts_until("returned", 8)  # because 7 is long
    after = held(worker)
    worker.send(do="stop", job=7, grace=5.0)
    worker.facts_until("done", 7)
    worker.send_with(again, **supervisor.order(8, ["cat"], handover=2008))
    os.write(writer, b"once\n")
    os.close(writer)
    worker.send(do="end_input", job=8)

    assert worker.facts_until("done", 8)[-1]["outcome"] == "success"
    assert supervisor.log(8).read_text() == "once\n"
    assert after == before


def test_jobs_with_pipes_that_have_not_begun_are_given_back_when_the_supervisor_has_gone(supervisor):
    worker = supervisor.worker()
    process = psutil.Process(pid_of(worker))
    process.suspend()  # so that it reads the orders and the end together
    reader, writer = os.pipe()
    worker.send(**supervisor.order(7, ["true"]))
    worker.send_with({"stdout": writer}, **supervisor.order(8, ["echo", "begun"]))
    supervisor.die()
    process.resume()
    with os.fdopen(reader) as file:
        left = file.read()
    supervisor.listener = supervisor.listen()
    worker = supervisor.accept()
    said = worker.facts_until("done", 7)

    assert [fact["handover"] for fact in said if fact["fact"] == "returned"] == [1008]
    assert left == "", "nobody holds the other end"


def test_each_order_gets_its_own_descriptors_though_all_come_in_one_piece(supervisor):
    worker = supervisor.worker()
    readers = {}
    for job in (7, 8, 9):
        readers[job], writer = os.pipe()
        worker.send_with({"stdout": writer}, **supervisor.order(job, ["echo", str(job)]))
        worker.send(**supervisor.order(10 + job, ["true"]))
    worker.facts_until("done", 19)

    said = {}
    for job, reader in readers.items():
        with os.fdopen(reader) as file:
            said[job] = file.read()

    assert said == {7: "7\n", 8: "8\n", 9: "9\n"}


def test_an_order_whose_pipes_did_not_come_fails_with_a_sentence(supervisor):
    worker = supervisor.worker()

    facts = worker.run(supervisor.order(7, ["cat"], streams={"descriptors": ["stdin", "keeper"]}))

    assert (facts[2]["error"], facts[-1]["outcome"]) == ("its pipes did not come with it", "failed")


def test_a_worker_that_may_open_no_more_files_hangs_up_and_mixes_no_pipes(supervisor, gate):
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh(f"echo ready; read x <{gate}")))
    worker.until(lambda line: line.get("log") == 7 and "fact" not in line)
    process = psutil.Process(pid_of(worker))
    usual = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), usual[1]))
    ends, writer = input_pipe()
    worker.send_with(ends, **supervisor.order(8, ["cat"]))
    worker.until_closed()
    process.rlimit(psutil.RLIMIT_NOFILE, usual)
    worker = supervisor.accept()
    hello = worker.read()
    gate.write_text("go\n")
    os.close(writer)

    assert hello is not None
    assert hello["jobs"] == [7]
    assert worker.facts_until("done", 7)[-1]["outcome"] == "success"


def test_no_descriptor_is_left_open_whatever_becomes_of_a_job(supervisor):
    worker = supervisor.worker()
    worker.run(supervisor.order(1, ["true"]))
    before = held(worker)
    everything = PERCENT | {"keeps_stdout": True, "progress_fd": True, "stdin": "text"}
    worker.run(supervisor.order(2, ["cat"], ["false"], streams=everything))
    worker.run(supervisor.order(3, ["/no/such"], streams=everything))
    readers = []
    for job, command in ((4, ["cat"]), (5, ["/no/such"]), (6, ["sleep", "60"])):
        ends, writer = input_pipe()
        os.close(writer)
        reader, ends["stdout"] = os.pipe()
        readers.append(reader)
        twice = {name: os.dup(end) for name, end in ends.items()}
        order = supervisor.order(job, command, streams=PERCENT | {"progress_fd": True})
        worker.send_with(ends, **order)
        worker.send_with(twice, **order)
        if job == 6:
            worker.facts_until("started", 6)
            worker.send(do="stop", job=6, grace=5.0)
        else:
            worker.send(do="end_input", job=job)
        worker.facts_until("done", job)
    for reader in readers:
        os.close(reader)

    assert held(worker) == before


def test_a_command_that_closes_its_input_early_lets_the_writer_know(supervisor, gate):
    worker = supervisor.worker()
    ends, writer = input_pipe()
    worker.send_with(ends, **supervisor.order(7, sh(f"exec <&-; echo closed; read x <{gate}")))
    worker.until(lambda line: line.get("log") == 7 and "fact" not in line)

    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x" * 100_000)
    os.close(writer)
    gate.write_text("go\n")

    assert worker.facts_until("done", 7)[-1]["outcome"] == "success"
