"""What the audit says of a request about jobs: what was asked, and what became of each part. Pure."""

from collections.abc import Mapping, Sequence

from dispatcher.api.submissions import JobRequest
from dispatcher.core.messages import Killed, Submit, Submitted
from dispatcher.core.model import Command, Job
from dispatcher.errors import DispatcherError, InvalidRequest

LONGEST = 2000  # characters of a command's text


def submitted(
    requests: Sequence[JobRequest],
    prepared: Sequence[Submit | DispatcherError],
    answers: Sequence[Submitted | DispatcherError],
    refused: Sequence[tuple[str, str]] = (),
) -> Mapping[str, object] | None:
    """Describe a submit as far as it came; None if it asked for no job.

    `refused` are jobs that could not even be read: what each was called, and the reason.
    """
    if not requests and not refused:
        return None
    jobs = []
    for place, request in enumerate(requests):
        fields = _job(request, prepared[place] if place < len(prepared) else None)
        if place < len(answers):
            fields |= _answer(answers[place])
        jobs.append(fields)
    jobs += [{"key": shown(key), "answer": f"{InvalidRequest.code}: {reason}"} for key, reason in refused]
    return {"jobs": jobs}


def killed(
    targets: Sequence[int | str], answers: Sequence[Killed | DispatcherError]
) -> Mapping[str, object] | None:
    """Describe a kill as far as it came; None if it named no job."""
    if not targets:
        return None
    jobs: list[dict[str, object]] = [{"target": target} for target in targets]
    for fields, answer in zip(jobs, answers, strict=False):
        if isinstance(answer, DispatcherError):
            fields["answer"] = f"{answer.code}: {answer.sentence}"
        elif answer.job is None:
            fields["answer"] = "no such job"
        else:
            fields |= {"number": answer.job.number, "key": answer.job.key, "answer": "stopping"}
    return {"jobs": jobs}


def stopped(reason: str | None, jobs: Sequence[Job]) -> Mapping[str, object]:
    """Describe the stop of all running jobs."""
    found = [{"number": job.number, "key": job.key} for job in jobs]
    return {"jobs": found} if reason is None else {"reason": shown(reason), "jobs": found}


def _job(request: JobRequest, prepared: Submit | DispatcherError | None) -> dict[str, object]:
    if isinstance(prepared, Submit):
        # Its texts are what people may see; a request's own words could hold a secret.
        submission = prepared.submission
        texts = [command.text for command in submission.commands]
        key, queue, cwd = submission.key, submission.queue, submission.cwd
    else:
        texts = [_text(one) for one in request.commands]
        key, queue, cwd = shown(request.key or ""), shown(request.queue or ""), shown(request.cwd or "")
    fields: dict[str, object] = {"key": key, "queue": queue, "commands": [shown(text) for text in texts]}
    if cwd not in ("", "/"):
        fields["cwd"] = cwd
    if request.env:
        fields["env"] = [name for name, _ in request.env]  # the values may be secret
    return fields


def _text(command: str | tuple[str, ...] | Command) -> str:
    match command:
        case Command():
            return command.text
        case str():
            return command
        case _:
            return " ".join(command)


def _answer(answer: Submitted | DispatcherError) -> dict[str, object]:
    if isinstance(answer, DispatcherError):
        return {"answer": f"{answer.code}: {answer.sentence}"}
    return {"number": answer.job.number, "answer": "attached" if answer.attached else "added"}


def shown(text: str) -> str:
    """Give a text as far as a line of the audit holds it."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}[{len(text) - LONGEST} characters more]"
