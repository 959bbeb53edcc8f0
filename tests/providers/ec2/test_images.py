"""Images of the service: by id, by name, and the newest of an owner."""

from collections.abc import Callable, Iterator

import pytest

from pragmaspec.errors import SiteError
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.images import pin_of, require_site_image
from pragmaspec.providers.ec2.provider import Ec2Provider
from pragmaspec.providers.ec2.staged_images import refused_images
from pragmaspec.resources import Blob, StagedImage
from tests.providers.ec2.conftest import ec2_site
from tests.providers.ec2.doubles import refused, service_of

AMI = {
    "ImageId": "ami-1",
    "Name": "debian-12-amd64-20261101",
    "OwnerId": "136693071363",
    "CreationDate": "2026-11-01T00:00:00.000Z",
    "State": "available",
    "RootDeviceName": "/dev/xvda",
    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-1", "VolumeSize": 8}}],
    "BootMode": "uefi",
}
NEWER = {**AMI, "ImageId": "ami-2", "Name": "debian-12-amd64-20261115", "CreationDate": "2026-11-15T00:00:00.000Z"}


def listing(*images):
    def describe_images(ImageIds=(), Owners=(), Filters=()):  # noqa: N803 - names of the API
        if ImageIds and not any(each["ImageId"] in ImageIds for each in images):
            raise refused("InvalidAMIID.NotFound", "DescribeImages")
        return {"Images": [each for each in images if not ImageIds or each["ImageId"] in ImageIds]}

    return {"describe_images": describe_images}


def resolve(name: str, *images):
    from pragmaspec.providers.ec2.images import resolve_site_image

    return resolve_site_image(service_of(listing(*images)), name)


def staged(image) -> StagedImage:
    disk = Blob(sha256="0" * 64, size_bytes=0)
    return StagedImage(
        site="lab", name="debian", digest="0" * 64, format="raw", virtual_size_bytes=1, disk=disk,
        site_image=image["ImageId"], site_name=image["Name"], checksum=pin_of(image),
    )  # fmt: skip


def test_an_image_is_described() -> None:
    found = resolve("ami-1", AMI, NEWER)
    assert (found.id, found.name, found.created) == ("ami-1", AMI["Name"], AMI["CreationDate"])
    assert (found.virtual_size_bytes, found.copy_bytes, found.firmware) == (8 * 2**30, 0, "uefi")


def test_a_name_has_one_image() -> None:
    assert resolve(NEWER["Name"], AMI, NEWER).id == "ami-2"
    with pytest.raises(SiteError, match=r"ami-3 .*ami-2"):
        resolve(NEWER["Name"], AMI, NEWER, {**NEWER, "ImageId": "ami-3"})


def test_a_pattern_of_an_owner_is_its_newest_image() -> None:
    assert resolve("136693071363/debian-12-*", AMI, NEWER).id == "ami-2"
    with pytest.raises(SiteError, match="OWNER/PATTERN"):
        resolve("136693071363/debian-13-*", AMI, NEWER)


@pytest.mark.parametrize(
    "change",
    [
        {"OwnerId": "123456789012"},
        {"CreationDate": "2026-11-02T00:00:00.000Z"},
        {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-2", "VolumeSize": 8}}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_pinned_image_that_has_changed_is_refused(change) -> None:
    assert require_site_image(service_of(listing(AMI)), staged(AMI)) == AMI
    with pytest.raises(SiteError, match="lock --upgrade debian"):
        require_site_image(service_of(listing({**AMI, **change})), staged(AMI))


@pytest.mark.parametrize("now", [(), ({**AMI, "State": "deregistered"},)], ids=["absent", "deregistered"])
def test_a_pinned_image_that_is_gone_is_refused(now) -> None:
    with pytest.raises(SiteError, match="no longer has image ami-1"):
        require_site_image(service_of(listing(*now)), staged(AMI))


@pytest.fixture
def registered(moto: Ec2Client) -> Iterator[Callable[[str], str]]:
    """Registers images at moto."""
    made = []

    def register(name: str) -> str:
        image = moto.call("register_image", Name=name, RootDeviceName="/dev/xvda", Architecture="x86_64")["ImageId"]
        made.append(image)
        return image

    yield register
    for each in made:
        moto.call("deregister_image", ImageId=each)


def test_images_are_found_at_a_service(moto_endpoint: str, registered: Callable[[str], str]) -> None:
    provider = Ec2Provider(ec2_site("lab", endpoint=moto_endpoint))
    image = registered("cluster-1")
    registered("other-1")
    assert provider.resolve_image("cluster-1").id == image
    assert provider.resolve_image("self/cluster-*").id == image
    found = provider.find_image(image)
    assert found is not None
    assert found.name == "cluster-1"
    with pytest.raises(SiteError, match="cluster-1"):
        provider.resolve_image("cluster-2")
    provider.close()


def test_a_service_without_uploads_refuses_images_of_ours_in_plans() -> None:
    assert [kind for kind, _ in refused_images(service_of({}))] == ["upload", "kernel", "uefi"]
    assert [kind for kind, _ in refused_images(service_of({}, "disk_upload"))] == ["kernel", "uefi"]
