"""The context for work on images: the store of this machine, and progress on standard error."""

from pragmaspec.cli.terminal.image_progress import image_progress
from pragmaspec.images.context import ImageContext
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.stack.images.store_directory import image_store_directory


def open_store() -> BlobStore:
    """Return the image store of this machine."""
    return BlobStore(image_store_directory())


def image_context(name: str, store: BlobStore | None = None, *, first_use: bool = False) -> ImageContext:
    """Return the context for the image ``name``; ``first_use`` accepts an image without a published checksum."""
    return ImageContext(store or open_store(), name, image_progress(), first_use=first_use)
