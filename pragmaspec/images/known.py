"""Resolve images from the lock file and from earlier runs alone, without reading, downloading or building any."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError
from pragmaspec.images.catalogue import Catalogue, CatalogueEntry
from pragmaspec.images.context import VerifiedImage
from pragmaspec.images.lock.entries import resolved_from_lock
from pragmaspec.images.lock.lock_file import read_lock
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.images.sources.registry import may_change, source_of
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.digest_cache import DigestCache
from pragmaspec.planning.wanted import WantedImage
from pragmaspec.resources import image_fields

if TYPE_CHECKING:
    from pragmaspec.spec.models.image import ImageModel


def known_image(store: BlobStore, model: "ImageModel", name: str, directory: Path) -> WantedImage | None:
    """Return the image from the lock file, or as its source last provided it; None if neither is valid.

    A local file must have the same metadata as when it was hashed. The firmware that boots the disk is not determined.
    """
    source = source_of(model, directory)
    with suppress(ImageError):
        locked = read_lock(directory).get(name)
        if locked is not None and source.described() and locked.described == source.described():
            return _wanted(model, name, source.origin(), resolved_from_lock(locked))
    if may_change(source):
        return None
    current = (entry.found for entry in Catalogue(store).all() if entry.source == source and _is_current(store, entry))
    found = next(current, None)
    return None if found is None else _wanted(model, name, source.origin(), found)


def _is_current(store: BlobStore, entry: CatalogueEntry) -> bool:
    """True if ``entry`` is still valid for its source, as far as its metadata shows."""
    source = entry.source
    if not isinstance(source, LocalSource):
        return bool(source.described()) and all(map(store.has, entry.blobs))
    digests = DigestCache(store)
    return all(
        path is None or (blob is not None and digests.remembered(Path(path)) == blob)
        for path, blob in ((source.disk, entry.disk), (source.kernel, entry.kernel), (source.initrd, entry.initrd))
    )


def _wanted(model: "ImageModel", name: str, origin: str, found: VerifiedImage) -> WantedImage:
    return WantedImage(
        name=name,
        origin=origin,
        digest=found.digest,
        **image_fields(found),
        cloud_init=model.guest == "cloud-init",
    )
