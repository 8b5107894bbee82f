"""One WebSocket connection that speaks JSON-RPC or the older protocol of TrueNAS.

Ten calls are carried out at a time and ten more may wait; the next is refused at once. Replies leave
in the order in which the calls end. A call that waits for a job, or goes on as a stream, is in no
slot meanwhile; of those a connection may have a thousand. Jobs go on when the connection ends.
"""

import logging
import traceback

import trio

from dispatcher.access.roles import Level
from dispatcher.api.truenas import problems
from dispatcher.api.truenas.calling import call as carry_out
from dispatcher.api.truenas.client import Client, Stream
from dispatcher.api.truenas.dialect import Answer, Broken, Call, Dialect
from dispatcher.api.truenas.jobs import Begun
from dispatcher.api.truenas.method import Method
from dispatcher.api.truenas.methods import find_method
from dispatcher.api.truenas.problems import Problem
from dispatcher.errors import DispatcherError
from dispatcher.net.websocket import Socket, SocketClosed

log = logging.getLogger(__name__)

AT_ONCE = 10
OUTSTANDING = 20
WAITING = 1000
ANONYMOUS_CHARACTERS = 8192  # of one message before the login
# Some clients end the connection at a longer one. Our own methods answer in pieces, or to our own clients.
LONGEST_FRAME = 1024 * 1024 - 1024
OWN = "dispatcher."

_TOO_LONG = problems.call_error(
    problems.Errno.EINVAL, "the answer has more than 1 MiB: use limit and offset, or select fewer fields"
)
_TOO_MANY = Problem(problems.TOO_MANY_CALLS, "too many concurrent calls")
_UNKNOWN = Problem(problems.UNKNOWN_METHOD, "Method does not exist")
_LAGGED = problems.call_error(
    problems.Errno.EBUSY, "events came faster than this client reads; subscribe again, with :since="
)


async def serve_calls(socket: Socket, client: Client, dialect: Dialect) -> None:
    """Serve one connection until it is closed from either side."""
    try:
        async with trio.open_nursery() as nursery:
            await _Session(socket, client, dialect, nursery).read()
            nursery.cancel_scope.cancel()
    finally:
        client.leave()


class _Session:
    def __init__(self, socket: Socket, client: Client, dialect: Dialect, nursery: trio.Nursery) -> None:
        self._socket = socket
        self._client = client
        self._dialect = dialect
        self._nursery = nursery
        self._slots = trio.Semaphore(AT_ONCE)
        self._outstanding = 0
        self._waiting = 0
        client.on_lag = self._tell_lag

    async def read(self) -> None:
        """Take message after message; return when the connection is closed."""
        try:
            while True:
                text = await self._socket.receive()
                if isinstance(text, bytes):
                    await self._socket.close(1003, "text messages only")
                    return
                if len(text) > ANONYMOUS_CHARACTERS and self._client.caller.level is Level.NOBODY:
                    await self._socket.close(1007, "Anonymous connection max message length is 8 kB")
                    return
                await self._take(text)
        except Broken as broken:
            await self._socket.close(broken.code, broken.reason)
        except SocketClosed:
            return

    async def _take(self, text: str) -> None:
        try:
            call = self._dialect.read(text)
        except Answer as answer:
            if answer.text:
                await self._socket.send(answer.text.decode())
            return
        except Problem as problem:
            # Sent from here, not from a task: who floods us must read before we go on.
            await self._refuse(problem.call_id, problem)
            return
        method = find_method(self._client, call.method)
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
            await self._socket.send(self._failure(call_id, problem).decode())

    async def _run_in_slot(self, call: Call, method: Method) -> None:
        try:
            async with self._slots:
                answer = await self._outcome(call, method)
            if not self._waits_for_end(answer):
                await self._reply(call, answer)
        except SocketClosed:
            return
        finally:
            self._outstanding -= 1
        if isinstance(answer, Stream) or self._waits_for_end(answer):
            self._waiting += 1
            try:
                await self._go_on(call, method, answer)
            except SocketClosed:
                return
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
        client = self._client
        try:
            if call.subscription is not None:
                client.require(method.level)
                number, begin = client.subscriptions.add(
                    str(call.params[0]), client.caller, call.subscription
                )
                return Stream(number, begin)
            call_id = None if self._dialect.is_legacy else call.id
            return await carry_out(client, method, call.params, call_id)
        except Problem as problem:
            return problem
        except DispatcherError as error:
            return problems.problem_of(error)
        except Exception as error:
            # The edge of the session: one call's fault must not end the daemon, nor other calls.
            log.exception("method %s failed", method.name)
            return problems.unexpected(type(error).__name__, traceback.extract_tb(error.__traceback__))

    def _waits_for_end(self, answer: object) -> bool:
        """Whether the reply to a call is the result of the job that it has made."""
        return isinstance(answer, Begun) and not self._dialect.is_legacy and not self._client.legacy_jobs

    async def _go_on(self, call: Call, method: Method, answer: object) -> None:
        match answer:
            case Stream():
                await self._stream(answer, method)
            case Begun(job=job):
                try:
                    result = await self._client.jobs.outcome(self._client.caller, job)
                except Problem as problem:
                    result = problem
                except DispatcherError as error:
                    result = problems.problem_of(error)
                await self._client.subscriptions.sent(0)
                await self._reply(call, result)

    async def _reply(self, call: Call, answer: object) -> None:
        if isinstance(answer, Begun):
            # Clients count on it that a job's first event comes before the answer.
            await self._client.subscriptions.sent(answer.job.changed)
            answer = answer.job.number
        if call.id is None:
            return
        if isinstance(answer, Problem):
            await self._socket.send(self._failure(call.id, answer).decode())
        else:
            first = answer.first if isinstance(answer, Stream) else answer
            text = self._dialect.result(call, first)
            if len(text) > LONGEST_FRAME and not call.method.startswith(OWN):
                text = self._failure(call.id, _TOO_LONG)
            await self._socket.send(text.decode())

    def _failure(self, call_id: bytes, problem: Problem) -> bytes:
        return self._dialect.failure(
            call_id,
            problem,
            has_full_access=self._client.caller.level is Level.FULL,
            unpickles=self._client.py_exceptions,
        )

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

    def _tell_lag(self, collection: str) -> None:
        text = self._dialect.unsubscribed(collection, _LAGGED).decode()
        self._nursery.start_soon(self._send_last, text)

    async def _send_last(self, text: str) -> None:
        try:
            await self._socket.send(text)
        except SocketClosed:
            return
