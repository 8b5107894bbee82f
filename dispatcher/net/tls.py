"""The certificate that the dispatcher shows, and the TLS settings around it.

Without a configured certificate a self-signed one is made at the first start and kept, so that
clients can remember its fingerprint.
"""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from dispatcher.errors import StartupError

VALID_DAYS = 3650
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class Certificate(NamedTuple):
    """Where a certificate and its key lie, and the SHA-256 of the certificate in hexadecimal."""

    certificate: Path
    key: Path
    fingerprint: str


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Load a certificate (with its chain) and its key; TLS 1.2 or later. Raises StartupError."""
    for path in (certificate, key):
        _read(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    asked: list[bool] = []

    def no_password() -> str:
        asked.append(True)
        return ""  # without this OpenSSL would ask on the terminal, and wait

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (ssl.SSLError, ValueError) as error:
        raise StartupError(_why_not(certificate, key, error, is_encrypted=bool(asked))) from error
    return context


def fingerprint(certificate: Path) -> str:
    """Give the SHA-256 of the first certificate in a PEM file, as other tools show it, in lower case."""
    text = _read(certificate).decode("latin-1")
    start, end = text.find(BEGIN), text.find(END)
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[max(start, 0) : end + len(END)])).hexdigest()
    except ValueError as error:
        raise StartupError(f"cannot use certificate {certificate}: it is not in PEM form") from error


def self_signed(state_dir: Path) -> Certificate:
    """Give the dispatcher's own certificate, making it (mode 0600) if it is not there yet."""
    certificate, key = state_dir / "tls.crt", state_dir / "tls.key"
    try:
        if not (certificate.exists() and key.exists()):
            made_certificate, made_key = _make(socket.gethostname())
            # In this order, so that a pair that does not fit is never there.
            certificate.unlink(missing_ok=True)
            _write(key, made_key)
            _write(certificate, made_certificate)
    except OSError as error:
        raise StartupError(
            f"cannot make a certificate in {state_dir}: {error.strerror}; "
            "make the directory writable or set tls: in queues.yaml"
        ) from error
    return Certificate(certificate, key, fingerprint(certificate))


def _make(host: str) -> tuple[bytes, bytes]:
    # Imported here: it takes 50 ms and 10 MB, and is needed once in ten years.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    with contextlib.suppress(ValueError):  # a host name that is not ASCII cannot stand there
        names.insert(0, x509.DNSName(host))
    names += [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "::1")]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64] or "dispatcher")])
    now = dt.datetime.now(dt.UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clients whose clock is behind
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS - 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    """Put a file in its place in one go, readable by us only from its first byte."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    part.rename(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(
            f"cannot read {path}: {error.strerror}; correct tls: in queues.yaml or the file's mode"
        ) from error


def _why_not(certificate: Path, key: Path, error: Exception, *, is_encrypted: bool) -> str:
    reason = getattr(error, "reason", None) or ""
    if is_encrypted:
        why = f"the key {key} asks for a password; store it without one (openssl pkey)"
    elif reason == "KEY_VALUES_MISMATCH":
        why = f"the key {key} belongs to another certificate; name the pair that was made together"
    else:
        why = f"it or its key {key} is not in PEM form ({error}); correct tls: in queues.yaml"
    return f"cannot use certificate {certificate}: {why}"
