"""Images of a catalogue: a short name for the newest that a publisher has, as of the day it is pinned."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage


class CatalogueSource(Frozen, frozen=True, tag_field="kind", tag="published"):
    """The image that the catalogue calls ``name``."""

    name: str

    def origin(self) -> str:
        """In words."""
        return f"{self.name} of the catalogue"

    def described(self) -> str:
        """Over the name: which image it is depends on the day, so it is locked."""
        return sha256(f"published {self.name}".encode()).hexdigest()[:16]

    def find(self, workshop: ImageContext) -> VerifiedImage:
        """Ask the publisher which is the newest and what it has to be, unless that is pinned; download it. Raises ImageError."""
        # requests costs 0.13 s, and only what is downloaded needs it.
        from pragmaspec.images.sources import remote  # noqa: PLC0415
        from pragmaspec.images.sources.releases import find_publication, find_release  # noqa: PLC0415
        from pragmaspec.images.transfer.cloudfront import WebFile  # noqa: PLC0415

        publication = find_publication(self.name, workshop.settings)
        promise = remote.digest_from_lock(workshop)
        if promise is not None and workshop.pinned is not None:
            url = workshop.pinned.url
        else:
            release = find_release(publication, workshop)
            promise, url = release.promise, release.url
        place = WebFile(url=url, signing=workshop.settings.cloudfront)
        shape = remote.DeclaredDisk(format=publication.format)
        return remote.fetch_disk(workshop, lambda: (place,), promise, shape, self.origin())
