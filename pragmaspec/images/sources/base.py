"""The image source protocol. A new kind of source is one module that implements it, and one line in ``registry.py``."""

from typing import Protocol

from pragmaspec.images.context import ImageContext, VerifiedImage


class ImageSource(Protocol):
    """The origin of an image, as a plain value, so that lost bytes can be fetched again."""

    def origin(self) -> str:
        """A name for display, without credentials. It is recorded in lock files, so its wording must never change."""
        ...

    def described(self) -> str:
        """A digest of the spec's description, recorded in lock files; empty if local files alone determine the image."""
        ...

    def find(self, context: ImageContext) -> VerifiedImage:
        """Obtain, verify and inspect the image. Raises ImageError."""
        ...
