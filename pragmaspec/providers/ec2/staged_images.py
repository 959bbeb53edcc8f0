"""Images that were made from disks of ours: a snapshot that is written block by block, and an image registered from it."""

from collections.abc import Iterator
from typing import NamedTuple

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteError
from pragmaspec.planning.observed import Refused, StoredImage
from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import MISSING, has_code, ignoring
from pragmaspec.providers.ec2.images import describe_image, require_site_image, root_disk
from pragmaspec.providers.ec2.marks import tag_values
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.snapshot_upload import DIGEST, SnapshotUpload, digest_tag
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.resources import Outputs, StagedImage

_USER = "pragmaspec-user-"
"""Prefix of tag keys, followed by the lineage of a stack that uses the image."""
_USES = "uses-it"
_ROOT_DEVICE = "/dev/sda1"
_NAME_TAKEN = r"InvalidAMIName\.Duplicate"


class OwnImage(NamedTuple):
    """An image that was made from a disk of ours; ``id`` empty: a snapshot without an image."""

    digest: str
    id: str
    snapshots: tuple[str, ...]
    users: tuple[str, ...]
    size_bytes: int
    ready: bool


def own_images(service: Service) -> list[OwnImage]:
    """Return all images of ours, of any stack, and the snapshots of those that are not complete."""
    if not service.capabilities.has("disk_upload"):
        return []
    tagged = [{"Name": "tag-key", "Values": [DIGEST]}]
    listed = service.connection.listed("describe_images", "Images", Owners=["self"], Filters=tagged)
    images = [_own_image(each) for each in listed]
    used = {snapshot for image in images for snapshot in image.snapshots}
    left = service.connection.listed("describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=tagged)
    return images + [_own_snapshot(each) for each in left if each["SnapshotId"] not in used]


def staged_for(images: list[OwnImage], lineage: str) -> tuple[str, ...]:
    """Return the digests of the complete images that a stack uses."""
    return tuple(sorted({each.digest for each in images if each.ready and lineage in each.users}))


def stored_images(service: Service) -> tuple[StoredImage, ...]:
    """Return every image of ours, complete or not, by digest."""
    found: dict[str, StoredImage] = {}
    for each in own_images(service):
        before = found.get(each.digest)
        users = tuple(sorted({*(before.users if before else ()), *(user[:8] for user in each.users)}))
        size_bytes = each.size_bytes + (before.size_bytes if before else 0)
        found[each.digest] = StoredImage(digest=each.digest, size_bytes=size_bytes, users=users)
    return tuple(found[digest] for digest in sorted(found))


def refused_images(service: Service) -> Iterator[tuple[Refused, str]]:
    """Yield the kinds of images that :func:`stage_image` and :func:`require_image` refuse, with the reasons."""
    if not service.capabilities.has("disk_upload"):
        yield "upload", "whose service has no EBS direct API"
    yield "kernel", "whose machines boot by the loader of their disk"
    yield "uefi", "where images that are not its own boot with BIOS"


def require_image(service: Service, image: StagedImage, firmware: Firmware) -> Answer:
    """Return the image that nodes boot from. Raises SiteError if it is missing."""
    if image.site_image:
        return require_site_image(service, image)
    if firmware == "uefi":
        raise SiteError(
            "A node cannot boot",
            f"Image {image.name} boots with UEFI, and images of yours boot with BIOS at site {service.site}. Use an image that "
            "boots with BIOS as well (`firmware: bios`), or one of the site (`at:`).",
        )
    found = _ready(service, image.digest)
    described = describe_image(service, found.id) if found else None
    if described is None:
        raise SiteError(
            "A node cannot boot",
            f"Image {image.name} ({image.digest[:16]}) is not at site {service.site}. Plan again, which stages it.",
        )
    return described


def stage_image(service: Service, request: StageRequest) -> Outputs:
    """Put the image at the site, unless it is there, and record that the stack uses it."""
    image, lineage = request.image, request.mark.lineage
    if image.site_image:
        require_site_image(service, image)
        return ()
    if not service.capabilities.has("disk_upload"):
        raise SiteError(
            "The site takes no disks",
            f"The service of site {service.site} has no EBS direct API, so image {image.name} cannot be uploaded. Install it "
            f"with the service's own tools, and write its name there: `at: {{{service.site}: NAME}}`.",
        )
    if image.kernel is not None:
        raise SiteError(
            "The site boots disks only",
            f"Image {image.name} has a kernel beside its disk, and EC2 boots by the loader of a disk. Use an image with one.",
        )
    found = _ready(service, image.digest)
    if found is None:
        _register(service, image, SnapshotUpload(service, request).complete(), lineage)
    else:
        service.tag(found.id, [_user_tag(lineage)])
    request.progress(image.transfer_bytes, image.transfer_bytes)
    return ()


def release_image(service: Service, digest: str, lineage: str) -> None:
    """Remove the use of an image by a stack, and with its last use the image. ``digest`` may be its first 16 digits."""
    for each in own_images(service):
        if not each.digest.startswith(digest) or (each.users and lineage not in each.users):
            continue
        if set(each.users) - {lineage}:
            key = f"{_USER}{lineage}"
            service.connection.call("delete_tags", repeatable=True, Resources=[each.id], Tags=[{"Key": key}])
            continue
        if each.id:
            with ignoring(f"{MISSING}|InvalidAMIID.*"):
                service.connection.call("deregister_image", repeatable=True, ImageId=each.id)
        for snapshot in each.snapshots:
            service.remove("delete_snapshot", SnapshotId=snapshot)


def _register(service: Service, image: StagedImage, snapshot: str, lineage: str) -> None:
    """Make an image from a snapshot. The name is the claim: one that another stack has registered meanwhile is used."""
    tags = [digest_tag(image.digest), _user_tag(lineage), {"Key": "Name", "Value": image.name}]
    devices = [{"DeviceName": _ROOT_DEVICE, "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}]
    try:
        answer = service.connection.call(
            "register_image",
            Name=f"pragmaspec-{image.digest}",
            Description=f"pragmaspec image {image.name}",
            Architecture=service.settings.architecture,
            RootDeviceName=_ROOT_DEVICE,
            BlockDeviceMappings=devices,
            VirtualizationType="hvm",
            EnaSupport=True,
            TagSpecifications=[{"ResourceType": "image", "Tags": tags}],
        )
    except ClientError as error:
        found = _ready(service, image.digest) if has_code(_NAME_TAKEN)(error) else None
        if found is None:
            raise
        service.tag(found.id, [_user_tag(lineage)])
        if snapshot not in found.snapshots:
            service.undo("delete_snapshot", SnapshotId=snapshot)
        return
    described = describe_image(service, answer["ImageId"])
    if described is None or DIGEST not in tag_values(described):
        service.tag(answer["ImageId"], tags)


def _ready(service: Service, digest: str) -> OwnImage | None:
    return next((each for each in _complete(service) if each.digest == digest), None)


def _complete(service: Service) -> Iterator[OwnImage]:
    return (each for each in own_images(service) if each.ready)


def _user_tag(lineage: str) -> dict[str, str]:
    return {"Key": f"{_USER}{lineage}", "Value": _USES}


def _own_image(described: Answer) -> OwnImage:
    tags = tag_values(described)
    devices = [each["Ebs"] for each in described.get("BlockDeviceMappings", ()) if "Ebs" in each]
    return OwnImage(
        digest=tags[DIGEST].removeprefix("sha256-"),
        id=described["ImageId"],
        snapshots=tuple(each["SnapshotId"] for each in devices if each.get("SnapshotId")),
        users=tuple(key.removeprefix(_USER) for key in tags if key.startswith(_USER)),
        size_bytes=root_disk(described).size_gib * GIB,
        ready=described.get("State", "available") == "available",
    )


def _own_snapshot(described: Answer) -> OwnImage:
    digest = tag_values(described)[DIGEST].removeprefix("sha256-")
    return OwnImage(digest, "", (described["SnapshotId"],), (), int(described.get("VolumeSize", 0)) * GIB, ready=False)
