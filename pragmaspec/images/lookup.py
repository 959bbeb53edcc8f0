"""A disk that somebody names on the command line: a file, a Clonezilla directory, a URL, or an image of the store."""

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

_LEAST_DIGITS = 4
"""How much of a digest has to be said."""


def find_disk(what: str, workshop: ImageContext, options: DiskOptions) -> tuple[Path, BootableDisk]:
    """The disk that ``what`` names, in the workshop's store or where it is, with what it is there.

    ``member``: its path, where ``what`` is an archive. Raises UsageError when nothing has that name, and
    ImageError as :func:`pragmaspec.images.disks.make_disk.make_disk`.
    """
    path = Path(what)
    if path.is_file():
        made = make_disk(path, workshop, options, name=path.name)
        return workshop.store.path(made.blob.sha256), made
    if path.is_dir() or is_remote(what) or "://" in what:
        return _from_source(_source(what, options.member), workshop)
    entry = find_image(workshop.store, what)
    if entry is None:
        detail = f"There is no file {what}, and no image of the store is called so. `pragmaspec image list` shows them."
        raise UsageError("No such disk", detail)
    found = _bytes(entry, workshop)
    return (
        (found, BootableDisk(entry.disk, entry.format, entry.virtual_size_bytes))
        if found
        else _from_source(entry.source, workshop)
    )


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Let every ImageError of the block say that it is about the disk which was named as ``what``."""
    try:
        yield
    except ImageError as error:
        raise with_location(error, redact_url(what) if is_remote(what) else what, None) from None


def find_image(store: BlobStore, what: str) -> CatalogueEntry | None:
    """The disk that was imported under this name, else the newest image of the store with it, or whose digest begins so."""
    catalogue = Catalogue(store)
    entries = tuple(catalogue.all())
    by_name = (entry for entry in (*catalogue.imported(), *entries) if entry.name == what)
    by_digest = (entry for entry in entries if len(what) >= _LEAST_DIGITS and entry.digest.startswith(what))
    return next(by_name, None) or next(by_digest, None)


def _source(what: str, member: str) -> "AnySource":
    from pragmaspec.images.sources.registry import source_of  # noqa: PLC0415 - pydantic is only needed now
    from pragmaspec.spec.models.image import InvalidImageSourceError, image_from_location  # noqa: PLC0415

    try:
        image = image_from_location(what, folder=Path(what).is_dir())
        return source_of(image.model_copy(update={"member": member or None}), Path())
    except InvalidImageSourceError as error:
        raise UsageError("Not a disk that can be named here", f"{error}.") from None


def _from_source(source: "AnySource", workshop: ImageContext) -> tuple[Path, BootableDisk]:
    found = source.find(workshop)
    made = BootableDisk(found.disk, found.format, found.virtual_size_bytes)
    path = workshop.store.path(found.disk.sha256)
    return (path if path.exists() else workshop.digests.find(found.disk) or path), made


def _bytes(entry: CatalogueEntry, workshop: ImageContext) -> Path | None:
    if workshop.store.has(entry.disk):
        return workshop.store.path(entry.disk.sha256)
    return workshop.digests.find(entry.disk)
