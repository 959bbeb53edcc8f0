"""Images at the site: staged once under a shared name, used by many stacks, removed by the last.

libvirt cannot rename a volume, so three kinds of empty marker volumes record its state:

* ``….<lineage8>.ref``      the stack uses the image (created first, so that no other stack removes it meanwhile);
* ``….<lineage8>.staging``  the stack stages or removes it;
* ``…<digest>.complete``    every part is complete (created last).

Parts without a completion marker are created anew by the next stack that stages the image, unless another one is still at work.
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
from pragmaspec.providers.libvirt.images.staging_lock import try_lock
from pragmaspec.providers.libvirt.images.upload import prepare, transfer
from pragmaspec.providers.libvirt.volumes import MISSING_FILE
from pragmaspec.resources import Mark, Outputs, StagedImage

LIMIT_S = 3600.0
"""The longest wait for another stack's upload."""


def stage_image(host: Host, request: StageRequest, offer: Offer | None = None) -> Outputs:
    """Make the image complete at the site, and record that the stack uses it. With ``offer`` the bytes come from that peer."""
    image, mark = request.image, request.mark
    volumes.create_marker(host, names.reference_marker(image.digest, mark))
    reach("libvirt.image.used")
    started = time.monotonic()
    while not is_complete(host, image):
        if not names.staging_markers(volumes.list_names(host), image.digest):
            prepare(host, request, offer)
        if try_lock(host, image.digest, mark):
            try:
                _remove_parts(host, image)
                if transfer(host, request, offer):
                    _mark_complete(host, image, mark)
            except BaseException:
                _give_up(host, image, mark)
                raise
            reach("libvirt.image.complete")
        elif time.monotonic() - started > LIMIT_S:
            raise SiteError(
                "The site took too long",
                f"Another stack has been uploading image {image.name} to site {host.site.name} for "
                f"{LIMIT_S / 60:g} minutes. Apply again when it has finished.",
            )
    # The marker is from this call, or from a run that died after the image was complete.
    volumes.remove(host, names.staging_marker(image.digest, mark))
    return part_paths(host, image)


def part_paths(host: Host, image: StagedImage) -> Outputs:
    """The paths of the image's parts at the site."""
    return tuple(sorted((part, host.path(name)) for part, name in names.image_volumes(image).items()))


def is_complete(host: Host, image: StagedImage) -> bool:
    """True if every part of the image is at the site, and marked as complete. Removes a marker that is no longer true."""
    marker = names.complete_marker(image.digest)
    if marker not in volumes.list_names(host):
        return False
    if not find_damage(host, image):
        return True
    volumes.remove(host, marker)
    return False


def find_damage(host: Host, image: StagedImage) -> str:
    """A human-readable difference of the image's files from the staged ones; empty for none. Compares sizes, not contents."""
    found = {part: volumes.find(host, name) for part, name in names.image_volumes(image).items()}
    sizes = {part: volumes.listed_size(host, volume) for part, volume in found.items() if volume is not None}
    present = tuple((part, size) for part, size in sizes.items() if size != MISSING_FILE)
    return damage_text(image, present, f"pool {host.site.pool}")


def _remove_parts(host: Host, image: StagedImage) -> None:
    """Remove the parts that an earlier attempt left behind."""
    # Without a refresh libvirt does not list files added or removed by hand, nor downloads of an interrupted attempt.
    volumes.refresh(host)
    for name in names.image_files(volumes.list_names(host), image.digest):
        volumes.remove(host, name)


def _mark_complete(host: Host, image: StagedImage, mark: Mark) -> None:
    """Create the completion marker, unless another stack has taken over the lock because this one seemed stale."""
    if names.staging_markers(volumes.list_names(host), image.digest) == {names.staging_marker(image.digest, mark)}:
        volumes.create_marker(host, names.complete_marker(image.digest))


def _give_up(host: Host, image: StagedImage, mark: Mark) -> None:
    """Remove what another stack would wait for. A failure here leaves the same as a crash."""
    with suppress(libvirt.libvirtError, SiteError):
        own = names.staging_marker(image.digest, mark)
        if names.staging_markers(volumes.list_names(host), image.digest) == {own}:
            _remove_parts(host, image)
        volumes.remove(host, own)
