"""What the shell offers for a half-typed image: names of the spec here, and of the store."""

from pragmaspec.cli.complete import images as spec_images

__all__ = ["spec_images", "store_images"]


def store_images(incomplete: str) -> list[str]:
    """Names of images of the store."""
    from pragmaspec.images.catalogue import Catalogue
    from pragmaspec.images.store import BlobStore
    from pragmaspec.stack.folders import image_store

    try:
        names = {entry.name for entry in Catalogue(BlobStore(image_store())).all()}
    except OSError:
        return []
    return sorted(name for name in names if name.startswith(incomplete))
