"""One WebSocket connection that speaks JSON-RPC.

Ten calls are carried out at a time and ten more may wait; the next is refused at once. Replies leave
in the order in which the calls end. A call that waits for a job, or goes on as a stream, is in no
slot meanwhile; of those a connection may have a thousand. Jobs go on when the connection ends.
"""

import logging

import trio

from dispatcher.access.peers import caller_of
from dispatcher.access.roles import require
from dispatcher.api.service import Service
from dispatcher.api.truenas import jsonrpc
from dispatcher.api.truenas.client import Client, Clients, Login, Stream
from dispatcher.api.truenas.feed import JsonRpcFeed
from dispatcher.api.truenas.jsonrpc import Call, Problem
from dispatcher.api.truenas.methods import METHODS, Method
from dispatcher.errors import DispatcherError, Forbidden
from dispatcher.net.http import Request
from dispatcher.net.websocket import Socket, SocketClosed
from dispatcher.settings import Limits

log = logging.getLogger(__name__)

AT_ONCE = 10
OUTSTANDING = 20
WAITING = 1000

_TOO_MANY = Problem(jsonrpc.TOO_MANY_CALLS, "too many concurrent calls")
_UNKNOWN = Problem(jsonrpc.UNKNOWN_METHOD, "Method does not exist")


async def serve_jsonrpc(
    socket: Socket,
    request: Request,
    *,
    service: Service,
    feed: JsonRpcFeed,
    login: Login,
    daemon_uid: int,
    limits: Limits,
    clients: Clients,
) -> None:
    """Serve one connection until it is closed from either side."""
    caller = caller_of(request.peer, daemon_uid, "jsonrpc")
    client = Client(socket, request.peer, caller, service=service, feed=feed, login=login, limits=limits)
    clients.add(client)
    try:
        async with trio.open_nursery() as nursery:
            await _Session(socket, client, nursery).read()
            nursery.cancel_scope.cancel()
    finally:
        clients.remove(client)
        client.leave()


class _Session:
    def __init__(self, socket: Socket, client: Client, nursery: trio.Nursery) -> None:
        self._socket = socket
        self._client = client
        self._nursery = nursery
        self._slots = trio.Semaphore(AT_ONCE)
        self._outstanding = 0
        self._waiting = 0

    async def read(self) -> None:
        """Take message after message; return when the connection is closed."""
        try:
            while True:
                text = await self._socket.receive()
                if isinstance(text, bytes):
                    await self._socket.close(1003, "text messages only")
                    return
                await self._take(text)
        except SocketClosed:
            return

    async def _take(self, text: str) -> None:
        try:
            call = jsonrpc.read(text)
        except Problem as problem:
            # Sent from here, not from a task: who floods us must read before we go on.
            await self._refuse(problem.call_id, problem)
            return
        method = METHODS.get(call.method)
        if method is None:
            await self._refuse(call.id, _UNKNOWN)
        elif self._outstanding >= OUTSTANDING or self._waiting >= WAITING:
            await self._refuse(call.id, _TOO_MANY)
        else:
            self._nursery.start_soon(
                self._run_in_slot if method.holds_slot else self._run_waiting, call, method
            )
            # Counted here: the task begins later, and more messages may be read before.
            if method.holds_slot:
                self._outstanding += 1
            else:
                self._waiting += 1

    async def _refuse(self, call_id: bytes | None, problem: Problem) -> None:
        if call_id is not None:
            await self._socket.send(jsonrpc.failure(call_id, problem).decode())

    async def _run_in_slot(self, call: Call, method: Method) -> None:
        try:
            async with self._slots:
                answer = await self._outcome(call, method)
            await self._reply(call, answer)
        except SocketClosed:
            return
        finally:
            self._outstanding -= 1
        if isinstance(answer, Stream):
            self._waiting += 1
            try:
                await self._stream(answer, method)
            finally:
                self._waiting -= 1

    async def _run_waiting(self, call: Call, method: Method) -> None:
        try:
            await self._reply(call, await self._outcome(call, method))
        except SocketClosed:
            return
        finally:
            self._waiting -= 1

    async def _outcome(self, call: Call, method: Method) -> object:
        """Carry out a call; whatever goes wrong becomes a Problem."""
        try:
            self._require(method)
            return await method.call(self._client, call.params)
        except Problem as problem:
            return problem
        except DispatcherError as error:
            return jsonrpc.problem_of(error)
        except Exception:
            # The edge of the session: one call's fault must not end the daemon, nor other calls.
            log.exception("method %s failed", method.name)
            return jsonrpc.unexpected()

    def _require(self, method: Method) -> None:
        try:
            require(self._client.caller, method.level)
        except Forbidden as error:
            self._client.service.audit.refused(self._client.caller, method.name, error)
            raise

    async def _reply(self, call: Call, answer: object) -> None:
        if call.id is None:
            return
        if isinstance(answer, Problem):
            await self._socket.send(jsonrpc.failure(call.id, answer).decode())
        else:
            first = answer.first if isinstance(answer, Stream) else answer
            await self._socket.send(jsonrpc.result(call.id, first).decode())

    async def _stream(self, stream: Stream, method: Method) -> None:
        try:
            await stream.run()
        except SocketClosed:
            return
        except Exception as error:
            log.exception("the stream of %s broke off", method.name)
            sentence = error.sentence if isinstance(error, DispatcherError) else "the stream broke off"
            # A close frame's reason has at most 123 bytes.
            await self._socket.close(1011, sentence[:60])
