"""Images that a host hands to its neighbours, so that they need not all be sent from here.

The host serves the files of its pool over https for as long as the offer stands, and only to who knows their names: 256 random
bits each. Names and keys get to both hosts through ssh; neither is let into the other.

A certificate for one offer, which nobody signs and nobody else has: whoever is told to trust it alone talks to that offer.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.host_download import NEIGHBOUR
from pragmaspec.providers.libvirt.images.stage import whole
from pragmaspec.providers.libvirt.remote_shell import RemoteResult, RemoteShell, ServerStartError
from pragmaspec.resources import Mark, StagedImage

_SKEW = timedelta(days=1)
"""How far clocks of hosts may differ. Its key is gone with the offer, hours before it expires."""


class TlsIdentity(NamedTuple):
    """A private key and its certificate, both PEM."""

    key: str
    certificate: str


def new_identity(made_out_to: str) -> TlsIdentity:
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
    return TlsIdentity(written.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())


LIMIT_S = 20.0
"""How long a host may take to begin."""
NO_PYTHON, NO_ADDRESS = 71, 72
SCRIPT = 'command -v python3 >/dev/null 2>&1 || exit 71; exec python3 -I -c "$@"'

_WHY = {NO_PYTHON: "the host has no python3", NO_ADDRESS: "its ssh server does not say under which address it was reached"}


@contextmanager
def offered(host: Host, image: StagedImage, coming: Mark | None = None) -> Iterator[Offer]:
    """Hand out ``image`` for the time of the ``with`` block. Raises SiteError when that cannot be.

    With ``coming`` also what the host is just being handed itself, as it arrives.
    """
    if coming is None and not whole(host, image):
        raise _not_offered(host, image, "the image is not there")

    volumes, identity = names.image_volumes(image), new_identity(NEIGHBOUR)
    paths = {part: f"/{secrets.token_hex(32)}" for part in volumes}
    parts = [
        {
            "path": paths[part],
            "size": getattr(image, part).size_bytes,
            "files": [host.path(name) for name in (volume, *([names.coming_volume(volume, coming)] if coming else []))],
        }
        for part, volume in volumes.items()
    ]
    told = json.dumps({"identity": identity.key + identity.certificate, "parts": parts})
    program = files(__package__).joinpath("peer_server.py").read_text(encoding="utf-8")
    try:
        with RemoteShell(host.site.uri).serving(SCRIPT, (program,), f"{told}\n".encode(), LIMIT_S) as said:
            address, port = said.split()
            reach("libvirt.image.offered")
            yield Offer(address=address, port=int(port), certificate=identity.certificate, paths=tuple(paths.items()))
    except ServerStartError as error:
        raise _not_offered(host, image, _why(error.ended)) from error


def _why(ended: RemoteResult) -> str:
    return _WHY.get(ended.status, ended.complained or "no command can be run on the host")


def _not_offered(host: Host, image: StagedImage, why: str) -> SiteError:
    return SiteError(
        "The image was not passed on", f"Site {host.site.name} could not hand image {image.name} to its neighbours: {why}."
    )
