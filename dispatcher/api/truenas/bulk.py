"""`core.bulk`: one method called for each entry of a list, in order, as one job.

Of two bulk jobs of one method the later waits for the earlier. An entry that fails is told as such,
and the next one follows.
"""

import string
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from dispatcher.access.roles import Level
from dispatcher.api.service import JobRequest
from dispatcher.api.truenas.calling import call
from dispatcher.api.truenas.client import Client, Stream
from dispatcher.api.truenas.jobs import Begun, JobRun, OwnJob
from dispatcher.api.truenas.method import Method, row
from dispatcher.api.truenas.problems import Errno, Mistake, Problem, call_error, invalid_params, problem_of
from dispatcher.core.model import Task, Value
from dispatcher.errors import DispatcherError

METHOD = "core.bulk"
LONGEST = 200  # characters of a description

Find = Callable[[Client, str], Method | None]


class Bulk(Value, frozen=True):
    """A method, the arguments of each call, and a description with places such as {0}."""

    method: str
    params: list[list[object]]
    description: str | None = None


class Entry(Value, frozen=True):
    """What came of one entry: its result, or why it failed; the number of its job, if it was one."""

    job_id: int | None
    result: object
    error: str | None


class Turns:
    """Whose turn it is: one at a time for each method, in the order of asking."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.StrictFIFOLock] = {}

    @asynccontextmanager
    async def of(self, method: str) -> AsyncIterator[None]:
        """Wait for one's turn and hold it."""
        lock = self._locks.setdefault(method, trio.StrictFIFOLock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._locks.pop(method, None)


def bulk_row(find: Find) -> Method:
    """Make the method; `find` finds the methods that it may call."""
    turns = Turns()

    async def bulk(client: Client, params: Bulk) -> JobRun:
        method = find(client, params.method)
        if method is None:
            raise invalid_params((Mistake("method", f"there is no method {params.method[:80]!r}"),))
        places = _places(params.description or "")

        async def work(own: OwnJob) -> object:
            if own.caller.level < method.level:
                raise call_error(Errno.EPERM, "Not authorized")
            async with turns.of(method.name):
                return await _each(client, method, params, places, own)

        shown = [msgspec.Raw(method.masked(given).encode()) for given in params.params]
        arguments = msgspec.json.encode([params.method, shown, params.description]).decode()
        return JobRun(JobRequest((), task=Task(METHOD, arguments)), Level.READ, work)

    return row(METHOD, Bulk, Level.READ, bulk, "Call a method for each entry of a list.", is_job=True)


async def _each(
    client: Client, method: Method, params: Bulk, places: Sequence[tuple[str, int | None]], own: OwnJob
) -> list[Entry]:
    count = len(params.params)
    found = []
    for place, given in enumerate(params.params):
        text = "".join(literal + _shown(method, given, number) for literal, number in places)
        own.tell_progress(100 * place / count, f"{place} / {count}" + (f": {text[:LONGEST]}" if text else ""))
        found.append(await _one(client, method, given))
    if count:
        own.tell_progress(100, f"{count} / {count}")
    return found


async def _one(client: Client, method: Method, given: Sequence[object]) -> Entry:
    number: int | None = None
    try:
        answer = await call(client, method, given)
        if isinstance(answer, Stream):
            raise call_error(Errno.EINVAL, f"{method.name} sends messages, so it cannot be called here")
        if isinstance(answer, Begun):
            number = answer.job.number
            answer = await client.jobs.outcome(client.caller, answer.job)
    except Problem as problem:
        return Entry(number, None, problem.data.reason if problem.data is not None else problem.message)
    except DispatcherError as error:
        data = problem_of(error).data
        return Entry(number, None, data.reason if data is not None else error.sentence)
    return Entry(number, answer, None)


def _places(description: str) -> tuple[tuple[str, int | None], ...]:
    """Take a description apart: texts, and places that are numbers only: nothing else can be asked."""
    try:
        parts = list(string.Formatter().parse(description))
    except ValueError as error:
        raise invalid_params((Mistake("description", f"cannot be read: {error}"),)) from None
    places = []
    for count, (literal, field, form, conversion) in enumerate(parts):
        if field is not None and (form or conversion or not (field.isdecimal() or field == "")):
            raise invalid_params((Mistake("description", "its places are numbers, such as {0}"),))
        places.append((literal, None if field is None else int(field or count)))
    return tuple(places)


def _shown(method: Method, given: Sequence[object], number: int | None) -> str:
    """Give one argument of an entry as text, masked where it is secret."""
    if number is None:
        return ""
    shown = msgspec.json.decode(method.masked(given))
    if not isinstance(shown, list) or number >= len(shown):
        return ""
    one = shown[number]
    return one if isinstance(one, str) else msgspec.json.encode(one).decode()
