"""Images that a host hands to its neighbours, so that they need not all be sent from here.

The host serves the files of its pool over https for as long as the offer stands, and only to who knows their names: 256 random
bits each. Names and keys get to both hosts through ssh; neither is let into the other.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from pragmaspec.errors import Problem, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.far_shell import Ended, FarShell, NotServedError
from pragmaspec.providers.libvirt.fetching import NEIGHBOUR
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.staging import whole
from pragmaspec.recorded import Mark, StagedImage

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
    from pragmaspec.providers.libvirt.certificate import new_identity  # noqa: PLC0415 - most runs need no key

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
    program = files(__package__).joinpath("handing_out.py").read_text(encoding="utf-8")
    try:
        with FarShell(host.site.uri).serving(SCRIPT, (program,), f"{told}\n".encode(), LIMIT_S) as said:
            address, port = said.split()
            reach("libvirt.image.offered")
            yield Offer(address=address, port=int(port), certificate=identity.certificate, paths=tuple(paths.items()))
    except NotServedError as error:
        raise _not_offered(host, image, _why(error.ended)) from error


def _why(ended: Ended) -> str:
    return _WHY.get(ended.status, ended.complained or "no command can be run on the host")


def _not_offered(host: Host, image: StagedImage, why: str) -> SiteError:
    return SiteError(
        Problem(
            summary="The image was not passed on",
            detail=f"Site {host.site.name} could not hand image {image.name} to its neighbours: {why}.",
        )
    )
