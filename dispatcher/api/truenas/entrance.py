"""Where connections of TrueNAS clients come in, and what they share."""

import uuid
from collections.abc import Callable

import trio

from dispatcher.api.service import Service
from dispatcher.api.truenas.client import Client, Clients
from dispatcher.api.truenas.dialect import Dialect
from dispatcher.api.truenas.excerpts import Excerpts
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.api.truenas.http_site import HttpSite
from dispatcher.api.truenas.job_events import JobEvents
from dispatcher.api.truenas.jobs import Jobs
from dispatcher.api.truenas.jsonrpc import JsonRpc
from dispatcher.api.truenas.legacy import Legacy
from dispatcher.api.truenas.logins import Logins
from dispatcher.api.truenas.session import serve_calls
from dispatcher.api.truenas.transfer_jobs import TransferJobs
from dispatcher.api.truenas.transfer_pipes import JobPipes
from dispatcher.net.http import Request
from dispatcher.net.websocket import Socket
from dispatcher.settings import Limits


class TruenasEntrance:
    """Serves JSON-RPC, the older protocol, and `http`; `run` must run while it does."""

    def __init__(
        self, service: Service, logins: Logins, limits: Limits, pipes: JobPipes, *, boot_id: str
    ) -> None:
        self.clients = Clients()
        self._service = service
        self._logins = logins
        self._limits = limits
        self._feed = JsonRpcFeed(service.changed)
        log_dir = service.settings.log_dir
        self._events = JobEvents(
            Excerpts(lambda: log_dir), lambda: log_dir, last=service.changed, newest=service.newest
        )
        self._jobs = Jobs(service, self._events)
        self._transfers = TransferJobs(service, self._jobs, pipes)
        self.http = HttpSite(self._jobs, self._transfers, logins, boot_id=boot_id)
        service.hub.attach(self._feed)
        service.hub.attach(self._events)

    async def run(self) -> None:
        """Publish events and carry out work, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._events.run)
            nursery.start_soon(self._jobs.run)
            nursery.start_soon(self._transfers.run)

    def account_changed(self, name: str) -> None:
        """Log an account out of every session, and end its tokens."""
        self._logins.tokens.end_account(name)
        self.clients.account_changed(name)

    def key_removed(self, number: int) -> None:
        """Log an API key out of every session, and end the tokens that go back to it."""
        self._logins.tokens.end_key(number)
        self.clients.key_removed(number)

    async def jsonrpc(self, socket: Socket, request: Request) -> None:
        """Serve one connection that speaks JSON-RPC."""
        await self._serve(socket, request, "jsonrpc", lambda _: JsonRpc())

    async def legacy(self, socket: Socket, request: Request) -> None:
        """Serve one connection that speaks the older protocol."""
        await self._serve(socket, request, "truenas", Legacy)

    async def _serve(
        self, socket: Socket, request: Request, protocol: str, dialect_of: Callable[[str], Dialect]
    ) -> None:
        session = str(uuid.uuid4())
        dialect = dialect_of(session)
        identity = await self._logins.at_connect(request.peer, protocol)
        client = Client(
            socket,
            request.peer,
            identity,
            session=session,
            service=self._service,
            feed=self._feed,
            jobs=self._jobs,
            logins=self._logins,
            limits=self._limits,
            is_legacy=dialect.is_legacy,
        )
        client.downloads = self.http.downloads
        self.clients.add(client)
        try:
            await serve_calls(socket, client, dialect)
        finally:
            self.clients.remove(client)
