"""The bridge as a program: its listeners, its keys and the end of both.

It holds nothing but connections: who is stopped and started again is found by the same peers anew.
"""

import logging
import os
import signal
import time
from collections.abc import Sequence
from functools import partial

import trio

from dispatcher import settings_report, start_report
from dispatcher.access.failures import Failures
from dispatcher.bridge.relay_gate import RelayGate
from dispatcher.bridge.relay_keys import FILE, TrustedKeys
from dispatcher.bridge.relay_session import Parts, serve_peer
from dispatcher.net.http import HttpHandler, Request, Response, SocketHandler
from dispatcher.net.listeners import serve
from dispatcher.net.shown_certificate import ShownCertificate
from dispatcher.net.tls import Certificate
from dispatcher.settings import Listener, Settings
from dispatcher.start_conditions import only_reason, prepare_directory, raise_descriptor_limit

LOOK_SECONDS = 1.0

log = logging.getLogger("dispatcher.bridge")


def run(settings: Settings) -> int:
    """Be the bridge until SIGTERM or SIGINT; return the exit status. Raises StartupError."""
    os.umask(0o077)
    prepare_directory(settings.bridge.state_dir, "state_dir under bridge:")
    raise_descriptor_limit()
    try:
        trio.run(_serve, settings, restrict_keyboard_interrupt_to_checkpoints=True)
    except BaseExceptionGroup as group:
        reason = only_reason(group)
        if reason is None:
            raise
        raise reason from None
    return 0


class _Routes:
    """Every path is the bridge's WebSocket."""

    def __init__(self, handler: SocketHandler) -> None:
        self._handler = handler

    def http(self, request: Request) -> HttpHandler:
        """Give the handler of a plain request."""
        del request
        return _only_websockets

    def socket(self, request: Request) -> SocketHandler:
        """Give the handler of a WebSocket."""
        del request
        return self._handler


async def _only_websockets(request: Request, body: bytes) -> Response:
    del request, body
    headers = (("content-type", "text/plain; charset=utf-8"), ("upgrade", "websocket"))
    return Response(426, headers, b"cannot answer: this is a bridge; open a WebSocket\n")


async def _serve(settings: Settings) -> None:
    bridge = settings.bridge
    keys = TrustedKeys(bridge.state_dir / FILE)
    keys.refresh()
    failures = Failures(bridge.state_dir / "refused.json", settings.auth, time.time)
    parts = Parts(RelayGate(keys, failures), settings.limits, settings.auth.token_time)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        shown = ShownCertificate(bridge.listen, settings.tls, bridge.state_dir)
        await shown.load()
        async with trio.open_nursery() as nursery:
            routes = _Routes(partial(serve_peer, parts))
            door = partial(
                serve, bridge.listen, routes, settings.limits, shown.current, is_refused=failures.is_refused
            )
            bound = await nursery.start(door)
            nursery.start_soon(_watch_keys, parts)
            nursery.start_soon(shown.keep)
            _report(settings, keys, shown.certificate, bound)
            async for number in signals:
                log.info("stopping on %s", signal.Signals(number).name)
                break
            nursery.cancel_scope.cancel()
    log.info("stopped")


async def _watch_keys(parts: Parts) -> None:
    """Notice keys that were imported or removed: nothing tells of it but the file."""
    gate = parts.gate
    before = gate.keys.all()
    while True:
        await trio.sleep(LOOK_SECONDS)
        gate.keys.refresh()
        if gate.keys.all() is before:
            continue
        old, new = set(before), set(gate.keys.all())
        before = gate.keys.all()
        if new - old:
            # Those who came before their key was imported would be refused for an hour.
            await gate.failures.lift()
        for session in list(parts.sessions):
            session.check_keys()
        counts = len(new), len(new - old), len(old - new)
        log.info("trusted keys: %d, of them new %d; no longer trusted: %d", *counts)


def _report(
    settings: Settings, keys: TrustedKeys, certificate: Certificate | None, bound: Sequence[Listener]
) -> None:
    if certificate is not None:
        log.info("%s", start_report.certificate_line(certificate))
    if keys.all():
        log.info("%d trusted keys", len(keys.all()))
    else:
        option = f" --config {settings.source}" if settings.source else ""
        log.info(
            "no keys are trusted yet, so nobody gets in: dispatcher bridge keys import NICK FILE%s", option
        )
    for sentence in settings_report.listener_warnings(settings.bridge.listen, "bridge: listen"):
        log.warning("%s", sentence)
    for one in bound:
        address = f"[{one.address}]" if ":" in one.address else one.address
        log.info("bridge listening on %s://%s:%d", "wss" if one.tls else "ws", address, one.port)
