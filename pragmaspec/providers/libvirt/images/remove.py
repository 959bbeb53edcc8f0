"""Images that go: with the last stack that used them, or when nobody does; and what takes up room in the pool."""

import time
from contextlib import suppress

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.observed import StoredImage
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.staging_lock import claimed
from pragmaspec.providers.libvirt.xml import parsed
from pragmaspec.resources import Mark

LIMIT_S = 120.0
"""The longest wait for another stack that removes the same image. After that it is left to that one."""


def release(host: Host, digest: str, mark: Mark) -> None:
    """Drop the stack's use of the image, and the image if nobody else uses it. Of one that is not whole 16 digits will do.

    Who removes has the claim that also who brings must have, so that parts are never removed while they are made anew. A stack
    that begins to use the image meanwhile is counted, or finds the claim and waits for its end.
    """
    volumes.remove(host, names.reference_marker(digest, mark))
    until = time.monotonic() + LIMIT_S
    while _is_left(host, digest) and time.monotonic() < until:
        if claimed(host, digest, mark, removing=True):
            try:
                _remove(host, digest)
            finally:
                with suppress(libvirt.libvirtError, SiteError):
                    volumes.remove(host, names.staging_marker(digest, mark))
            return
    volumes.remove(host, names.staging_marker(digest, mark))


def stored(host: Host) -> tuple[StoredImage, ...]:
    """Every image of which anything takes up room in the pool. Whether something stands on it is told only where it matters."""
    found = volumes.listed(host)
    images = [(digest, names.users(found, digest)) for digest in names.image_digests(found)]
    bases = _bases(host) if any(len(users) <= 1 for _, users in images) else frozenset()
    return tuple(
        StoredImage(
            digest=digest,
            size_bytes=sum(volumes.allocated_bytes(host, name) for name in names.image_files(found, digest)),
            users=users,
            held=_is_held(host, digest, found, bases),
        )
        for digest, users in images
    )


def _is_left(host: Host, digest: str) -> bool:
    """Whether anything of the image is there, and nobody says to be using it."""
    markers_and_files = volumes.listed(host)
    if names.references(markers_and_files, digest):
        return False
    return bool(names.image_files(markers_and_files, digest) or names.image_markers(markers_and_files, digest))


def _remove(host: Host, digest: str) -> None:
    """Remove the image unless something stands on it. The completion mark goes first: what follows is no image any more."""
    if host.site.over_ssh:
        volumes.reread(host)  # a download that was cut off may have left what libvirt has not seen
    found = volumes.listed(host)
    if _is_held(host, digest, found, _bases(host)):
        return
    complete = names.complete_marker(digest)
    volumes.remove(host, complete)
    reach("libvirt.image.incomplete")
    if names.references(volumes.listed(host), digest):
        if complete in found:
            volumes.mark(host, complete)
        return
    for name in sorted(names.image_files(found, digest)):
        volumes.remove(host, name)
        reach("libvirt.image.part-removed")


def _is_held(host: Host, digest: str, found: set[str], bases: frozenset[str]) -> bool:
    return any(host.path(name) in bases for name in names.image_files(found, digest))


def _bases(host: Host) -> frozenset[str]:
    """The paths of everything that some volume of the pool stands on, whoever made that volume."""
    bases = set()
    for volume in host.pool().listAllVolumes(0):
        name = volume.name()
        if not names.is_marker(name) and not names.is_image_part(name):
            with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
                bases.add(parsed(volume.XMLDesc(0)).findtext("backingStore/path", ""))
    return frozenset(bases)
