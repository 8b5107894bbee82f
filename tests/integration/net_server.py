"""A server of `dispatcher.net` for tests: echo, broadcast and failing handlers on port 0, and raw clients."""

import contextlib
import math
import ssl
from pathlib import Path

import trio

from dispatcher import settings
from dispatcher.net.http import Response
from dispatcher.net.listeners import serve

LOCAL = "127.0.0.1"
PLAIN = settings.Listener(address=LOCAL, port=0, tls=False)
SECURE = settings.Listener(address=LOCAL, port=0, tls=True)
ROOMY = settings.Limits()
SMALL = settings.Limits(message_bytes=100_000, outbox_bytes=100_000, send_timeout=0.5)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
HANDSHAKE = (
    "GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


class Site:
    """Routes: /echo by HTTP and WebSocket, /crash, /deaf (a session that is busy), /hub (listens)."""

    def __init__(self):
        self.members = []
        self.peers = []
        self.requests = []
        self._arriving, self.arrivals = trio.open_memory_channel(math.inf)
        self._leaving, self.leavings = trio.open_memory_channel(math.inf)
        self.go = trio.Event()

    def http(self, request):
        self.peers.append(request.peer)
        return self.crash_http if request.path == "/crash" else self.echo_http

    def socket(self, request):
        self.peers.append(request.peer)
        known = {
            "/echo": self.echo,
            "/crash": self.crash,
            "/deaf": self.deaf,
            "/hub": self.hub,
            "/bye": self.bye,
        }
        return known.get(request.path)

    async def arrived(self, count=1):
        """Return when so many more sessions have joined the hub."""
        for _ in range(count):
            await self.arrivals.receive()

    async def left(self):
        """Return when one more echoing session has ended."""
        return await self.leavings.receive()

    async def echo_http(self, request, body):
        self.requests.append((request, body))
        text = f"{request.method} {request.path} ".encode()
        return Response(200, (("x-one", "1"),), text + body)

    async def crash_http(self, request, body):
        raise RuntimeError("broken on purpose")

    async def crash(self, socket, request):
        await socket.receive()
        raise RuntimeError("broken on purpose")

    async def echo(self, socket, request):
        try:
            while True:
                await socket.send(await socket.receive())
        finally:
            self._leaving.send_nowait(request.path)

    async def deaf(self, socket, request):
        await self.go.wait()
        await self.echo(socket, request)

    async def hub(self, socket, request):
        self.members.append(socket)
        self._arriving.send_nowait(socket)
        await self.echo(socket, request)

    async def bye(self, socket, request):
        await socket.close(4001, await socket.receive())


class Running:
    """A server that runs: where it listens and its site."""

    def __init__(self, bound, site, scope, nursery):
        self.bound = bound
        self.site = site
        self.ended = trio.Event()
        self._scope = scope
        self._nursery = nursery

    @property
    def port(self):
        return self.bound[0].port

    async def stop(self):
        """Cancel the server as the supervisor does, and wait for its end."""
        self._scope.cancel()
        await self.ended.wait()

    def tasks(self):
        """Count the server's tasks."""
        return len(list(_below(self._nursery)))


def _below(nursery):
    for task in nursery.child_tasks:
        yield task
        for inner in task.child_nurseries:
            yield from _below(inner)


@contextlib.asynccontextmanager
async def running(*listeners, limits=ROOMY, tls=None):
    """Run a server inside `async with`, for at most 20 seconds."""

    async def run(*, task_status):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                site = Site()
                bound = await inner.start(serve, listeners or (PLAIN,), site, limits, tls)
                server = Running(bound, site, scope, inner)
                task_status.started(server)
        server.ended.set()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(run)
            yield server
            nursery.cancel_scope.cancel()


def client_tls(certificate: Path):
    return ssl.create_default_context(cafile=str(certificate))


async def talk(port, data):
    """Send bytes, end our side, and give everything that comes back."""
    async with await trio.open_tcp_stream(LOCAL, port) as stream:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(data)
            await stream.send_eof()
        return await rest_of(stream)


async def rest_of(stream):
    answer = b""
    with contextlib.suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some():
            answer += piece
    return answer


async def read_until(stream, mark):
    answer = b""
    while mark not in answer:
        piece = await stream.receive_some()
        assert piece, answer
        answer += piece
    return answer


def masked(first, payload, mask=b"\x01\x02\x03\x04"):
    """One client frame."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8)
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


async def open_raw(port, path="/echo", behind=b""):
    """Open a WebSocket by hand; give the stream and what came behind the 101."""
    stream = await trio.open_tcp_stream(LOCAL, port)
    await stream.send_all(HANDSHAKE.replace(b"/echo", path.encode(), 1) + behind)
    answer = await read_until(stream, b"\r\n\r\n")
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    return stream, rest
