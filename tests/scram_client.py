"""A client of SCRAM-SHA-512, written from RFC 5802 alone: nothing of the dispatcher's own code."""

import base64
import hashlib
import hmac
import secrets
import ssl
from pathlib import Path


class ScramClient:
    """One login: `first`, then `final` for the server's first message, then `is_server`."""

    def __init__(
        self,
        user: str,
        password: str,
        *,
        header: str = "n,,",
        binding: bytes = b"",
        nonce: str | None = None,
    ) -> None:
        # 24 bytes in base64 have no padding.
        self.nonce = nonce or base64.b64encode(secrets.token_bytes(24)).decode()
        self._password = password
        self._header = header
        self._binding = binding
        self._bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        self._server_signature = b""

    @property
    def first(self) -> str:
        return self._header + self._bare

    def final(self, server_first: str, *, is_strict: bool = True, nonce: str | None = None) -> str:
        """Answer the server's first message; `is_strict` looks whether our nonce is the beginning of its.

        `nonce` is signed and sent in place of the server's.
        """
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        if is_strict:
            assert fields["r"].startswith(self.nonce)
        assert len(fields["r"]) > len(self.nonce) + 24
        assert 50_000 <= int(fields["i"]) <= 5_000_000
        salt = base64.b64decode(fields["s"], validate=True)
        salted = hashlib.pbkdf2_hmac("sha512", self._password.encode(), salt, int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha512")
        stored_key = hashlib.sha512(client_key).digest()
        channel = base64.b64encode(self._header.encode() + self._binding).decode()
        without_proof = f"c={channel},r={nonce or fields['r']}"
        message = f"{self._bare},{server_first},{without_proof}".encode()
        signature = hmac.digest(stored_key, message, "sha512")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha512")
        self._server_signature = hmac.digest(server_key, message, "sha512")
        return f"{without_proof},p={base64.b64encode(proof).decode()}"

    def is_server(self, server_final: str) -> bool:
        """Whether the server has proved that it knows us."""
        return server_final == "v=" + base64.b64encode(self._server_signature).decode()


def end_point_of(certificate: Path) -> bytes:
    """Give the binding to a certificate that is signed with SHA-256 (RFC 5929)."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).digest()
