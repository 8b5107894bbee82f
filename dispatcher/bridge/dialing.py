"""Open a WebSocket to a bridge, and decide whether its certificate will do.

Bridges have self-signed certificates, and their names are not looked at: so anybody on the way can be
the bridge for a client that pins no fingerprint. What is sealed stays unread all the same.
"""

import contextlib
import datetime as dt
import hashlib
import hmac
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from typing import cast
from urllib.parse import SplitResult, urlsplit

import trio
import trio_websocket

from dispatcher.errors import DispatcherError
from dispatcher.net.outbox import send_in_slices

DEFAULT_PORT = 12149
OPEN_SECONDS = 30.0  # for TCP, TLS and the handshake together
CLOSE_SECONDS = 2.0
RECEIVE_BYTES = 64 * 1024

log = logging.getLogger("dispatcher.bridge")


class BridgeUnreachable(DispatcherError):
    """There is no connection to the bridge, or none that can be trusted."""

    code = "unreachable"


class _SlicedStream(trio.abc.Stream):
    """A stream whose peer must take something of what is sent within a time; `on_end` hears of its end."""

    def __init__(self, inner: trio.abc.Stream, send_timeout: float, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._inner = inner
        self._send_timeout = send_timeout

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Read."""
        data: bytes | bytearray = b""
        try:
            # Some of the library's versions ask for 4 KiB at most, and all take what comes.
            data = await self._inner.receive_some(max(max_bytes or 0, RECEIVE_BYTES))
        finally:
            if not data:
                self._on_end()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write; BrokenResourceError if the peer takes nothing for too long."""
        try:
            await send_in_slices(self._inner, bytes(data), self._send_timeout)
        except trio.TooSlowError as error:
            await trio.aclose_forcefully(self._inner)
            raise trio.BrokenResourceError("the bridge takes nothing") from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room."""
        await self._inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()


@contextlib.asynccontextmanager
async def dialled(
    url: str, fingerprint: str, message_bytes: int, send_timeout: float
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Give an open connection, and close it after the block. Raises BridgeUnreachable.

    `fingerprint` is the SHA-256 that the certificate must have, in lower case hex, or "". Messages from
    the bridge have at most `message_bytes` characters.
    """
    try:
        with trio.fail_after(OPEN_SECONDS):
            transport = await _connect(urlsplit(url), fingerprint)
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise BridgeUnreachable(f"cannot reach {url}: {_why(error)}; look whether it runs") from error
    except trio.TooSlowError as error:
        raise BridgeUnreachable(_no_answer(url)) from error
    try:
        async with trio.open_nursery() as nursery:
            connection, lifetime = await nursery.start(_carry, transport, url, message_bytes, send_timeout)
            try:
                yield connection
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                    await connection.aclose()
                lifetime.cancel()
    except BaseExceptionGroup as group:
        raise _only(group) from None
    finally:
        await trio.aclose_forcefully(transport)


async def _carry(
    transport: trio.abc.Stream,
    url: str,
    message_bytes: int,
    send_timeout: float,
    *,
    task_status: trio.TaskStatus[tuple[trio_websocket.WebSocketConnection, trio.CancelScope]],
) -> None:
    """Run the library, shielded from the handshake on: it can only say goodbye while its reader runs."""
    is_open = False
    with trio.CancelScope() as lifetime:
        try:
            async with trio.open_nursery() as nursery:
                connection = await _shake_hands(nursery, transport, url, message_bytes, send_timeout)
                is_open = True
                task_status.started((connection, lifetime))
                # If that was cancelled nobody will ever use the scope: do not hide behind it.
                await trio.lowlevel.checkpoint_if_cancelled()
                lifetime.shield = True
                await trio.sleep_forever()
        except* Exception as group:
            error = _only(group)
            if not is_open:
                # The library stumbles over most answers that are no handshake, each time in another way.
                raise error if isinstance(error, BridgeUnreachable) else _no_bridge(url) from group
            log.debug("a connection to a bridge ended early: %r", group.exceptions)


async def _shake_hands(
    nursery: trio.Nursery, transport: trio.abc.Stream, url: str, message_bytes: int, send_timeout: float
) -> trio_websocket.WebSocketConnection:
    parts = urlsplit(url)
    # The library waits for ever on a handshake that ends without an answer.
    with trio.CancelScope(deadline=trio.current_time() + OPEN_SECONDS) as waiting:
        stream = _SlicedStream(transport, send_timeout, waiting.cancel)
        return await trio_websocket.wrap_client_stream(
            nursery,
            cast("trio.SocketStream", stream),  # it calls nothing but what every stream has
            parts.netloc,
            parts.path or "/",
            max_message_size=message_bytes,
        )
    raise BridgeUnreachable(_no_answer(url)) if trio.current_time() >= waiting.deadline else _no_bridge(url)


async def _connect(url: SplitResult, fingerprint: str) -> trio.abc.Stream:
    host, port = url.hostname or "", url.port or DEFAULT_PORT
    stream = await trio.open_tcp_stream(host, port)
    if url.scheme == "ws":
        return stream
    secure = await _handshake(stream, _context(), host)
    try:
        certificate = secure.getpeercert(binary_form=True)
        _require_trust(certificate, fingerprint, f"cannot trust the bridge at {host} port {port}")
        if fingerprint or _is_self_signed(certificate):
            return secure
    except BaseException:
        await trio.aclose_forcefully(secure)
        raise
    # Somebody has signed it: then it must be somebody whom this system trusts.
    await trio.aclose_forcefully(secure)
    checked = ssl.create_default_context()
    checked.check_hostname = False
    return await _handshake(await trio.open_tcp_stream(host, port), checked, host)


async def _handshake(
    stream: trio.SocketStream, context: ssl.SSLContext, host: str
) -> "trio.SSLStream[trio.SocketStream]":
    secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # looked at after the handshake instead
    return context


def _require_trust(certificate: bytes, fingerprint: str, cannot: str) -> None:
    """Raise BridgeUnreachable if a certificate has another fingerprint, or its time is not now."""
    if fingerprint:
        found = hashlib.sha256(certificate).hexdigest()
        if not hmac.compare_digest(found, fingerprint):
            raise BridgeUnreachable(
                f"{cannot}: its certificate has the SHA-256 {found}, which is another fingerprint than"
                " yours; look which of the two is right"
            )
        return
    from cryptography import x509  # noqa: PLC0415 - it takes 50 ms and 10 MB

    one = x509.load_der_x509_certificate(certificate)
    if not one.not_valid_before_utc <= dt.datetime.now(dt.UTC) <= one.not_valid_after_utc:
        raise BridgeUnreachable(
            f"{cannot}: its certificate is valid from {one.not_valid_before_utc:%Y-%m-%d} to"
            f" {one.not_valid_after_utc:%Y-%m-%d} only; look at the clocks, or make a new one there"
        )


def _is_self_signed(certificate: bytes) -> bool:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415

    one = x509.load_der_x509_certificate(certificate)
    try:
        one.verify_directly_issued_by(one)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _no_bridge(url: str) -> BridgeUnreachable:
    return BridgeUnreachable(
        f"cannot speak with {url}: what answers there is no bridge, or refuses this address"
    )


def _no_answer(url: str) -> str:
    return f"cannot reach {url}: no answer within {OPEN_SECONDS:g} s; look whether it runs"


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the one error in a group, or the group if there are more."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _why(error: Exception) -> str:
    # What says little itself has been raised from what says more.
    cause = error if isinstance(error, OSError) and error.strerror else error.__cause__ or error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
