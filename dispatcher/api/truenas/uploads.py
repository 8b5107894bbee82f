"""`POST /_upload`: a form whose first part says what to call and whose files are the input of its job.

Files go into a pipe as they come, one after another, no faster than the commands read. An upload that
breaks off fails its job: the commands never take what came for the whole.
"""

from collections import deque

import msgspec
import trio

from dispatcher.access.peers import origin_of
from dispatcher.access.roles import require
from dispatcher.api.truenas.credentials import Identity, Way
from dispatcher.api.truenas.jobs import JobRun
from dispatcher.api.truenas.logins import Logins
from dispatcher.api.truenas.multipart import FormEnded, FormReader, Malformed, NotAForm, PartBegun, PartEnded
from dispatcher.api.truenas.problems import Problem, problem_of
from dispatcher.api.truenas.task_methods import level_of, run_of
from dispatcher.api.truenas.transfer_jobs import TransferJobs
from dispatcher.api.truenas.transfer_login import INVALID_TOKEN, log_in
from dispatcher.api.truenas.transfer_pipes import InputPipe, JobEnd, watched_end
from dispatcher.api.truenas.wrapped import is_harmful
from dispatcher.errors import DispatcherError, Forbidden, InvalidRequest, StoreFailed
from dispatcher.net.exchange import Exchange
from dispatcher.net.handshake import Refusal
from dispatcher.net.http_messages import Response, plain

DATA_BYTES = 64 * 1024  # of the part that says what to call
MOST_FILES = 5
BROKE_OFF = "the upload broke off"

JSON = ("content-type", "application/json")


class Uploads:
    """Serves uploads."""

    def __init__(self, jobs: TransferJobs, logins: Logins) -> None:
        self._jobs = jobs
        self._logins = logins
        self._service = jobs.service

    async def serve(self, exchange: Exchange) -> None:
        """Serve one upload; answer when its body has been read, not when its job ends."""
        try:
            # In this order: who may not upload is not asked for the body.
            identity = await log_in(self._logins, exchange.request)
            form = _Form(exchange)
            number = await self._upload(form, self._run(await _data(form), identity), identity)
        except Refusal as refusal:
            await exchange.answer(plain(refusal.status, refusal.sentence, refusal.headers))
        else:
            await exchange.answer(Response(200, (JSON,), b'{"job_id": %d}' % number))

    def _run(self, data: "_Data", identity: Identity) -> JobRun:
        """Make what the job runs of what the first part asks for. Raises Refusal."""
        task = next((one for one in self._service.settings.tasks if one.name == data.method), None)
        if task is None or not task.input:
            raise Refusal(422, f"no method {data.method[:100]!r} takes a file")
        try:
            require(identity.caller, level_of(task))
        except Forbidden as error:
            self._service.audit.refused(identity.caller, task.name, error)
            is_token = identity.credentials is not None and identity.credentials.way is Way.TOKEN
            raise Refusal(403, INVALID_TOKEN if is_token else error.sentence) from None
        if task.output:
            raise Refusal(412, "[EINVAL] Pipe 'output' is not open")
        try:
            return run_of(task, data.params)
        except Problem as problem:
            raise Refusal(500, _reason(problem)) from None

    async def _upload(self, form: "_Form", run: JobRun, identity: Identity) -> int:
        """Begin the job and feed it; give its number. Raises Refusal, BrokenOff."""
        with InputPipe(self._jobs.pipes) as pipe:
            try:
                job = await self._jobs.begin(run, identity, pipe.offer)
            except DispatcherError as error:
                # What the caller asked for wrongly, or we cannot do, is 500 in this protocol.
                status = 500 if isinstance(error, InvalidRequest | StoreFailed) else 412
                raise Refusal(status, _reason(problem_of(error))) from None
            try:
                async with watched_end(self._service, identity.caller, job.number) as end:
                    await _feed(form, pipe, end)
            except trio.Cancelled:
                raise  # the daemon ends, and the worker sees that the input has not
            except BaseException:
                # Before our end is closed, so that no command can mistake that for the end of the input.
                await self._jobs.fail(job.number, origin_of(form.exchange.request.peer), BROKE_OFF)
                raise
        self._jobs.pipes.end_input(job.number, job.key)
        return job.number


class _Data(msgspec.Struct):
    """What the first part says."""

    method: str
    params: list[object]


class _Form:
    """The parts of a request's body. Raises Refusal, BrokenOff."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        try:
            self._reader = FormReader(exchange.request.header("content-type"))
        except NotAForm as error:
            raise Refusal(405, str(error)) from None
        self._events = deque[PartBegun | memoryview | PartEnded | FormEnded | Malformed]()
        self._is_over = False

    async def next_part(self) -> str | None:
        """Give the name of the next part, None if there is none; what is left of this one is skipped."""
        while not self._is_over:
            event = await self._next()
            if isinstance(event, PartBegun):
                return event.name
        return None

    async def read(self) -> memoryview | None:
        """Give the next bytes of this part, None at its end."""
        while not self._is_over:
            event = await self._next()
            if isinstance(event, memoryview):
                return event
            if isinstance(event, PartEnded):
                return None
        return None

    async def _next(self) -> object:
        while not self._events:
            data = await self.exchange.receive()
            if not data:
                raise Refusal(400, "the form is not whole: its last boundary is missing")
            self._events.extend(self._reader.feed(data))
        event = self._events.popleft()
        if isinstance(event, Malformed):
            raise Refusal(400, event.sentence)
        self._is_over = isinstance(event, FormEnded)
        return event


async def _data(form: _Form) -> _Data:
    """Read the first part, what to call, and the head of the second, which must be a file."""
    try:
        name = await form.next_part()
    except Refusal as refusal:
        raise Refusal(405 if refusal.status == 400 else refusal.status, refusal.sentence) from None
    if name is None:
        raise Refusal(405, "there is no part in the form")
    if name != "data":
        raise Refusal(405, 'the first part must be named "data"')
    text = bytearray()
    while (piece := await form.read()) is not None:
        text += piece
        if len(text) > DATA_BYTES:
            raise Refusal(413, f'the part "data" has more than {DATA_BYTES} bytes')
    data = _decoded(text)
    if await form.next_part() != "file":
        raise Refusal(405, 'the second part must be named "file"')
    return data


def _decoded(text: bytearray) -> _Data:
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refusal(400, f'the part "data" is no JSON: {error}') from None
    except RecursionError:
        raise Refusal(400, 'the part "data" is nested too deeply') from None
    if not isinstance(data, dict) or not isinstance(data.get("method"), str):
        raise Refusal(422, 'the part "data" must have a "method", the name of one')
    params = data.get("params")
    if not isinstance(params, list | None):
        raise Refusal(422, '"params" must be a list')
    if is_harmful(params):
        raise Refusal(400, "a wrapped value such as $date cannot be unwrapped")
    return _Data(data["method"], params or [])


async def _feed(form: _Form, pipe: InputPipe, end: JobEnd) -> None:
    """Write all files of a form, of which the first has begun; what nobody reads is thrown away."""
    for _ in range(MOST_FILES):
        while (piece := await form.read()) is not None:
            await pipe.write(piece, end)
        name = await form.next_part()
        if name is None:
            await form.exchange.discard()
            return
        if name != "file":
            raise Refusal(405, 'each part behind the first must be named "file"')
    raise Refusal(405, f"there are more than {MOST_FILES} files")


def _reason(problem: Problem) -> str:
    return problem.data.reason if problem.data is not None else problem.message
