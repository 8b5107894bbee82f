"""Plain HTTP for TrueNAS clients: who serves which row of the table, and the small answers themselves."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import parse_qs

import msgspec

from dispatcher.access.roles import Level, require
from dispatcher.api.truenas.downloads import Downloads
from dispatcher.api.truenas.http_operations import JSON, OPERATIONS, Operation
from dispatcher.api.truenas.job_search import get_jobs
from dispatcher.api.truenas.jobs import Jobs
from dispatcher.api.truenas.logins import Logins
from dispatcher.api.truenas.openapi import openapi
from dispatcher.api.truenas.problems import Problem
from dispatcher.api.truenas.transfer_jobs import TransferJobs
from dispatcher.api.truenas.transfer_login import log_in
from dispatcher.api.truenas.uploads import Uploads
from dispatcher.errors import DispatcherError
from dispatcher.net.exchange import Exchange, Streaming
from dispatcher.net.handshake import Refusal
from dispatcher.net.http_messages import Request, Response, plain

# Clients take the highest that they know of; to us they are all the same.
VERSIONS = ("v25.04.0", "v25.04.1", "v25.04.2", "v25.10.0", "v25.10.1", "v25.10.5", "v26.0.0")
_GENERAL_FIELDS = ("id", "limit", "offset")

Handler = Callable[[Request], Awaitable[Response]]


class HttpSite:
    """The handlers of all rows."""

    def __init__(self, jobs: Jobs, transfers: TransferJobs, logins: Logins, *, boot_id: str) -> None:
        self.downloads = Downloads(transfers, logins)
        self._jobs = jobs
        self._service = transfers.service
        self._logins = logins
        self._handlers: Mapping[str, Streaming] = {
            "versions": _constant(VERSIONS),
            "boot_id": _constant(boot_id),
            "openapi": _constant(openapi(OPERATIONS)),
            "ping": _constant("pong"),
            "get_jobs": Streaming(partial(_answer, self._get_jobs)),
            "upload": Streaming(Uploads(transfers, logins).serve),
            "download": Streaming(self.downloads.serve),
        }

    def find(self, request: Request) -> Streaming | None:
        """Give the handler of a request, None if its path is none of ours."""
        path = request.path
        for operation in OPERATIONS:
            if operation.matches(path):
                return self._handler(operation, request.method)
        return None

    def _handler(self, operation: Operation, method: str) -> Streaming:
        if method in operation.methods or (method == "HEAD" and "GET" in operation.methods):
            return self._handlers[operation.name]
        allowed = ", ".join(operation.methods)
        sentence = f"cannot {method[:20]} {operation.template}: use {allowed}"
        return _always(plain(405, sentence, (("allow", allowed),)))

    async def _get_jobs(self, request: Request) -> Response:
        filters, options = _asked(request.query)
        try:
            identity = await log_in(self._logins, request)
        except Refusal as refusal:
            # What is not even base64 is no wrong parameter here.
            status = 401 if refusal.status == 400 else refusal.status
            raise Refusal(status, refusal.sentence, refusal.headers) from None
        try:
            require(identity.caller, Level.READ)
            found = await get_jobs(
                self._service.store, self._jobs.events.objects, self._jobs.patterns, filters, options
            )
        except Problem as problem:
            reason = problem.data.reason if problem.data is not None else problem.message
            raise Refusal(400, reason) from None
        except DispatcherError as error:
            raise Refusal(400, error.sentence) from None
        return _json(found)


def _asked(query: str) -> tuple[list[object], dict[str, object]]:
    """Read the filters and options of a query; other names are left alone. Raises Refusal."""
    given = parse_qs(query, keep_blank_values=True, errors="replace")
    numbers = {}
    for name in _GENERAL_FIELDS:
        if name not in given:
            continue
        text = given[name][-1]
        low = 0 if name == "offset" else 1
        if not (text.isascii() and text.isdecimal() and len(text) < 16 and int(text) >= low):
            raise Refusal(400, f"{name!r} must be a whole number from {low} on")
        numbers[name] = int(text)
    filters: list[object] = [["id", "=", numbers.pop("id")]] if "id" in numbers else []
    return filters, dict(numbers)


def _json(value: object) -> Response:
    return Response(200, (("content-type", JSON),), msgspec.json.encode(value))


def _constant(value: object) -> Streaming:
    return _always(_json(value))


def _always(response: Response) -> Streaming:
    async def give(exchange: Exchange) -> None:
        await exchange.answer(response)

    return Streaming(give)


async def _answer(handler: Handler, exchange: Exchange) -> None:
    try:
        response = await handler(exchange.request)
    except Refusal as refusal:
        response = plain(refusal.status, refusal.sentence, refusal.headers)
    await exchange.answer(response)
