"""Images from the catalogue: a short name for the newest image that a publisher offers on the day it is locked."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage


class CatalogueSource(Frozen, frozen=True, tag_field="kind", tag="published"):
    """The image with the catalogue name ``name``."""

    name: str

    def origin(self) -> str:
        """The name."""
        return f"{self.name} of the catalogue"

    def described(self) -> str:
        """A digest of the name."""
        return sha256(f"published {self.name}".encode()).hexdigest()[:16]

    def find(self, context: ImageContext) -> VerifiedImage:
        """Download the pinned image, else the publisher's newest release. Raises ImageError."""
        # requests takes 0.13 s to import, and only downloads need it.
        from pragmaspec.images.sources import remote  # noqa: PLC0415
        from pragmaspec.images.sources.releases import find_publication, find_release  # noqa: PLC0415
        from pragmaspec.images.transfer.cloudfront import WebFile  # noqa: PLC0415

        publication = find_publication(self.name, context.settings)
        expected = remote.digest_from_lock(context)
        if expected is not None and context.pinned is not None:
            url = context.pinned.url
        else:
            release = find_release(publication, context)
            expected, url = release.expected, release.url
        file = WebFile(url=url, signing=context.settings.cloudfront)
        declared = remote.DeclaredDisk(format=publication.format)
        return remote.fetch_disk(context, lambda: (file,), expected, declared, self.origin())
