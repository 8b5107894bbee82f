"""The job as TrueNAS clients see it: all keys in every state, and what each of them says."""

import json

import msgspec
import pytest
from msgspec.structs import replace

from dispatcher.api.truenas.excerpts import Excerpt
from dispatcher.api.truenas.job_object import CUT_BYTES, error_of, job_object, result_of
from dispatcher.api.truenas.jobs import outcome_of
from dispatcher.api.truenas.problems import CALL_FAILED, INVALID_PARAMS, Problem
from dispatcher.core.model import Finished, Outcome, Pending, Progress, ResultKind, Running, Stop, Task
from tests.api.job_keys import KEYS
from tests.api.told_jobs import T0, finished, pending, running

TASK = Task("backup.run", '["tank","********"]', description="Back up", credentials='{"type":"API_KEY"}')
WAITING = pending(7, "pkg update", "pkg upgrade", key="build-7", queue="pkg_queue")
GOING = running(WAITING, 2, 10)
DONE = finished(WAITING, 3, 10, 20)
BROKEN = finished(WAITING, 3, 10, 20, outcome=Outcome.FAILED, code=3)
TAIL = Excerpt("one\ntwo", "two")


def called(job, **changes):
    """The same job as a task made it."""
    task = replace(TASK, **changes)
    return replace(job, submission=replace(job.submission, task=task))


def own(**phase):
    """A job without commands that has ended."""
    submission = replace(WAITING.submission, commands=(), task=Task("core.bulk", "[]"))
    outcome = phase.pop("outcome", Outcome.SUCCESS)
    return replace(WAITING, submission=submission, phase=Finished(outcome, T0 + 1, **phase))


@pytest.mark.parametrize(
    ("job", "state"),
    [
        (WAITING, "WAITING"),
        (GOING, "RUNNING"),
        (DONE, "SUCCESS"),
        (BROKEN, "FAILED"),
        (finished(WAITING, 3, 10, outcome=Outcome.KILLED), "ABORTED"),
        (finished(WAITING, 3, 10, outcome=Outcome.LOST), "FAILED"),
        (finished(WAITING, 3, 10, outcome=Outcome.TIMED_OUT), "FAILED"),
        (finished(WAITING, 3, outcome=Outcome.SKIPPED), "FAILED"),
        (called(DONE), "SUCCESS"),
        (own(), "SUCCESS"),
    ],
)
def test_every_key_is_there_in_every_state(job, state):
    shown = job_object(job)

    assert list(shown) == KEYS
    assert shown["state"] == state
    assert (shown["time_finished"] is None) == (state in ("WAITING", "RUNNING"))
    msgspec.json.encode(shown)


def test_a_job_that_no_task_made_is_a_list_that_was_run():
    shown = job_object(WAITING, log_path="/log/7.log")

    assert shown["method"] == "dispatcher.run"
    assert shown["arguments"] == [
        {"id": "build-7", "queue": "pkg_queue", "commands": ["pkg update", "pkg upgrade"]}
    ]
    assert shown["description"] is shown["logs_path"] is shown["logs_excerpt"] is None
    assert shown["time_started"] == {"$date": round(T0 * 1000)}
    assert shown["credentials"] == {"type": "LOGIN_PASSWORD", "data": {"username": "admin"}}
    assert shown["progress"] == {"percent": 0, "description": "", "extra": None}


def test_a_job_of_a_task_shows_the_call_with_its_secrets_masked():
    shown = job_object(called(WAITING), message_ids=[msgspec.Raw(b'"a"'), msgspec.Raw(b"7")])

    assert (shown["method"], shown["arguments"]) == ("backup.run", ["tank", "********"])
    assert (shown["description"], shown["credentials"]) == ("Back up", {"type": "API_KEY"})
    assert json.loads(msgspec.json.encode(shown))["message_ids"] == ["a", 7]


def test_arguments_that_no_client_could_unwrap_are_shown_as_text():
    assert job_object(called(WAITING, arguments='[{"$date":"x"}]'))["arguments"] == ['{"$date":"x"}']


def test_the_progress_is_what_the_job_says_and_all_at_a_success():
    half = Progress(50, "half way", '{"done": 5}')
    whole = {"percent": 50, "description": "half way", "extra": {"done": 5}}

    assert job_object(replace(GOING, progress=half))["progress"] == whole
    assert job_object(replace(BROKEN, progress=half))["progress"] == whole
    assert job_object(replace(DONE, progress=half))["progress"] == whole | {"percent": 100}


@pytest.mark.parametrize(
    ("kind", "written", "result", "trouble"),
    [
        (ResultKind.OUTCOME, None, {"outcome": "success", "return_codes": [0, 0]}, None),
        (ResultKind.RETURN_CODE, None, 0, None),
        (ResultKind.STDOUT, "some text\n", "some text\n", None),
        (ResultKind.STDOUT, None, "", None),
        (ResultKind.JSON, '{"a": [1, null]}', {"a": [1, None]}, None),
        (ResultKind.JSON, '{"$date": "x"}', '{"$date":"x"}', None),
        (ResultKind.JSON, "no", None, "the output of the task is no JSON: "),
        (ResultKind.JSON, "[" * 5000, None, "the output of the task is no JSON: "),
    ],
)
def test_the_result_is_what_the_task_declares(kind, written, result, trouble):
    assert isinstance(DONE.phase, Finished)
    job = replace(called(DONE, result=kind), phase=replace(DONE.phase, result=written))

    shown = job_object(job)

    assert shown["result"] == result_of(job) == result
    assert str(shown["result_encoding_error"]).startswith(str(trouble))
    assert shown["error"] is shown["exception"] is shown["exc_info"] is None


def test_a_command_that_failed_is_named_with_its_code_and_the_last_lines():
    reason = "[EFAULT] Command pkg upgrade failed (code 3):\ntwo"

    shown = job_object(BROKEN, excerpt=TAIL, log_path="/log/7.log")

    assert shown["error"] == reason
    assert shown["exception"] == f"CallError: {reason}\n"
    assert shown["exc_info"] == {
        "repr": f"CallError({reason!r})",
        "type": "CallError",
        "errno": 14,
        "extra": None,
    }
    assert (shown["result"], shown["logs_excerpt"], shown["logs_path"]) == (None, "one\ntwo", "/log/7.log")


@pytest.mark.parametrize(
    ("outcome", "name", "number"),
    [
        (Outcome.LOST, "ECONNABORTED", 103),
        (Outcome.TIMED_OUT, "ETIMEDOUT", 110),
        (Outcome.SKIPPED, "ECANCELED", 125),
    ],
)
def test_an_end_that_no_command_chose_has_a_number_of_linux_and_its_reason(outcome, name, number):
    job = replace(GOING, phase=Finished(outcome, T0 + 1, reason="the machine went down"))

    shown = job_object(job)

    assert shown["error"] == f"[{name}] the machine went down"
    assert msgspec.json.decode(msgspec.json.encode(shown["exc_info"]))["errno"] == number
    assert shown["state"] == "FAILED"


def test_a_job_that_was_stopped_has_no_error_and_says_who_did_it():
    shown = job_object(replace(GOING, phase=Finished(Outcome.KILLED, T0 + 1, reason="killed by admin")))

    assert (shown["state"], shown["error"], shown["result"]) == ("ABORTED", None, None)
    assert shown["description"] == "killed by admin"
    assert isinstance(GOING.phase, Running)
    stopping = replace(GOING, phase=replace(GOING.phase, stop=Stop(T0, "admin")))
    assert job_object(stopping)["description"] == "killed by admin"
    assert job_object(replace(WAITING, phase=Pending(stop=Stop(T0, "admin"))))["state"] == "WAITING"


def test_what_is_kept_of_a_jobs_own_error_is_shown_again():
    kept = '{"reason":"[EINVAL] count: too many\\n","type":"ValidationErrors","errno":22,"extra":[["count","too many",22]]}'

    job = own(outcome=Outcome.FAILED, error=kept)

    assert job_object(job)["exc_info"] == {
        "repr": "ValidationErrors('[EINVAL] count: too many\\n')",
        "type": "VALIDATION",
        "errno": 22,
        "extra": [["count", "too many", 22]],
    }
    with pytest.raises(Problem) as raised:
        outcome_of(job, None)
    assert raised.value.code == INVALID_PARAMS
    assert raised.value.data is not None
    assert [one.parameter for one in raised.value.data.extra] == ["count"]


def test_whoever_waits_gets_the_result_null_or_the_error():
    killed = replace(GOING, phase=Finished(Outcome.KILLED, T0 + 1))

    assert outcome_of(own(result="[1]"), None) == [1]
    assert outcome_of(killed, None) is None
    with pytest.raises(Problem) as raised:
        outcome_of(BROKEN, TAIL)
    assert raised.value.code == CALL_FAILED
    assert raised.value.data is not None
    assert raised.value.data.reason.endswith("\ntwo")
    assert error_of(DONE, None) is error_of(killed, None) is None


@pytest.mark.parametrize("letter", ["x", "é", "\x01"])
def test_what_is_longer_than_64_kib_is_cut_with_a_mark_unless_one_job_is_asked_for(letter):
    long = letter * 70_000
    assert isinstance(DONE.phase, Finished)
    job = called(DONE, arguments=json.dumps([long]), result=ResultKind.STDOUT)
    job = replace(job, phase=replace(DONE.phase, result=long))
    failed = own(outcome=Outcome.FAILED, error=json.dumps({"reason": long}))

    cut, whole = job_object(job), job_object(job, is_whole=True)
    error = job_object(failed)

    assert (whole["arguments"], whole["result"]) == ([long], long)
    assert isinstance(cut["arguments"], list)
    for one in (cut["result"], *cut["arguments"], error["error"], error["exception"]):
        assert one.endswith("[... cut; core.get_jobs with this id alone gives the whole]")
        assert len(msgspec.json.encode(one)) < 2 * CUT_BYTES
    assert job_object(failed, is_whole=True)["error"] == long
