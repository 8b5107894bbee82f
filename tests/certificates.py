"""Certificates for tests: of any dates, self-signed or signed by a CA."""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write_pair(
    certificate: Path, key: Path, begins: dt.timedelta, ends: dt.timedelta, *, issuer: str = "localhost"
) -> tuple[float, float]:
    """Write a pair for localhost, valid from and until so long from now; give these instants."""
    private = ec.generate_private_key(ec.SECP256R1())
    signer = private if issuer == "localhost" else ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    built = (
        x509.CertificateBuilder()
        .subject_name(name("localhost"))
        .issuer_name(name(issuer))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    for path, data in (
        (
            key,
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        ),
        (certificate, built.public_bytes(serialization.Encoding.PEM)),
    ):
        path.write_bytes(data)
        path.chmod(0o600)
    return (now + begins).timestamp(), (now + ends).timestamp()
