"""Which bridges are connected to: by their certificates, and by what they answer."""

import datetime as dt
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dispatcher.bridge import dialing
from dispatcher.bridge.dialing import BridgeUnreachable, dialled

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
ISSUER_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(folder: Path, *, begins: dt.datetime, ends: dt.datetime, signer: Any = None) -> Path:
    """A certificate and its key in one file; self-signed, or signed by another's key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another.example")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]) if signer else name
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(signer or key, hashes.SHA256())
    )
    path = folder / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(
        ssl.PEM_cert_to_DER_cert(path.read_text().partition("-----BEGIN PRIV")[0])
    ).hexdigest()


@asynccontextmanager
async def served(path: Path | None) -> AsyncIterator[str]:
    """A WebSocket server that says hello; gives its URL."""

    async def hello(request: Any) -> None:
        socket = await request.accept()
        await socket.send_message("hello")
        with pytest.raises(trio_websocket.ConnectionClosed):
            await socket.get_message()

    context = None
    if path is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, hello, "127.0.0.1", 0, context)
        yield f"{'ws' if context is None else 'wss'}://127.0.0.1:{server.port}/"
        nursery.cancel_scope.cancel()


async def heard(url: str, fingerprint: str = "") -> object:
    with trio.fail_after(20):
        async with dialled(url, fingerprint, 1000, 5) as socket:
            return await socket.get_message()


async def test_a_self_signed_certificate_will_do_whatever_its_name(tmp_path):
    path = certificate(tmp_path, begins=NOW - DAY, ends=NOW + DAY)
    async with served(path) as url:
        assert await heard(url) == "hello"
    async with served(None) as url:
        assert await heard(url) == "hello"


async def test_with_a_fingerprint_only_that_certificate_will_do(tmp_path):
    path = certificate(tmp_path, begins=NOW - 3 * DAY, ends=NOW - DAY, signer=ISSUER_KEY)
    async with served(path) as url:
        assert await heard(url, sha256(path)) == "hello"
        with pytest.raises(BridgeUnreachable, match=f"SHA-256 {sha256(path)}, which is another"):
            await heard(url, "0" * 64)


@pytest.mark.parametrize(("begins", "ends"), [(NOW - 2 * DAY, NOW - DAY), (NOW + DAY, NOW + 2 * DAY)])
async def test_a_certificate_whose_time_is_not_now_is_refused(begins, ends, tmp_path):
    async with served(certificate(tmp_path, begins=begins, ends=ends)) as url:
        with pytest.raises(BridgeUnreachable, match=r"is valid from .* only; look at the clocks"):
            await heard(url)


async def test_a_certificate_that_somebody_unknown_has_signed_is_refused(tmp_path):
    path = certificate(tmp_path, begins=NOW - DAY, ends=NOW + DAY, signer=ISSUER_KEY)
    async with served(path) as url:
        with pytest.raises(BridgeUnreachable, match="cannot reach wss://"):
            await heard(url)


async def test_a_port_where_nobody_listens_is_told():
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener[0].socket.getsockname()[1]
    await listener[0].aclose()

    with pytest.raises(BridgeUnreachable, match=f"cannot reach ws://127.0.0.1:{port}: .*refused"):
        await heard(f"ws://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0\r\n\r\n"]
)
async def test_what_is_no_bridge_is_told(answer):
    async def no_bridge(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if answer:
                await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, no_bridge, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        for scheme in ("ws", "wss"):
            with pytest.raises(BridgeUnreachable, match=r"cannot (speak with|reach) "):
                await heard(f"{scheme}://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()


async def test_who_answers_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(dialing, "OPEN_SECONDS", 0.05)

    async def silent(stream: trio.SocketStream) -> None:
        async with stream:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, silent, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        for scheme in ("ws", "wss"):
            with pytest.raises(BridgeUnreachable, match=r"no answer within 0\.05 s"):
                await heard(f"{scheme}://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()


async def test_who_is_cancelled_says_goodbye_and_is_not_kept_by_that(monkeypatch):
    monkeypatch.setattr(dialing, "CLOSE_SECONDS", 60)
    async with served(None) as url:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(heard_for_ever, url, nursery.cancel_scope)


async def heard_for_ever(url: str, scope: trio.CancelScope) -> None:
    async with dialled(url, "", 1000, 5) as socket:
        while True:
            await socket.get_message()
            scope.cancel()


async def test_an_error_of_the_one_who_uses_it_comes_out_as_it_is(tmp_path):
    async with served(None) as url:
        with pytest.raises(KeyError, match="mine"):
            async with dialled(url, "", 1000, 5):
                raise KeyError("mine")
