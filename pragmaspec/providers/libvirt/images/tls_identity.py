"""The certificate of one offer: self-signed, created for it alone, and the only one that the peer trusts."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SKEW = timedelta(days=1)
"""The maximum clock difference between hosts. The key is discarded with the offer, hours before the certificate expires."""


class TlsIdentity(NamedTuple):
    """A private key and its certificate, both PEM."""

    key: str
    certificate: str


def new_tls_identity(host_name: str) -> TlsIdentity:
    """Create a key on the curve P-256, and its self-signed certificate for the server ``host_name``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host_name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _SKEW)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return TlsIdentity(pem.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())
