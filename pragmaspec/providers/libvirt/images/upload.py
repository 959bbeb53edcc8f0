"""Transfers of an image's bytes into the pool: copied, downloaded by the host, or uploaded through the storage API."""

import errno
import time
from pathlib import Path

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.planning.images.routes import route
from pragmaspec.providers.base import Offer, StageRequest, TransferProgress
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.providers.libvirt.images.host_download import (
    download,
    download_error,
    peer_copy_error,
    peer_source,
    public_source,
)
from pragmaspec.providers.libvirt.images.site_volumes import copy_volume
from pragmaspec.providers.libvirt.images.upload_check import verify_upload
from pragmaspec.providers.libvirt.volumes import SHARED, raw_xml
from pragmaspec.resources import Blob, StagedImage

TRIAL_S = 5.0
"""Duration of an upload before its rate is judged."""
SLOW_UPLOAD_S = 60.0
"""An upload whose rest would take longer than this is slow."""


class _SlowUploadError(Exception):
    """The upload is slow, and the host can download the image instead."""


def prepare(host: Host, request: StageRequest, offer: Offer | None) -> None:
    """Obtain the image's files on this machine if they are to be sent from here: other stacks must not wait for that."""
    if offer is None and not request.image.site_image and route(host.site, request.image, request.public_copy) != "fetch":
        _ = request.files


def transfer(host: Host, request: StageRequest, offer: Offer | None) -> bool:
    """Create every part in the pool. With ``offer`` the bytes are copied from that peer, and from nowhere else.

    False when another stack created one of the parts first (libvirt gives a name to exactly one).
    """
    if offer is not None:
        _copy_from_peer(host, request, offer)
        return True
    if request.image.site_image:
        return copy_volume(host, request.image)
    image, copy = request.image, request.public_copy
    chosen = route(host.site, image, copy)
    if chosen != "send" and copy is not None:
        if chosen == "send-unless-slow":
            try:
                return _upload(host, request, _raise_if_slow(request.progress))
            except _SlowUploadError:
                volumes.remove(host, names.image_volumes(image)["disk"])
        reason = download(host, image, public_source(copy), request.mark, _counted(request.progress, image.transfer_bytes))
        if not reason:
            return True
        if host.site.fetch == "host":
            raise download_error(host, image, reason)
    return _upload(host, request, request.progress)


def _copy_from_peer(host: Host, request: StageRequest, offer: Offer) -> None:
    """Have the host download every part from its peer. Raises SiteError when one fails."""
    image, paths = request.image, dict(offer.paths)
    count = _counted(request.progress, image.transfer_bytes)
    for part in names.image_volumes(image):
        reason = download(host, image, peer_source(offer, part, paths[part]), request.mark, count)
        if reason:
            raise peer_copy_error(host, image, reason)
        reach("libvirt.image.part-passed-on")


def _upload(host: Host, request: StageRequest, progress: TransferProgress) -> bool:
    image = request.image
    sources = _checked_sources(request)
    count = _counted(progress, image.transfer_bytes)
    for part, name in names.image_volumes(image).items():
        file, blob = sources[part]
        volume = volumes.create(host, raw_xml(name, blob.size_bytes, SHARED))
        if volume is None:
            return False
        reach("libvirt.image.part-made")
        try:
            volumes.fill(host, volume, file, count)
        except OSError as error:
            raise _copy_error(host, image, host.path(name), error) from error
        reach("libvirt.image.part-filled")
        verify_upload(host, name, file, blob)
    return True


def _checked_sources(request: StageRequest) -> dict[str, tuple[Path, Blob]]:
    """The file of each part. Raises SiteError when one is missing or has the wrong size."""
    found = {}
    for part in names.image_volumes(request.image):
        file: Path | None = getattr(request.files, part)
        blob: Blob = getattr(request.image, part)
        if file is None or file.stat().st_size != blob.size_bytes:
            raise SiteError(
                "The image's file is not the image",
                f"The {part} of image {request.image.name} is missing or its size does not match its digest. "
                "Remove it from the image store and apply again.",
            )
        found[part] = (file, blob)
    return found


def _copy_error(host: Host, image: StagedImage, path: str, error: OSError) -> SiteError:
    kind = SiteCapacityError if error.errno in (errno.ENOSPC, errno.EDQUOT) else SiteError
    reason = error.strerror or str(error)
    advice = host_advice(f"'{path}': {reason}")
    return kind(
        "The image could not be copied into the pool",
        f"Image {image.name}, site {host.site.name}, pool {host.site.pool}: {reason}. The partial copy was removed. "
        f"{advice}".rstrip(),
    )


def _counted(progress: TransferProgress, total: int) -> volumes.ByteCounter:
    """Return a callback that adds up byte counts and passes the sum to ``progress``."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    progress(0, total)
    return count


def _raise_if_slow(progress: TransferProgress) -> TransferProgress:
    """Return ``progress``, extended to raise _SlowUploadError when the rest would take long at the rate so far."""
    started = time.monotonic()

    def report(done: int, total: int) -> None:
        progress(done, total)
        passed = time.monotonic() - started
        if passed > TRIAL_S and (total - done) * passed > SLOW_UPLOAD_S * max(done, 1):
            raise _SlowUploadError

    return report
