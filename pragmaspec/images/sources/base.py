"""The image source protocol. A new kind of source is one module that implements it, and one line in ``registry.py``."""

from typing import Protocol

from pragmaspec.images.context import ImageContext, VerifiedImage


class ImageSource(Protocol):
    """Where an image comes from. A plain value, so that it can be kept and used again to fetch lost bytes."""

    def origin(self) -> str:
        """For people; without credentials."""
        ...

    def described(self) -> str:
        """A digest of what the spec says of it, when what it gives is worth a lock entry; empty when the spec alone decides."""
        ...

    def find(self, context: ImageContext) -> VerifiedImage:
        """Get hold of the image. Must verify and inspect it. Raises ImageError."""
        ...
