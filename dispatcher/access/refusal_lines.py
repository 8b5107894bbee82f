"""The lines of the daemon's own log about requests that were refused."""

from collections.abc import Iterator, Mapping
from itertools import islice

from dispatcher.access.roles import Caller
from dispatcher.errors import DispatcherError, InvalidRequest, Refused

MOST = 10  # jobs of one request that have a line each
_LONGEST = 300  # characters of what a client has said
_CODES = (f"{InvalidRequest.code}: ", f"{Refused.code}: ")


def refusal_lines(
    caller: Caller, what: str, details: Mapping[str, object], error: DispatcherError | None
) -> list[str]:
    """Give a line for a refused request, or one for each of its jobs that was; none if all is well.

    A reload that is refused has its line already.
    """
    who = f"{shown(caller.name or 'nobody')} from {caller.origin or 'here'}"
    if caller.protocol:
        who += f" ({caller.protocol})"
    if error is not None:
        return [] if what == "reload" else [f"refused {what} of {who}: {shown(error.sentence)}"]
    found = list(islice(_jobs(details), MOST + 1))
    lines = [f"refused {what} of {who}: {shown(one)}" for one in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"refused {what} of {who}: and more; the audit has all")
    return lines


def shown(text: str) -> str:
    """Give a text so that it stays on its line and within bounds."""
    text = text[:_LONGEST]
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _jobs(details: Mapping[str, object]) -> Iterator[str]:
    jobs = details.get("jobs")
    for job in jobs if isinstance(jobs, list) else ():
        answer = job.get("answer") if isinstance(job, dict) else None
        if isinstance(answer, str) and answer.startswith(_CODES):
            yield answer.partition(": ")[2]
