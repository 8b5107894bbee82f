"""The certificate that new connections get: renewed in time, read again when its file is another one.

Connections that are open keep the one they began with and notice nothing.
"""

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from dispatcher.errors import StartupError
from dispatcher.net.tls import Certificate, context_for, dotted
from dispatcher.settings import Listener, Tls

EVERY = 3600.0  # seconds from one look to the next

_log = logging.getLogger("dispatcher.net")


class ShownCertificate:
    """The TLS context in use. Without a listener that has TLS there is none."""

    def __init__(self, listeners: Sequence[Listener], configured: Tls | None, state_dir: Path) -> None:
        self._listeners = listeners
        self._configured = configured
        self._state_dir = state_dir
        self._complaint = ""
        self._thread = trio.CapacityLimiter(1)
        self.context: ssl.SSLContext | None = None
        self.certificate: Certificate | None = None
        self.on_changed: Callable[[Certificate], None] = lambda _certificate: None

    def current(self) -> ssl.SSLContext | None:
        """Give the context for a connection that begins now."""
        return self.context

    async def load(self) -> None:
        """Load it, making it first if need be. Raises StartupError."""
        self.context, self.certificate = await self._read()

    async def keep(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await trio.sleep(EVERY)
            for sentence in await self.refresh():
                _log.info("%s", sentence)

    async def refresh(self) -> list[str]:
        """Renew it if it is time, and load it if it is another one; say in a sentence that it was."""
        try:
            context, certificate = await self._read()
        except StartupError as error:
            # Half of a pair may have been replaced: what was loaded goes on.
            if error.sentence != self._complaint:
                _log.error("the certificate shown so far stays: %s", error.sentence)
            self._complaint = error.sentence
            return []
        self._complaint = ""
        before = self.certificate
        if certificate is None or before is None or certificate.fingerprint == before.fingerprint:
            return []
        self.context, self.certificate = context, certificate
        self.on_changed(certificate)
        return [f"certificate {certificate.certificate} is shown from now on, SHA-256 {dotted(certificate)}"]

    async def _read(self) -> tuple[ssl.SSLContext | None, Certificate | None]:
        return await trio.to_thread.run_sync(
            context_for, self._listeners, self._configured, self._state_dir, limiter=self._thread
        )
