"""Images as the lock file and earlier runs know them, without reading, downloading or building any."""

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
    """The image as the lock file has it, or as it was found when its source was last asked; None: that cannot be told.

    A local file counts only as long as it looks as it did when it was read. What starts the disk is not known.
    """
    source = source_of(model, directory)
    with suppress(ImageError):
        locked = read_lock(directory).get(name)
        if locked is not None and source.described() and locked.described == source.described():
            return _wanted(model, name, source.origin(), resolved_from_lock(locked))
    if may_change(source):
        return None
    kept = (entry.found for entry in Catalogue(store).all() if entry.source == source and _stands(store, entry))
    found = next(kept, None)
    return None if found is None else _wanted(model, name, source.origin(), found)


def _stands(store: BlobStore, entry: CatalogueEntry) -> bool:
    """True if ``entry`` is still valid for its source, as far as can be told without reading it."""
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
