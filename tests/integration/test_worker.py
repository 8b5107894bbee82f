"""A real worker with real commands: its facts, its journal, and what its commands get."""

import json
import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest

from dispatcher.runner import journal
from dispatcher.runner.command import Output
from tests.integration.fake_supervisor import (
    PATIENCE,
    Connection,
    FakeSupervisor,
    Line,
    sh,
    wait_until,
    without_times,
)


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor(tmp_path_factory.mktemp("w"))
    yield fake
    fake.end()


WITHDRAW_8 = b'{"do":"withdraw","job":8}\n'


def run(
    supervisor: FakeSupervisor, worker: Connection, job: int, *commands: list[str], **changes: object
) -> list[Line]:
    return worker.run(supervisor.order(job, *commands, **changes))


def test_three_commands_run_in_order_and_each_step_is_told_once(supervisor):
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, sh("echo one"), ["true"], sh("echo three >&2"))

    pids = [fact["pid"] for fact in facts if fact["fact"] == "started"]
    starts = [fact["start"] for fact in facts if fact["fact"] == "started"]
    ended: Line = {"job": 7, "code": 0, "signal": None, "error": None, "cut": 0, "leftovers": []}

    def started(seq: int, command: int, log: int) -> Line:
        pid, start = pids[command], starts[command]
        return {
            "fact": "started",
            "seq": seq,
            "job": 7,
            "command": command,
            "pid": pid,
            "start": start,
            "log": log,
        }

    assert without_times(facts) == [
        {"fact": "taken", "seq": 1, "job": 7},
        started(2, 0, 0),
        {"fact": "ended", "seq": 3, "command": 0, "log": 4, **ended},
        started(4, 1, 4),
        {"fact": "ended", "seq": 5, "command": 1, "log": 4, **ended},
        started(6, 2, 4),
        {"fact": "ended", "seq": 7, "command": 2, "log": 10, **ended},
        {"fact": "done", "seq": 8, "job": 7, "outcome": "success", "by": None},
    ]
    assert supervisor.log(7).read_text() == "one\nthree\n"
    assert all(isinstance(fact["at"], float) and isinstance(fact["mono"], float) for fact in facts)
    assert all(isinstance(start, int) and start > 0 for start in starts)


def test_the_resources_that_a_command_used_are_told(supervisor):
    worker = supervisor.worker()
    busy = "x = bytearray(60_000_000); sum(range(3_000_000))"

    facts = run(supervisor, worker, 7, [sys.executable, "-c", busy])

    assert facts[2]["user"] > 0.01
    assert facts[2]["seconds"] > 0.01
    assert facts[2]["rss"] > 60_000_000


def test_a_failing_command_ends_the_list(supervisor):
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, ["true"], sh("exit 3"), ["true"])

    assert [fact.get("code") for fact in facts if fact["fact"] == "ended"] == [0, 3]
    assert facts[-1]["outcome"] == "failed"


def test_death_by_signal_is_128_and_its_number_with_its_name(supervisor):
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, sh("kill -SEGV $$"), ["true"])

    assert (facts[2]["code"], facts[2]["signal"]) == (128 + signal.SIGSEGV, "SIGSEGV")
    assert facts[-1]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("command", "changes", "sentence"),
    [
        (["foo"], {}, "cannot start 'foo': no such program on PATH (/usr/bin:/bin); "),
        (["/no/such"], {}, "cannot start '/no/such': no such file"),
        (["/etc/passwd"], {}, "cannot start '/etc/passwd': permission denied; "),
        (["true"], {"cwd": "/no/such"}, "cannot start 'true': the working directory '/no/such' cannot "),
        (["tr\0ue"], {}, "cannot start 'tr\\x00ue': embedded null byte"),
        (["true"], {"env": {"A=B": "x", "PATH": "/bin"}}, "cannot start 'true': illegal environment"),
        (["true", "x" * 3_000_000], {}, "cannot start 'true': its arguments and environment are too long"),
        (["s\udc80"], {}, "cannot start 's\\udc80': no such program"),
    ],
)
def test_a_command_that_cannot_start_says_why_in_record_and_log(supervisor, command, changes, sentence):
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, command, ["true"], **changes)

    assert [fact["fact"] for fact in facts] == ["taken", "started", "ended", "done"]
    assert (facts[1]["pid"], facts[1]["start"]) == (None, None)
    assert facts[2]["code"] == -1
    assert facts[2]["error"].startswith(sentence)
    assert supervisor.log(7).read_text() == facts[2]["error"] + "\n"
    assert facts[2]["log"] == supervisor.log(7).stat().st_size
    assert facts[-1]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("#!/no/such/sh\n", "the interpreter in its first line is not"), ("text\n", "it is neither a program")],
)
def test_a_script_that_cannot_start_says_what_is_wrong_with_it(supervisor, tmp_path, text, sentence):
    script = tmp_path / "script"
    script.write_text(text)
    script.chmod(0o755)
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, [str(script)])

    assert sentence in facts[2]["error"]


def test_a_command_has_exactly_what_it_was_given(supervisor, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "of the supervisor")
    worker = supervisor.worker()
    look = (
        "import os,sys,json,signal;"
        "mask=os.umask(0);"
        "fds=[fd for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+fd)];"
        "ignored=[s for s in signal.valid_signals() if signal.getsignal(s)==signal.SIG_IGN];"
        "print(json.dumps([dict(os.environ),os.getcwd(),mask,sorted(fds),os.readlink('/proc/self/fd/0'),"
        "os.getsid(0)==os.getpid(),[int(s) for s in ignored],list(signal.pthread_sigmask(0,[]))]))"
    )
    env = {"PATH": "/bin", "A": "ü b", "LC_ALL": "C.UTF-8"}

    run(
        supervisor,
        worker,
        7,
        ["true"],
        [sys.executable, "-c", look],
        env=env,
        cwd=str(tmp_path),
        umask=0o27,
    )

    got = json.loads(supervisor.log(7).read_text())
    assert got[0] == env | {"DISPATCHER_JOB": f"{supervisor.mark}:7:1"}
    assert got[1:6] == [str(tmp_path), 0o27, ["0", "1", "2"], "/dev/null", True]
    assert set(got[6]) <= {signal.SIGPIPE, signal.SIGXFSZ}, "Python itself ignores these two"
    assert got[7] == []


def test_a_program_is_found_on_the_path_of_the_job(supervisor, tmp_path):
    (tmp_path / "only-here").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "only-here").chmod(0o755)
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, ["only-here"], env={"PATH": f"/bin:{tmp_path}"})

    assert facts[-1]["outcome"] == "success"
    assert supervisor.log(7).read_text() == "found\n"


def test_an_empty_list_is_a_success(supervisor):
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7)

    assert [fact["fact"] for fact in facts] == ["taken", "done"]
    assert facts[-1]["outcome"] == "success"


def test_facts_are_in_the_journal_before_they_are_told_and_until_they_are_saved(supervisor):
    worker = supervisor.worker()

    facts = run(supervisor, worker, 7, ["true"])

    header, *written = supervisor.journal()
    assert header == {"worker": 1, "pid": worker.heard[0]["pid"], "start": worker.heard[0]["start"]}
    assert written == facts
    assert journal.is_locked(supervisor.state_dir / "spool" / "1.journal")

    worker.send(do="ack", seq=facts[-1]["seq"])

    wait_until(lambda: supervisor.journal() == [header])


def test_jobs_handed_ahead_run_one_after_the_other(supervisor):
    worker = supervisor.worker()
    for job in (7, 8, 9):
        worker.send(**supervisor.order(job, ["true"]))

    facts = worker.facts_until("done", 9)

    assert [(fact["job"], fact["fact"]) for fact in facts] == [
        (job, kind) for job in (7, 8, 9) for kind in ("taken", "started", "ended", "done")
    ]
    assert [fact["seq"] for fact in facts] == list(range(1, 13))


def test_what_lies_ahead_can_be_withdrawn_and_what_is_taken_cannot(supervisor):
    worker = supervisor.worker()
    orders = [supervisor.order(number, ["true"]) for number in (7, 8)]
    # In one piece, so that nothing is taken before the withdrawal is read.
    worker.sock.sendall(b"".join(json.dumps(one).encode() + b"\n" for one in orders) + WITHDRAW_8)

    facts = worker.facts_until("done", 7)
    worker.send(do="withdraw", job=7)
    more = run(supervisor, worker, 9, ["true"])

    assert [(fact["job"], fact["handover"]) for fact in facts if fact["fact"] == "returned"] == [(8, 1008)]
    assert "returned" not in [fact["fact"] for fact in more]
    assert [fact["fact"] for fact in supervisor.journal() if fact.get("job") == 8] == ["returned"]


def test_what_lies_ahead_of_a_long_job_is_given_back_the_last_first(supervisor):
    worker = supervisor.worker()
    for number in (7, 8, 9):
        worker.send(**supervisor.order(number, ["sleep", "60"]))

    facts = worker.facts_until("returned", 8)
    worker.send(do="stop", job=7, grace=5.0)
    worker.facts_until("done", 7)

    assert [fact["job"] for fact in facts if fact["fact"] == "returned"] == [9, 8]


def test_what_was_sent_ahead_before_the_supervisor_heard_of_a_return_comes_back_too(supervisor):
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, ["sleep", "60"]))
    worker.send(**supervisor.order(8, ["true"], ahead=True))
    worker.facts_until("returned", 8)  # because 7 is long
    worker.send(**supervisor.order(9, ["true"], ahead=True))
    worker.facts_until("returned", 9)
    worker.send(do="stop", job=7, grace=5.0)
    worker.facts_until("done", 7)
    worker.send(**supervisor.order(10, ["true"], ahead=True))
    early = worker.facts_until("returned", 10)
    worker.send(**supervisor.order(8, ["true"], handover=2008))
    worker.send(**supervisor.order(9, ["true"], handover=2009, ahead=True))
    late = worker.facts_until("done", 9)

    assert [fact["fact"] for fact in early] == ["returned"]
    assert [(fact["job"], fact["fact"]) for fact in late] == [
        (job, kind) for job in (8, 9) for kind in ("taken", "started", "ended", "done")
    ]


def test_a_job_that_was_given_back_can_be_handed_over_again_at_once(supervisor):
    worker = supervisor.worker()
    orders = [supervisor.order(number, ["true"]) for number in (7, 8)]
    again = supervisor.order(8, ["true"], handover=2008)
    lines = [json.dumps(one).encode() + b"\n" for one in orders]
    worker.sock.sendall(b"".join(lines) + WITHDRAW_8 + json.dumps(again).encode() + b"\n")

    facts = worker.facts_until("done", 8)

    assert [fact["fact"] for fact in facts if fact["job"] == 8] == [
        "returned",
        "taken",
        "started",
        "ended",
        "done",
    ]


def test_a_job_that_is_started_twice_runs_once(supervisor):
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh("echo once")))
    worker.send(**supervisor.order(7, sh("echo once")))
    worker.facts_until("done", 7)
    worker.send(**supervisor.order(7, sh("echo once")))

    facts = run(supervisor, worker, 8, ["true"])

    assert {fact["job"] for fact in facts} == {8}
    assert supervisor.log(7).read_text() == "once\n"


def test_the_log_length_is_told_before_the_end_and_while_it_grows(supervisor, tmp_path):
    worker = supervisor.worker()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    worker.send(**supervisor.order(7, sh(f"echo one; read x < {gate}; echo two")))

    worker.until(lambda line: line.get("log") == 7 and "fact" not in line)
    gate.write_text("go\n")
    said = worker.until(lambda line: line.get("fact") == "done")

    assert worker.heard[-len(said) - 1] == {"log": 7, "length": 4}
    assert said[0] == {"log": 7, "length": 8}
    assert said[1]["fact"] == "ended"


def test_much_output_is_told_at_most_every_50_ms(supervisor):
    worker = supervisor.worker()
    worker.send(**supervisor.order(7, sh("for i in $(seq 3000); do echo $i; done")))

    said = worker.until(lambda line: line.get("fact") == "done")

    ended = next(line for line in said if line.get("fact") == "ended")
    lengths = [line for line in said if "fact" not in line]
    assert len(lengths) <= ended["seconds"] / 0.05 + 2
    assert lengths[-1]["length"] == ended["log"] == supervisor.log(7).stat().st_size


def test_output_beyond_the_cap_leaves_the_file_and_the_worker_small(supervisor):
    worker = supervisor.worker()
    run(supervisor, worker, 6, ["true"])
    process = psutil.Process(worker.heard[0]["pid"])
    before = process.memory_info().rss

    writer = "import sys\nfor i in range(20000): sys.stdout.write('%01023d\\n' % i)"
    facts = run(
        supervisor,
        worker,
        7,
        [sys.executable, "-c", writer],
        sh("echo next"),
        cap=1 << 18,
        tail=1 << 16,
    )

    assert process.memory_info().rss - before < 2_000_000
    text = supervisor.log(7).read_bytes()
    cut = 20000 * 1024 - (1 << 18) - (1 << 16)
    line = b"[dispatcher: %012d bytes of output were cut here, cap 262144]\n" % cut
    assert text[1 << 18 :].startswith(line)
    assert text.endswith(b"%01023d\nnext\n" % 19999)
    assert facts[2]["cut"] == cut
    assert facts[2]["log"] == facts[3]["log"] == len(text) - 5


def test_an_order_that_makes_no_sense_is_noted_and_passed_over(supervisor):
    worker = supervisor.worker()
    worker.sock.sendall(b'{"do":"dance"}\nnonsense\n{"do":"start","job":7}\n')

    facts = run(supervisor, worker, 8, ["true"])

    assert facts[-1]["outcome"] == "success"
    assert "cannot follow the order 'dance'" in supervisor.trouble()
    assert "it has no leftovers" in supervisor.trouble()


def test_a_worker_that_is_sent_home_ends_when_all_is_saved(supervisor):
    worker = supervisor.worker()
    facts = run(supervisor, worker, 7, ["true"])
    worker.send(do="exit")
    worker.send(do="ack", seq=facts[-1]["seq"])

    assert worker.ended()
    assert supervisor.started[0].wait(PATIENCE) == 0
    assert not (supervisor.state_dir / "spool" / "1.journal").exists()


def test_term_does_not_end_a_worker_and_never_reaches_a_command_as_ignored(supervisor):
    worker = supervisor.worker()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        os.kill(worker.heard[0]["pid"], number)

    facts = run(supervisor, worker, 7, sh("kill -TERM $$; echo still here"))

    assert facts[2]["signal"] == "SIGTERM"


class NoLoop:
    def watch(self, fd: int, events: int, ready: object) -> None:
        """Output is asked directly here."""

    unwatch = print


@pytest.mark.parametrize("more", [b"", b"a leftover goes on"])
def test_what_lies_in_the_pipe_when_a_command_ends_is_kept_and_no_more(more):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    kept: list[bytes] = []
    output = Output(reader, NoLoop(), kept.append)  # type: ignore[arg-type]
    os.write(writer, b"its last words")

    output.finish()
    os.write(writer, more)
    assert output.look()
    os.close(writer)

    assert not output.look()
    assert kept == [b"its last words"]


def test_a_leftover_that_writes_without_end_does_not_hold_up_the_next_command():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    kept: list[bytes] = []

    def write_more(data: bytes) -> None:
        kept.append(data)
        assert len(kept) < 100
        os.write(writer, b"and on")

    output = Output(reader, NoLoop(), write_more)  # type: ignore[arg-type]
    os.write(writer, b"its last words")

    output.finish()

    assert kept == [b"its last words"]
    os.close(writer)
    while output.look():
        pass
