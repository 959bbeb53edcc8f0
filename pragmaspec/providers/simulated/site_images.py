"""Images that live at a simulated site. Nodes use them in place."""

from pragmaspec.errors import SiteError
from pragmaspec.planning.images.site_images import choose_site_image
from pragmaspec.planning.observed import SiteImage
from pragmaspec.providers.base import SiteImages
from pragmaspec.resources import StagedImage
from pragmaspec.site import SimulatedImage, SimulatedSite
from pragmaspec.typing import override


class SimulatedImages(SiteImages):
    """The images in the options of ``site``."""

    def __init__(self, site: SimulatedSite) -> None:
        self._site = site

    @override
    def resolve_image(self, name: str) -> SiteImage:
        return choose_site_image(name, [_described(image) for image in self._site.images], self._site.name)

    @override
    def find_image(self, image_id: str) -> SiteImage | None:
        return next((_described(image) for image in self._site.images if image.id == image_id), None)


def require_site_image(site: SimulatedSite, image: StagedImage) -> None:
    """Raise SiteError when ``site`` no longer has ``image``, or has it with another checksum."""
    found = SimulatedImages(site).find_image(image.site_image)
    if found is None or found.checksum != image.checksum:
        raise SiteError(
            "The image is not at the site",
            f"Site {site.name} {'has no' if found is None else 'has another'} image {image.site_image}, from which nodes with "
            f"image {image.name} boot. `pragmaspec lock --upgrade {image.name}` pins another.",
        )


def _described(image: SimulatedImage) -> SiteImage:
    return SiteImage(
        id=image.id,
        name=image.name,
        virtual_size_bytes=image.size_bytes,
        checksum=image.checksum,
        created=image.created,
        min_memory_mib=image.min_memory_mib,
        firmware=image.firmware,
    )
