"""The hash of a server's certificate by which SCRAM binds a login to its TLS connection (RFC 5929, 4.1)."""

import hashlib
import ssl
from pathlib import Path

# By the signature's object identifier, in DER: those for which clients know a hash, MD5 and SHA-1 taken
# for SHA-256. For others, as EdDSA and RSA-PSS, none is defined.
_HASHES = {
    bytes.fromhex("2a864886f70d010104"): "sha256",  # RSA with MD5
    bytes.fromhex("2a864886f70d010105"): "sha256",  # RSA with SHA-1
    bytes.fromhex("2a864886f70d01010b"): "sha256",  # RSA with SHA-256, and so on
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a864886f70d01010e"): "sha224",
    bytes.fromhex("2a8648ce3d0401"): "sha256",  # ECDSA with SHA-1
    bytes.fromhex("2a8648ce3d040301"): "sha224",  # ECDSA with SHA-224, and so on
    bytes.fromhex("2a8648ce3d040302"): "sha256",
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def server_end_point(pem: Path) -> bytes:
    """Give the hash of the first certificate in a PEM file; b"" if none is defined. Raises OSError."""
    text = pem.read_text("latin-1")
    end = text.find(_END) + len(_END)
    try:
        der = ssl.PEM_cert_to_DER_cert(text[max(text.find(_BEGIN), 0) : end])
        name = _HASHES.get(_signature(der))
    except (ValueError, IndexError):
        return b""
    return hashlib.new(name, der).digest() if name else b""


def _signature(der: bytes) -> bytes:
    """Give the identifier of the signature: SEQUENCE {what is signed, SEQUENCE {this, ...}, ...}."""
    inside, _ = value_at(der, 0)
    _, behind_signed = value_at(der, inside)
    algorithm, _ = value_at(der, behind_signed)
    start, end = value_at(der, algorithm)
    return der[start:end]


def value_at(der: bytes, at: int) -> tuple[int, int]:
    """Give where the value of the element at an offset begins and ends."""
    length, start = der[at + 1], at + 2
    if length >= 0x80:
        digits = length & 0x7F
        length, start = int.from_bytes(der[start : start + digits]), start + digits
    return start, start + length
