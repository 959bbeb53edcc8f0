"""Images of the service: those of the site (``at:``), and those that were made from disks of ours."""

from fnmatch import fnmatchcase
from hashlib import sha256
from typing import NamedTuple

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteError
from pragmaspec.planning.images.site_images import choose_site_image
from pragmaspec.planning.observed import SiteImage
from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import MISSING, has_code
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.resources import StagedImage

_MALFORMED = r"InvalidAMIID\..*"
_WILDCARDS = "*?"
_FIRMWARE: dict[str, Firmware] = {"uefi": "uefi", "legacy-bios": "bios"}


class RootDisk(NamedTuple):
    """The first disk of an image; ``device`` empty: the service makes it of the size of the instance type."""

    device: str
    size_gib: int


def describe_image(service: Service, image_id: str) -> Answer | None:
    """Return an image as the service describes it; None: there is none."""
    try:
        found = service.connection.call("describe_images", ImageIds=[image_id])["Images"]
    except ClientError as error:
        if has_code(f"{MISSING}|{_MALFORMED}")(error):
            return None
        raise
    image: Answer | None = next((each for each in found if each["ImageId"] == image_id), None)
    return image


def find_site_image(service: Service, image_id: str) -> SiteImage | None:
    """Return the site's image with an id."""
    found = describe_image(service, image_id) if image_id.startswith(("ami-", "emi-")) else None
    return site_image(found) if found and _usable(found) else None


def resolve_site_image(service: Service, name: str) -> SiteImage:
    """Return the image with an id, a name, or the newest of ``OWNER/PATTERN``.

    A pattern has ``*`` or ``?``, and its owner is an account, ``self``, ``amazon`` or ``aws-marketplace``: to write both is the
    choice of the newest. Raises SiteError.
    """
    if name.startswith(("ami-", "emi-")):
        found = find_site_image(service, name)
        return choose_site_image(name, [found] if found else [], service.site)
    owner, _, pattern = name.partition("/")
    if any(each in pattern for each in _WILDCARDS):
        return _newest(service, owner, pattern)
    named = _listed(service, name)
    if any(image.name == name for image in named):
        return choose_site_image(name, named, service.site)
    own = [site_image(each) for each in service.connection.listed("describe_images", "Images", Owners=["self"])]
    return choose_site_image(name, own, service.site)


def require_site_image(service: Service, image: StagedImage) -> Answer:
    """Return the pinned image as the service describes it. Raises SiteError if it is gone or is another one now."""
    found = describe_image(service, image.site_image)
    if found is None or not _usable(found):
        raise SiteError(
            "Pinned image is gone from its site",
            f"Site {service.site} no longer has image {image.site_image} ({image.site_name}). Pin another one with "
            f"`pragmaspec lock --upgrade {image.name}`.",
        )
    if image.checksum and pin_of(found) != image.checksum:
        raise SiteError(
            "Pinned image has changed at its site",
            f"Image {image.site_image} of site {service.site} has another owner, date or snapshot than when it was pinned. "
            f"Pin it again with `pragmaspec lock --upgrade {image.name}`.",
        )
    return found


def site_image(described: Answer) -> SiteImage:
    """Return the image that the service describes."""
    return SiteImage(
        id=described["ImageId"],
        name=str(described.get("Name") or described["ImageId"]),
        virtual_size_bytes=root_disk(described).size_gib * GIB,
        checksum=pin_of(described),
        created=described.get("CreationDate", ""),
        firmware=_FIRMWARE.get(described.get("BootMode", "")),
    )


def root_disk(described: Answer) -> RootDisk:
    """Return the first disk of an image."""
    device = described.get("RootDeviceName", "")
    for each in described.get("BlockDeviceMappings", ()):
        if each.get("DeviceName") == device and "Ebs" in each:
            return RootDisk(device, int(each["Ebs"].get("VolumeSize", 0)))
    return RootDisk("", 0)


def pin_of(described: Answer) -> str:
    """Return a digest of what cannot change in an image: its id, owner, creation date, and the snapshot of its first disk."""
    snapshots = [
        each["Ebs"].get("SnapshotId", "")
        for each in described.get("BlockDeviceMappings", ())
        if each.get("DeviceName") == described.get("RootDeviceName", "") and "Ebs" in each
    ]
    parts = (described["ImageId"], described.get("OwnerId", ""), described.get("CreationDate", ""), *snapshots)
    return f"ami:{sha256(' '.join(parts).encode()).hexdigest()}"


def _usable(described: Answer) -> bool:
    found = (described.get("State", "available"), described.get("ImageType", "machine"))
    return found == ("available", "machine")


def _listed(service: Service, name: str) -> list[SiteImage]:
    named = [{"Name": "name", "Values": [name]}]
    found = service.connection.listed("describe_images", "Images", Filters=named)
    return [site_image(each) for each in found if _usable(each)]


def _newest(service: Service, owner: str, pattern: str) -> SiteImage:
    named = [{"Name": "name", "Values": [pattern]}]
    listed = service.connection.listed("describe_images", "Images", Owners=[owner], Filters=named)
    found = [site_image(each) for each in listed if _usable(each) and fnmatchcase(each.get("Name", ""), pattern)]
    if not found:
        raise SiteError(
            "No such image at the site",
            f"Site {service.site} has no image of owner {owner} whose name fits {pattern}. Write OWNER/PATTERN, such as "
            "`136693071363/debian-12-amd64-*`.",
        )
    return max(found, key=lambda image: (image.created, image.id))
