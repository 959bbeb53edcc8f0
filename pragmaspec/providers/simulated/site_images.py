"""Images that live at a simulated site. Nodes use them in place."""

from pragmaspec.errors import SiteError
from pragmaspec.planning.images.site_images import choose_site_image
from pragmaspec.planning.observed import SiteImage
from pragmaspec.resources import StagedImage
from pragmaspec.site import SimulatedImage, SimulatedSite


def resolve_site_image(site: SimulatedSite, name: str) -> SiteImage:
    """Return the image in the options of ``site`` with this name or id. Raises SiteError."""
    return choose_site_image(name, [_described(image) for image in site.images], site.name)


def find_site_image(site: SimulatedSite, image_id: str) -> SiteImage | None:
    """Return the image with this id, or None."""
    return next((_described(image) for image in site.images if image.id == image_id), None)


def require_site_image(site: SimulatedSite, image: StagedImage) -> None:
    """Raise SiteError when ``site`` no longer has ``image``, or has it with another checksum."""
    found = find_site_image(site, image.site_image)
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
