"""Images at the site: brought once under a shared name, used by many stacks, removed by the last.

libvirt cannot rename a volume, so three empty marker volumes say what a half-written one cannot:

* ``….<lineage8>.ref``      the stack uses the image (made first, so that nobody removes it meanwhile);
* ``….<lineage8>.staging``  the stack is bringing or removing it;
* ``…<digest>.complete``    every part is whole (made last).

A part without completion mark is redone by whoever finds it, unless another stack's work is still going on.
"""

import time
from contextlib import suppress

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.drift.image_damage import damage_text
from pragmaspec.providers.base import Offer, StageRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.staging_lock import claimed
from pragmaspec.providers.libvirt.images.upload import prepare, transfer
from pragmaspec.providers.libvirt.volumes import ABSENT
from pragmaspec.resources import Mark, Outputs, StagedImage

LIMIT_S = 3600.0
"""The longest wait for another stack's upload."""


def stage(host: Host, request: StageRequest, offer: Offer | None = None) -> Outputs:
    """Make the image complete at the site, and record that the stack uses it. With ``offer`` the bytes come from that peer."""
    image, mark = request.image, request.mark
    volumes.mark(host, names.reference_marker(image.digest, mark))
    reach("libvirt.image.used")
    begun = time.monotonic()
    while not whole(host, image):
        if not names.stagings(volumes.listed(host), image.digest):
            prepare(host, request, offer)
        if claimed(host, image.digest, mark):
            try:
                _clear(host, image)
                if transfer(host, request, offer):
                    _finish(host, image, mark)
            except BaseException:
                _give_up(host, image, mark)
                raise
            reach("libvirt.image.complete")
        elif time.monotonic() - begun > LIMIT_S:
            raise _too_long(host, image)
    # Ours, from just now or from a run that died when it had made the image whole.
    volumes.remove(host, names.staging_marker(image.digest, mark))
    return outputs(host, image)


def outputs(host: Host, image: StagedImage) -> Outputs:
    """Paths of the image's parts at the site."""
    return tuple(sorted((part, host.path(name)) for part, name in names.image_volumes(image).items()))


def whole(host: Host, image: StagedImage) -> bool:
    """True if every part of the image is at the site, and marked as complete. Removes a mark that is no longer true."""
    complete = names.complete_marker(image.digest)
    if complete not in volumes.listed(host):
        return False
    if not damage(host, image):
        return True
    volumes.remove(host, complete)
    return False


def damage(host: Host, image: StagedImage) -> str:
    """How the files of the image differ from what was staged, in words; empty when they do not. Their bytes are not read."""
    found = {part: volumes.find(host, name) for part, name in names.image_volumes(image).items()}
    sizes = {part: volumes.present_bytes(host, volume) for part, volume in found.items() if volume is not None}
    return damage_text(image, tuple((part, size) for part, size in sizes.items() if size != ABSENT), f"pool {host.site.pool}")


def _clear(host: Host, image: StagedImage) -> None:
    """Remove what an earlier attempt has left."""
    # libvirt has not seen files added or removed by hand, nor those the host downloaded before an attempt ended.
    volumes.reread(host)
    for name in names.image_files(volumes.listed(host), image.digest):
        volumes.remove(host, name)


def _finish(host: Host, image: StagedImage, mark: Mark) -> None:
    """Say that the image is whole, unless another stack took the upload over because ours seemed dead."""
    if names.stagings(volumes.listed(host), image.digest) == {names.staging_marker(image.digest, mark)}:
        volumes.mark(host, names.complete_marker(image.digest))


def _give_up(host: Host, image: StagedImage, mark: Mark) -> None:
    """Leave nothing that another stack would wait for. What cannot be removed now is what a crash leaves."""
    with suppress(libvirt.libvirtError, SiteError):
        ours = names.staging_marker(image.digest, mark)
        if names.stagings(volumes.listed(host), image.digest) == {ours}:
            _clear(host, image)
        volumes.remove(host, ours)


def _too_long(host: Host, image: StagedImage) -> SiteError:
    return SiteError(
        "The site took too long",
        f"Another stack has been uploading image {image.name} to site {host.site.name} for "
        f"{LIMIT_S / 60:g} minutes. Apply again when it is done.",
    )
