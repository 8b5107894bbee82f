"""Peers of a bridge made of `websockets`: they speak the protocol of the documents and nothing of ours."""

import base64
import hashlib
import json
import ssl
from contextlib import ExitStack
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.bridge_program import BridgeProgram

PATIENCE = 20.0

Fields = dict[str, Any]


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """The public half, in the form that is summed."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sum_of(key: rsa.RSAPrivateKey) -> str:
    """Base64 of the MD5 of the public half."""
    return base64.b64encode(hashlib.md5(pem(key), usedforsecurity=False).digest()).decode()


def signed(key: rsa.RSAPrivateKey, text: str) -> str:
    """The private operation on type-1 padding, no hash: what the stock client makes of a test string."""
    numbers = key.private_numbers()
    size = key.key_size // 8
    block = b"\x00\x01" + b"\xff" * (size - 3 - len(text)) + b"\x00" + text.encode("ascii")
    result = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)
    return base64.b64encode(result.to_bytes(size)).decode()


class Peer:
    """One connection to a bridge; to be used in a `with`. It blocks."""

    def __init__(self, bridge: BridgeProgram, url: str = "", **options: Any) -> None:
        self.id = ""
        self._bridge = bridge
        self._url = url or bridge.url
        self._options: dict[str, Any] = {"compression": None, "max_size": None} | options
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        if self._url.startswith("wss"):
            # Trusted because it is pinned, as a peer does with a self-signed certificate.
            self._options["ssl"] = ssl.create_default_context(cafile=self._bridge.certificate)
        self.socket: ClientConnection = self._closing.enter_context(connect(self._url, **self._options))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def say(self, message: Fields | str | bytes) -> None:
        self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    def hear(self) -> Fields:
        """Give the next message, which must be an object."""
        found: Fields = json.loads(self.raw())
        return found

    def raw(self) -> str:
        """Give the next message as it is."""
        text = self.socket.recv(timeout=PATIENCE)
        assert isinstance(text, str), "every message is text"
        return text

    def ask(self, name: str, args: object, namespace: str = "rpc", call_id: str = "1") -> Fields:
        """Send a request and give what comes next."""
        self.say({"namespace": namespace, "name": name, "id": call_id, "args": args})
        return self.hear()

    def answer(self, to: str, args: object) -> None:
        """Reply to the request with this id."""
        self.say({"namespace": "rpc", "name": "response", "id": to, "args": args})

    def identify(self, kind: str) -> None:
        """Take the first message of a bridge and say what we are."""
        asked = self.hear()
        assert asked == {
            "args": "",
            "id": "sysadm_bridge_request_ident",
            "name": "identify",
            "namespace": "rpc",
        }
        self.answer("sysadm_bridge_request_ident", {"type": kind, "hostname": "probe"})

    def challenge(self, args: object = "") -> str:
        text: str = self.ask("auth_ssl", args)["args"]["test_string"]
        return text

    def prove(self, key: rsa.RSAPrivateKey, text: str) -> Fields:
        """Show a signature; give the answer to that."""
        return self.ask("auth_ssl", {"encrypted_string": signed(key, text)})

    def log_in(self, key: rsa.RSAPrivateKey) -> None:
        answer = self.prove(key, self.challenge())
        assert answer["name"] == "response", answer

    def join(self, kind: str, key: rsa.RSAPrivateKey, sums: list[str]) -> Self:
        """Do all that it takes to be here; return when the bridge has taken it in."""
        self.identify(kind)
        self.log_in(key)
        assert self.hear()["id"] == "bridge_request_list_keys"
        self.answer("bridge_request_list_keys", {"md5_keys": sums})
        return self

    def sights(self) -> list[str]:
        """Wait for the next event; give whom we see now."""
        event = self.hear()
        found: list[str] = event["args"].pop("available_connections")
        assert event == {"args": {}, "id": "", "name": "bridge", "namespace": "events"}
        return found

    def pass_on(self, to: str, payload: str) -> None:
        self.say(f"{to}\n{payload}")

    def passed(self) -> tuple[str, str]:
        """Wait for a message of another peer; give its id and what it says."""
        sender, _, payload = self.raw().partition("\n")
        return sender, payload

    def settled(self) -> None:
        """Return when the bridge has taken all that we said, and has told us nothing meanwhile."""
        answer = self.ask("identify", "", call_id="settled")
        assert answer["id"] == "settled", answer

    def closed(self) -> tuple[int, str]:
        """Wait for the end of the connection; give the code and reason of it."""
        try:
            while True:
                self.socket.recv(timeout=PATIENCE)
        except ConnectionClosed as end:
            goodbye = end.rcvd
        assert goodbye is not None, "it was closed without a word"
        return goodbye.code, goodbye.reason
