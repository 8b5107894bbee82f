"""A job as TrueNAS clients see it: one object, every key always there. Pure.

What the house calls pending is WAITING, finished is SUCCESS, FAILED or ABORTED. A job that no task
made is shown as the method `dispatcher.run` with what was asked of it.
"""

from collections.abc import Sequence

import msgspec

from dispatcher.api.truenas.excerpts import Excerpt, has_log
from dispatcher.api.truenas.problems import CALL_ERROR, VALIDATION, Errno
from dispatcher.api.truenas.wrapped import harmless, instant
from dispatcher.core.model import Finished, Job, Outcome, Pending, Progress, ResultKind, Running, State, Task

RUN = "dispatcher.run"
CUT_BYTES = 64 * 1024  # of arguments, result and error in events and lists

_decode = msgspec.json.decode
_encode = msgspec.json.encode
_TASK = Task(RUN)
_ERRNO_OF = {
    Outcome.FAILED: Errno.EFAULT,
    Outcome.LOST: Errno.ECONNABORTED,
    Outcome.TIMED_OUT: Errno.ETIMEDOUT,
    Outcome.SKIPPED: Errno.ECANCELED,
}
_STATE_OF = {
    State.PENDING: "WAITING",
    State.RUNNING: "RUNNING",
    Outcome.SUCCESS: "SUCCESS",
    Outcome.KILLED: "ABORTED",
}

JobObject = dict[str, object]


class JobError(msgspec.Struct, omit_defaults=True):
    """Why a job without commands failed, as it is kept with the job."""

    reason: str
    type: str = CALL_ERROR
    errno: int = Errno.EFAULT
    extra: object = None


def state_of(job: Job) -> str:
    """Name the state of a job."""
    key = job.phase.outcome if isinstance(job.phase, Finished) else job.state
    return _STATE_OF.get(key, "FAILED")


def method_of(job: Job) -> str:
    """Name the method that made a job."""
    return job.submission.task.method if job.submission.task is not None else RUN


def job_object(
    job: Job,
    *,
    excerpt: Excerpt | None = None,
    log_path: str = "",
    message_ids: Sequence[object] = (),
    is_whole: bool = False,
) -> JobObject:
    """Describe a job; unless `is_whole`, what is longer than 64 KiB is cut, with a mark."""
    task = job.submission.task or _TASK
    phase = job.phase
    error = _error_of(job, excerpt)
    result, trouble = _result_of(job, task)
    progress = job.progress or Progress()
    percent = 100 if isinstance(phase, Finished) and phase.outcome is Outcome.SUCCESS else progress.percent
    text = None if error is None else error.reason
    return {
        "id": job.number,
        "message_ids": list(message_ids),
        "method": task.method,
        "arguments": _cut(arguments_of(job), is_whole=is_whole),
        "transient": False,
        "description": _description(job, task),
        "abortable": True,
        "logs_path": log_path if log_path and has_log(job) else None,
        "logs_excerpt": excerpt.text if excerpt is not None else None,
        "progress": {
            "percent": percent,
            "description": _cut(progress.description, is_whole=is_whole),
            "extra": _cut(harmless(_decode(progress.extra)), is_whole=is_whole) if progress.extra else None,
        },
        "result": _cut(result, is_whole=is_whole),
        "result_encoding_error": trouble,
        "error": _cut(text, is_whole=is_whole),
        "exception": None if error is None else _cut(f"{error.type}: {error.reason}\n", is_whole=is_whole),
        "exc_info": None if error is None else _exc_info(error, is_whole=is_whole),
        "state": state_of(job),
        "time_started": instant(job.submitted_at),
        "time_finished": instant(phase.finished_at) if isinstance(phase, Finished) else None,
        "credentials": _decode(task.credentials) if task.credentials else _credentials(job),
    }


def arguments_of(job: Job) -> list[object]:
    """Give the arguments of the call that made a job, secrets masked."""
    submission = job.submission
    if submission.task is not None:
        arguments = harmless(_decode(submission.task.arguments))
        return arguments if isinstance(arguments, list) else [arguments]
    texts = [command.text for command in submission.commands]
    return [{"id": job.key, "queue": job.queue, "commands": texts}]


def result_of(job: Job) -> object:
    """Give the result of a job; null unless it was a success."""
    return _result_of(job, job.submission.task or _TASK)[0]


def error_of(job: Job, excerpt: Excerpt | None) -> JobError | None:
    """Say why a job failed; None if it did not, or was killed."""
    return _error_of(job, excerpt)


def _result_of(job: Job, task: Task) -> tuple[object, str | None]:
    phase = job.phase
    if not isinstance(phase, Finished) or phase.outcome is not Outcome.SUCCESS:
        return None, None
    codes = [run.end.code for run in job.runs if run.end is not None]
    if not job.commands:
        return (harmless(_decode(phase.result)), None) if phase.result else (None, None)
    match task.result:
        case ResultKind.OUTCOME:
            return {"outcome": phase.outcome.value, "return_codes": codes}, None
        case ResultKind.RETURN_CODE:
            return codes[-1], None
        case ResultKind.STDOUT:
            return phase.result or "", None
        case ResultKind.JSON:
            try:
                return harmless(_decode(phase.result or "")), None
            except (msgspec.DecodeError, RecursionError) as error:
                return None, f"the output of the task is no JSON: {error}"


def _error_of(job: Job, excerpt: Excerpt | None) -> JobError | None:
    phase = job.phase
    if not isinstance(phase, Finished) or phase.outcome in (Outcome.SUCCESS, Outcome.KILLED):
        return None
    if phase.error is not None:
        return msgspec.json.decode(phase.error, type=JobError)
    number = _ERRNO_OF[phase.outcome]
    if phase.outcome is not Outcome.FAILED or not job.runs or job.runs[-1].end is None:
        return JobError(f"[{number.name}] {phase.reason or phase.outcome.value}", errno=number)
    code = job.runs[-1].end.code
    sentence = f"[{number.name}] Command {job.commands[len(job.runs) - 1].text} failed (code {code}):"
    tail = excerpt.tail if excerpt is not None else ""
    return JobError("\n".join(part for part in (sentence, tail) if part), errno=number)


def _exc_info(error: JobError, *, is_whole: bool) -> dict[str, object]:
    is_validation = error.type == VALIDATION
    extra = _cut(error.extra, is_whole=is_whole)
    if is_validation and isinstance(extra, list) and extra and isinstance(extra[0], str):
        extra = [[None, extra[0], error.errno]]  # clients take each of these apart
    return {
        "repr": f"{error.type}({error.reason!r})"[:CUT_BYTES],
        "type": "VALIDATION" if is_validation else error.type,
        "errno": error.errno,
        "extra": extra,
    }


def _description(job: Job, task: Task) -> str | None:
    phase = job.phase
    if isinstance(phase, Finished) and phase.outcome is Outcome.KILLED:
        return phase.reason or task.description
    if isinstance(phase, Pending | Running) and phase.stop is not None:
        return phase.stop.sentence
    return task.description


def _credentials(job: Job) -> dict[str, object] | None:
    owner = job.submission.owner
    return {"type": "LOGIN_PASSWORD", "data": {"username": owner}} if owner else None


def _cut(value: object, *, is_whole: bool) -> object:
    """Leave a value as it is if it is short; else give the beginning of its text, with a mark."""
    if is_whole or value is None:
        return value
    text = value if isinstance(value, str) else None
    if text is None:
        if not _may_be_long(value):
            return value
        encoded = _encode(value)
        if len(encoded) <= CUT_BYTES:
            return value
        text = encoded.decode()
    if len(text) <= CUT_BYTES // 4 or len(text.encode("utf-8", "replace")) <= CUT_BYTES:
        return value
    cut = text[: CUT_BYTES // 4]
    mark = f"{cut}[... cut; core.get_jobs with this id alone gives the whole]"
    return [mark] if isinstance(value, list) else mark


def _may_be_long(value: object) -> bool:
    return isinstance(value, dict | list) and bool(value)
