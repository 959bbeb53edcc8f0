"""The bytes of an image on their way into the pool: copied, downloaded by the host, or sent through the storage API."""

import errno
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.images.routes import route
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import Offer, TransferProgress
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.providers.libvirt.images.host_download import cannot_fetch, fetch, neighbour_source, not_passed_on, public_source
from pragmaspec.providers.libvirt.images.upload_check import check_arrived
from pragmaspec.providers.libvirt.volumes import SHARED, raw_xml
from pragmaspec.resources import Blob, Mark, StagedImage

LOOK_S = 5.0
"""How long a line is tried before it is judged."""
PATIENCE_S = 60.0
"""A line that would need longer than this for the rest is slow."""


class ImageBytes:
    """Where the bytes of an image are: on this machine, and perhaps where everybody gets them (``copy``).

    With an ``offer`` they are taken from the neighbour who makes it, and from nowhere else.
    """

    def __init__(self, files: Callable[[], ImageFiles], copy: PublicCopy | None = None, offer: Offer | None = None) -> None:
        self._files = files
        self.copy = copy
        self.offer = offer

    @cached_property
    def files(self) -> ImageFiles:
        """The files on this machine. They may have to be downloaded or built first, which takes its time."""
        return self._files()


def prepare(host: Host, image: StagedImage, supply: ImageBytes) -> None:
    """Get hold of the bytes on this machine when that is where they will come from: others must not wait for it."""
    if supply.offer is None and route(host.site, image, supply.copy) != "fetch":
        _ = supply.files


class _SlowError(Exception):
    """The line to the host is slow, and there is another way."""


def brought(host: Host, image: StagedImage, supply: ImageBytes, mark: Mark, transferred: TransferProgress) -> bool:
    """Make every part be there; False when another stack made one of them first (libvirt gives a name to exactly one)."""
    if supply.offer is not None:
        _passed_on(host, image, supply.offer, mark, transferred)
        return True
    chosen, copy = route(host.site, image, supply.copy), supply.copy
    if chosen != "send" and copy is not None:
        if chosen == "send-unless-slow":
            try:
                return _sent(host, image, supply.files, _impatient(transferred))
            except _SlowError:
                volumes.remove(host, names.image_volumes(image)["disk"])
        why = fetch(host, image, public_source(copy), mark, _counting(transferred, image.transfer_bytes))
        if not why:
            return True
        if host.site.fetch == "host":
            raise cannot_fetch(host, image, why)
    return _sent(host, image, supply.files, transferred)


def _passed_on(host: Host, image: StagedImage, offer: Offer, mark: Mark, transferred: TransferProgress) -> None:
    """Have the host fetch every part from its neighbour. Raises SiteError when one does not come."""
    paths, sent = dict(offer.paths), _counting(transferred, image.transfer_bytes)
    for part in names.image_volumes(image):
        why = fetch(host, image, neighbour_source(offer, part, paths[part]), mark, sent)
        if why:
            raise not_passed_on(host, image, why)
        reach("libvirt.image.part-passed-on")


def _sent(host: Host, image: StagedImage, files: ImageFiles, transferred: TransferProgress) -> bool:
    sources = _checked_sources(image, files)
    sent = _counting(transferred, image.transfer_bytes)
    for part, name in names.image_volumes(image).items():
        file, blob = sources[part]
        volume = volumes.make(host, raw_xml(name, blob.size_bytes, SHARED))
        if volume is None:
            return False
        reach("libvirt.image.part-made")
        try:
            volumes.fill(host, volume, file, sent)
        except OSError as error:
            raise _not_copied(host, image, host.path(name), error) from error
        reach("libvirt.image.part-filled")
        check_arrived(host, name, file, blob)
    return True


def _not_copied(host: Host, image: StagedImage, path: str, error: OSError) -> SiteError:
    kind = SiteCapacityError if error.errno in (errno.ENOSPC, errno.EDQUOT) else SiteError
    why = error.strerror or str(error)
    advice = host_advice(f"'{path}': {why}")
    return kind(
        "The image could not be copied into the pool",
        f"Image {image.name}, site {host.site.name}, pool {host.site.pool}: {why}. What was there of it was removed "
        f"again. {advice}".rstrip(),
    )


def _counting(transferred: TransferProgress, total: int) -> volumes.Sent:
    done = 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        transferred(done, total)

    transferred(0, total)
    return sent


def _impatient(transferred: TransferProgress) -> TransferProgress:
    """``transferred``; raises _SlowError when the rest would take long at the rate so far."""
    begun = time.monotonic()

    def told(done: int, total: int) -> None:
        transferred(done, total)
        passed = time.monotonic() - begun
        if passed > LOOK_S and (total - done) * passed > PATIENCE_S * max(done, 1):
            raise _SlowError

    return told


def _checked_sources(image: StagedImage, files: ImageFiles) -> dict[str, tuple[Path, Blob]]:
    """The file of each part."""
    found = {}
    for part in names.image_volumes(image):
        file: Path | None = getattr(files, part)
        blob: Blob = getattr(image, part)
        if file is None or file.stat().st_size != blob.size_bytes:
            raise SiteError(
                "The image's file is not the image",
                f"The {part} of image {image.name} is missing or has another size than its digest stands for. "
                "Remove it from the image store and apply again.",
            )
        found[part] = (file, blob)
    return found
