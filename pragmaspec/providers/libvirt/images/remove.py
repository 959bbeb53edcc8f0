"""Removal of images: with the last stack that uses them, or when unused; and the listing of images in the pool."""

import time
from contextlib import suppress

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.observed import StoredImage
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.staging_lock import try_lock
from pragmaspec.resources import Mark

LIMIT_S = 120.0
"""The longest wait for another stack that removes the same image. After that the removal is left to it."""


def release_image(host: Host, digest: str, mark: Mark) -> None:
    """Remove the stack's reference to the image, and the image if it is unused. 16 digits suffice for an incomplete one.

    Removal takes the same lock as staging, so that parts are never removed while they are created anew. A stack that starts to
    use the image meanwhile is noticed, or waits for the lock.
    """
    volumes.remove(host, names.reference_marker(digest, mark))
    until = time.monotonic() + LIMIT_S
    while _is_unused(host, digest) and time.monotonic() < until:
        if try_lock(host, digest, mark, removing=True):
            try:
                _remove(host, digest)
            finally:
                with suppress(libvirt.libvirtError, SiteError):  # A lock that is left is taken over once it is stale.
                    volumes.remove(host, names.staging_marker(digest, mark))
            return
    volumes.remove(host, names.staging_marker(digest, mark))


def stored_images(host: Host) -> tuple[StoredImage, ...]:
    """Every image with volumes in the pool. ``held`` (a volume is based on it) is determined only where it matters."""
    found = volumes.list_names(host)
    images = [(digest, names.image_users(found, digest)) for digest in names.image_digests(found)]
    bases = _bases(host) if any(len(users) <= 1 for _, users in images) else frozenset()
    return tuple(
        StoredImage(
            digest=digest,
            size_bytes=sum(volumes.allocated_bytes(host, name) for name in names.image_files(found, digest)),
            users=users,
            held=_is_base(host, digest, found, bases),
        )
        for digest, users in images
    )


def _is_unused(host: Host, digest: str) -> bool:
    """True if the image has volumes but no references."""
    markers_and_files = volumes.list_names(host)
    if names.reference_markers(markers_and_files, digest):
        return False
    return bool(names.image_files(markers_and_files, digest) or names.image_markers(markers_and_files, digest))


def _remove(host: Host, digest: str) -> None:
    """Remove the image unless a volume is based on it. The completion marker goes first: the rest is no longer an image."""
    if host.site.over_ssh:
        volumes.refresh(host)  # An interrupted download may have left files that libvirt does not list.
    found = volumes.list_names(host)
    if _is_base(host, digest, found, _bases(host)):
        return
    complete = names.complete_marker(digest)
    volumes.remove(host, complete)
    reach("libvirt.image.incomplete")
    if names.reference_markers(volumes.list_names(host), digest):
        if complete in found:
            volumes.create_marker(host, complete)
        return
    for name in sorted(names.image_files(found, digest)):
        volumes.remove(host, name)
        reach("libvirt.image.part-removed")


def _is_base(host: Host, digest: str, found: set[str], bases: frozenset[str]) -> bool:
    return any(host.path(name) in bases for name in names.image_files(found, digest))


def _bases(host: Host) -> frozenset[str]:
    """The paths of all files that a volume of the pool, of any owner, is based on."""
    bases = set()
    for volume in host.pool().listAllVolumes(0):
        name = volume.name()
        if not names.is_marker(name) and not names.is_image_part(name):
            bases.add(volumes.backing_path(volume))
    return frozenset(bases)
