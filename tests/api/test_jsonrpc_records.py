"""Jobs as JSON-RPC clients see them, compared whole with a golden file."""

import json
from pathlib import Path
from typing import Any

import msgspec

from dispatcher.api.truenas.records import job_record, submitted_record, timestamp
from dispatcher.core.model import CommandEnd, CommandRun, Finished, Outcome, Running, Stop
from tests.api.jsonrpc_fakes import T, finished, job, running

GOLDEN = Path(__file__).parent.parent / "data" / "cli"


def written(record: object) -> Any:
    return json.loads(msgspec.json.encode(record))


def test_a_finished_job_is_the_golden_one():
    assert written(job_record(finished(7, changed=12))) == json.loads(
        (GOLDEN / "job_finished.json").read_text()
    )


def test_a_pending_job_has_every_key_of_a_finished_one():
    pending, over = (written(job_record(one)) for one in (job(7), finished(7)))

    assert pending.keys() == over.keys()
    assert pending["commands"][0].keys() == over["commands"][0].keys()
    assert (pending["started"], pending["outcome"], pending["return_code"]) == (None, None, None)


def test_a_running_job_shows_who_stops_it():
    phase = Running(T, 3, "boot", stop=Stop(T + 5, "admin"), unreachable=True)
    record = written(job_record(job(7, phase=phase)))

    assert record["stop"] == {"at": timestamp(T + 5), "by": "admin", "reason": "killed"}
    assert record["unreachable"] is True


def test_the_return_code_is_that_of_the_failed_command_else_of_the_last():
    def code_of(*codes: int) -> int | None:
        runs = tuple(CommandRun(T, 1, 0, CommandEnd(T, code, 0.0, 0)) for code in codes)
        return job_record(job(7, phase=Finished(Outcome.FAILED, T), runs=runs)).return_code

    assert (code_of(0, 3), code_of(0, 0), code_of(5, 0), code_of()) == (3, 0, 5, None)
    assert job_record(running(7)).return_code is None


def test_a_clock_that_was_set_back_gives_no_negative_duration():
    assert job_record(job(7, phase=Finished(Outcome.SUCCESS, T - 100, T))).duration == 0.0


def test_times_have_milliseconds_and_are_rounded_into_the_next_second():
    assert timestamp(1795327019.9996) == "2026-11-22T05:57:00.000Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


def test_a_submitted_job_says_whether_it_was_there_already():
    assert written(submitted_record(job(7), attached=True)) == {
        **written(job_record(job(7))),
        "attached": True,
    }
