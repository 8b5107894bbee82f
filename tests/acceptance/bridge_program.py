"""A real bridge for a test: started as a user starts it, in a folder of its own, and ended after.

A client is matched by the keys that are imported under the nick of the key it logs in with; a
server by whatever keys it lists. A running bridge notices imported and removed keys by itself.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from tests.program import PATIENCE, PROGRAM, ROOT, Program

LISTENING = re.compile(r"^bridge listening on (wss?://\S+)$")


class BridgeProgram(Program):
    """One `dispatcher bridge serve`. `settings` are top-level keys of queues.yaml; `listen` its URLs.

    The port that it got is taken again by a restart.
    """

    name = "bridge"

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        listen: Sequence[str] = ("wss://127.0.0.1:0",),
        program: Sequence[str] = PROGRAM,
    ) -> None:
        super().__init__(program)
        self.folder = folder
        self.state_dir = folder / "bridge"
        self.config = folder / "bridge.yaml"
        self.config.write_text(yaml.safe_dump({"state_dir": str(folder)} | dict(settings or {})))
        self.urls: list[str] = list(listen)

    @property
    def url(self) -> str:
        """Where the bridge listens: `wss://127.0.0.1:PORT`, or `ws://...`."""
        return self.urls[0]

    @property
    def certificate(self) -> Path:
        """The certificate that the bridge has made for itself."""
        return self.state_dir / "tls.crt"

    def arguments(self) -> Sequence[str]:
        """Be the bridge of these settings."""
        listen = [word for url in self.urls for word in ("--listen", url)]
        return ("bridge", "serve", "--config", str(self.config), *listen)

    def is_ready(self) -> bool:
        """Whether it has named each socket."""
        return len(self._found()) >= len(self.urls)

    def start(self) -> None:
        """Start the bridge; note where it listens."""
        super().start()
        self.urls = self._found()

    def end(self) -> None:
        """End the bridge, whatever the test left."""
        if self._process is not None:
            self.kill9()

    def import_key(self, nick: str, pem: Path, only: str | None = None) -> None:
        """Trust the key in a PEM file: a certificate, a public or a private key."""
        self.keys("import", nick, str(pem), *(("--only", only) if only else ()), check=True)

    def keys(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Call `dispatcher bridge keys`, as a user would."""
        return subprocess.run(
            [*PROGRAM, "bridge", "keys", *arguments, "--config", str(self.config)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=PATIENCE,
        )

    def _found(self) -> list[str]:
        return [match[1] for line in list(self._said) if (match := LISTENING.match(line.rstrip()))]


@contextlib.contextmanager
def bridging(bridge: BridgeProgram) -> Iterator[BridgeProgram]:
    """Start a bridge; end it after."""
    try:
        bridge.start()
        yield bridge
    finally:
        bridge.end()
