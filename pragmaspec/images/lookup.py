"""Find a disk from the command line: a file, a Clonezilla directory, a URL, or an image of the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError, UsageError
from pragmaspec.images.catalogue import Catalogue, CatalogueEntry
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.lock.entries import with_location
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.net.urls import is_remote, redact_url

if TYPE_CHECKING:
    from pragmaspec.images.sources.registry import AnySource

_MIN_DIGITS = 4
"""Digits of a digest that are needed to find it."""


def find_disk(name: str, context: ImageContext, options: DiskOptions) -> tuple[Path, BootableDisk]:
    """Return the disk called ``name``, in the store or outside, and its description.

    Raises UsageError if there is none, and ImageError as :func:`pragmaspec.images.disks.make_disk.make_disk`.
    """
    path = Path(name)
    if path.is_file():
        disk = make_disk(path, context, options, name=path.name)
        return context.store.path(disk.blob.sha256), disk
    if path.is_dir() or is_remote(name) or "://" in name:
        return _from_source(_source(name, options.member), context)
    entry = find_image(context.store, name)
    if entry is None:
        detail = f"There is no file {name}, and no image with this name or digest in the store. See `pragmaspec image list`."
        raise UsageError("No such disk", detail)
    file = context.find(entry.disk)
    if file is None:
        return _from_source(entry.source, context)
    return file, BootableDisk(entry.disk, entry.format, entry.virtual_size_bytes)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the ``name`` of a disk to every ImageError of the block."""
    try:
        yield
    except ImageError as error:
        raise with_location(error, redact_url(name) if is_remote(name) else name, None) from None


def find_image(store: BlobStore, name: str) -> CatalogueEntry | None:
    """Return the imported disk with this name, else the newest image with it, else one whose digest begins with it."""
    catalogue = Catalogue(store)
    entries = tuple(catalogue.all())
    by_name = (entry for entry in (*catalogue.imported(), *entries) if entry.name == name)
    by_digest = (entry for entry in entries if len(name) >= _MIN_DIGITS and entry.digest.startswith(name))
    return next(by_name, None) or next(by_digest, None)


def _source(what: str, member: str) -> "AnySource":
    from pragmaspec.images.sources.registry import source_of  # noqa: PLC0415 - pydantic is only needed now
    from pragmaspec.spec.models.image import InvalidImageSourceError, image_from_location  # noqa: PLC0415

    try:
        image = image_from_location(what, directory=Path(what).is_dir())
        return source_of(image.model_copy(update={"member": member or None}), Path())
    except InvalidImageSourceError as error:
        raise UsageError("Not a disk that can be named here", f"{error}.") from None


def _from_source(source: "AnySource", context: ImageContext) -> tuple[Path, BootableDisk]:
    found = source.find(context)
    disk = BootableDisk(found.disk, found.format, found.virtual_size_bytes)
    return context.find(found.disk) or context.store.path(found.disk.sha256), disk
