"""A certificate for one offer, which nobody signs and nobody else has: whoever is told to trust it alone talks to that offer."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SKEW = timedelta(days=1)
"""How far clocks of hosts may differ. Its key is gone with the offer, hours before it expires."""


class Identity(NamedTuple):
    """A private key and its certificate, both PEM."""

    key: str
    certificate: str


def new_identity(made_out_to: str) -> Identity:
    """A new key on the curve P-256, and its certificate for a server of the name ``made_out_to``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, made_out_to)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _SKEW)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(made_out_to)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(written.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())
