"""Offers of images by a host to its peers, so that not every host needs a transfer from outside.

The host serves the files of its pool over HTTPS until the offer is withdrawn, and only under their secret paths of 256 random
bits each. Paths and keys reach both hosts through ssh; neither host gets access to the other.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.host_download import PEER_HOST_NAME
from pragmaspec.providers.libvirt.images.stage import is_complete
from pragmaspec.providers.libvirt.remote_shell import RemoteResult, RemoteShell, ServerStartError
from pragmaspec.resources import Mark, StagedImage

LIMIT_S = 20.0
"""Seconds that a host may take to start serving."""
NO_PYTHON, NO_ADDRESS = 71, 72
SCRIPT = 'command -v python3 >/dev/null 2>&1 || exit 71; exec python3 -I -c "$@"'

_REASONS = {NO_PYTHON: "the host has no python3", NO_ADDRESS: "its ssh server does not report the address of the connection"}


@contextmanager
def offer_image(host: Host, image: StagedImage, incoming: Mark | None = None) -> Iterator[Offer]:
    """Serve ``image`` for the duration of the ``with`` block. Raises SiteError when that fails.

    With ``incoming`` also parts that the host itself is still copying, as their bytes arrive.
    """
    if incoming is None and not is_complete(host, image):
        raise _offer_error(host, image, "the image is not there")

    from pragmaspec.providers.libvirt.images.tls_identity import new_tls_identity  # noqa: PLC0415 - takes 60 ms to import

    volumes, identity = names.image_volumes(image), new_tls_identity(PEER_HOST_NAME)
    paths = {part: f"/{secrets.token_hex(32)}" for part in volumes}
    parts = [
        {
            "path": paths[part],
            "size": getattr(image, part).size_bytes,
            "files": [host.path(name) for name in (volume, *([names.partial_volume(volume, incoming)] if incoming else []))],
        }
        for part, volume in volumes.items()
    ]
    config = json.dumps({"identity": identity.key + identity.certificate, "parts": parts})
    program = files(__package__).joinpath("peer_server.py").read_text(encoding="utf-8")
    try:
        with RemoteShell(host.site.uri).serving(SCRIPT, (program,), f"{config}\n".encode(), LIMIT_S) as line:
            address, port = line.split()
            reach("libvirt.image.offered")
            yield Offer(address=address, port=int(port), certificate=identity.certificate, paths=tuple(paths.items()))
    except ServerStartError as error:
        raise _offer_error(host, image, _reason(error.result)) from error


def _reason(result: RemoteResult) -> str:
    return _REASONS.get(result.status, result.stderr or "no command can be run on the host")


def _offer_error(host: Host, image: StagedImage, reason: str) -> SiteError:
    return SiteError(
        "The image was not offered to the neighbour",
        f"Site {host.site.name} could not serve image {image.name} to its neighbours: {reason}.",
    )
