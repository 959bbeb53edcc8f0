"""Images that live at the cloud, from which nodes boot in place."""

from collections.abc import Iterator

from pragmaspec.errors import SiteError
from pragmaspec.planning.images.site_images import choose_site_image
from pragmaspec.planning.observed import SiteImage
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import IMAGES
from pragmaspec.providers.openstack.objects import GlanceImage
from pragmaspec.resources import StagedImage

_FORMATS = frozenset({"qcow2", "raw"})


def resolve_site_image(cloud: Cloud, name: str) -> SiteImage:
    """Return the image called ``name``, or with this id. Raises SiteError if there is not exactly one."""
    return choose_site_image(name, tuple(_usable(cloud)), cloud.site.name)


def find_site_image(cloud: Cloud, image_id: str) -> SiteImage | None:
    """Return the image with this id as it is now, or None."""
    found = cloud.client.show("image", f"/images/{image_id}", "", GlanceImage)
    return _site_image(found) if found is not None and found.status == "active" else None


def require_site_image(cloud: Cloud, image: StagedImage) -> None:
    """Raise SiteError unless the cloud has exactly the pinned image."""
    now = find_site_image(cloud, image.site_image)
    if now is None or (image.checksum and now.checksum != image.checksum):
        state = "is gone" if now is None else f"has the checksum {now.checksum} now, not {image.checksum}"
        raise SiteError("An object is missing at the site", f"Image {image.site_image} {state} at {cloud.title}. Plan again.")


def _usable(cloud: Cloud) -> Iterator[SiteImage]:
    for image in cloud.client.list(IMAGES, status="active"):
        if not image.digest and image.disk_format in (None, *_FORMATS):
            yield _site_image(image)


def _site_image(image: GlanceImage) -> SiteImage:
    hashed = image.os_hash_algo and image.os_hash_value
    return SiteImage(
        id=image.id,
        name=image.name or image.id,
        virtual_size_bytes=max(image.min_disk * GIB, image.virtual_size or image.size or 0),
        checksum=f"{image.os_hash_algo}:{image.os_hash_value}" if hashed else f"md5:{image.checksum}" if image.checksum else "",
        created=image.created_at,
        format="raw" if image.disk_format == "raw" else "qcow2",
        min_memory_mib=image.min_ram,
        firmware="uefi" if image.firmware == "uefi" else None,
    )
