"""Two daemons and a client that meet at a bridge, each started as a user starts it."""

import base64
import contextlib
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dispatcher.bridge.own_key import OwnKey
from dispatcher.bridge.relay import Kind
from dispatcher.bridge.relay_keys import FILE, TrustedKeys
from tests.acceptance.bridge_program import BridgeProgram, bridging
from tests.acceptance.sysadm_client import Client, call
from tests.daemon import Account, Daemon, running


class Town:
    """A bridge, the daemons `north` and `south` by name, and a client's key that is known everywhere."""

    def __init__(self, bridge: BridgeProgram, daemons: dict[str, Daemon], key: OwnKey) -> None:
        self.bridge = bridge
        self.daemons = daemons
        self.key = key

    def daemon_key(self, name: str) -> str:
        """What the client is given to know a daemon by."""
        return (self.daemons[name].state_dir / "bridge.pub").read_text()


def write_key(path: Path) -> OwnKey:
    """Make a key, and its file."""
    private = rsa.generate_private_key(65537, 2048)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return OwnKey(private)


def fingerprint(certificate: Path) -> str:
    """The SHA-256 of a certificate."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def register(daemon: Daemon, key: OwnKey, account: Account = Daemon.account) -> None:
    """Register a key at a daemon, over a direct connection."""
    with Client(daemon, account) as client:
        pub_key = base64.b64encode(key.pem).decode()
        answer = client.ask(call("settings", {"action": "register_ssl_cert", "pub_key": pub_key}))
        assert answer["args"] == {}


def trust(bridge: BridgeProgram, nick: str, file: Path, kind: Kind) -> None:
    """Have a running bridge trust a key; `dispatcher bridge keys import` does the same, and takes longer."""
    TrustedKeys(bridge.state_dir / FILE).add(nick, file, kind)


@contextlib.contextmanager
def founded(accounts_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town that is ended with all its processes. North takes old clients, too; south has no need to."""
    with contextlib.ExitStack() as stack:
        bridge = stack.enter_context(bridging(BridgeProgram(tmp_path_factory.mktemp("b"))))
        to = {"name": "office", "url": bridge.url, "fingerprint": fingerprint(bridge.certificate)}
        daemons = {}
        for name in ("north", "south"):
            folder = tmp_path_factory.mktemp("d")
            trust(bridge, name, _key_file(folder), Kind.SERVER)
            bridges = {"require_encryption": name == "south", "to": [to]}
            daemons[name] = Daemon(folder, accounts_file, {"bridges": bridges})
        key = write_key(bridge.folder / "client.key")
        trust(bridge, "desk", bridge.folder / "client.key", Kind.CLIENT)
        for daemon in daemons.values():
            stack.enter_context(running(daemon))
            register(daemon, key)
        yield Town(bridge, daemons, key)


def _key_file(folder: Path) -> Path:
    """Put a key where the daemon looks for its own, so that it need not make one."""
    path = folder / "state" / "bridge.key"
    write_key(path)
    path.parent.chmod(0o700)
    return path
