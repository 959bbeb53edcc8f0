"""Further disks and volumes: their tags, zones and device names, and creations that meet."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.planning.observed import ObservedDisk
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.provider import Ec2Provider
from pragmaspec.providers.ec2.volumes import allocate_volume, create_disk, described_volume
from pragmaspec.resources import Disk, Mark, Node, Volume
from pragmaspec.testing.subject import Subject
from tests.providers.ec2.conftest import ec2_site
from tests.providers.ec2.doubles import refused, service_of
from tests.simulation.clock import SimulatedClock

GIB = 2**30
SCRATCH = Disk(name="scratch", size_bytes=GIB)
HOME = Disk(name="home", size_bytes=GIB, volume="home")
TYPES = ("t2.micro", "t3.micro")
MINE, OTHER = "3f9a1c2b-0000-4000-8000-000000000000", "7d1e4c55-0000-4000-8000-000000000000"


@pytest.fixture
def subject(moto: Ec2Client, moto_endpoint: str, tmp_path: Path) -> Iterator[Subject]:
    subject = Subject.at(ec2_site("lab", endpoint=moto_endpoint, types=TYPES), tmp_path)
    yield subject
    subject.clean_all()


def node_with(subject: Subject, *disks: Disk, flavor: str = "t3.micro") -> Node:
    return replace(subject.node(), disks=disks, flavor=flavor)


def with_volume(subject: Subject) -> Volume:
    volume = subject.volume()
    provider_of(subject).allocate_volume(volume, subject.mark(volume))
    return volume


def provider_of(subject: Subject) -> Ec2Provider:
    assert isinstance(subject.provider, Ec2Provider)
    return subject.provider


def instance_of(subject: Subject, moto: Ec2Client) -> dict:
    (node,) = subject.observed().nodes
    (reservation,) = moto.call("describe_instances", InstanceIds=[node.id])["Reservations"]
    return reservation["Instances"][0]


def volumes_at(instance: dict) -> dict[str, str]:
    """Return the further volumes of an instance by device name."""
    devices = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in instance["BlockDeviceMappings"]}
    return {name: volume for name, volume in devices.items() if name != instance["RootDeviceName"]}


def test_the_guest_is_told_the_serial_numbers_of_its_disks(subject: Subject, moto: Ec2Client) -> None:
    subject.prepare()
    with_volume(subject)
    subject.boot(node_with(subject, HOME, SCRATCH))
    instance = instance_of(subject, moto)
    attached = volumes_at(instance)
    tags = {each["Key"]: each["Value"] for each in instance["Tags"]}
    assert list(attached) == ["/dev/sdf", "/dev/sdg"]
    assert [tags[f"pragmaspec-serial-{name}"] for name in ("home", "scratch")] == [
        each.replace("-", "") for each in attached.values()
    ]


def test_a_disk_that_was_detached_by_hand_is_drift_and_attached_again(subject: Subject, moto: Ec2Client) -> None:
    subject.prepare()
    with_volume(subject)
    node = node_with(subject, HOME, SCRATCH)
    subject.boot(node)
    before = volumes_at(instance_of(subject, moto))
    for device, volume in before.items():
        moto.call("detach_volume", VolumeId=volume, InstanceId=instance_of(subject, moto)["InstanceId"], Device=device)
    (seen,) = subject.observed().nodes
    assert (seen.disks, seen.volumes) == ((), ())
    subject.boot(node)
    assert volumes_at(instance_of(subject, moto)) == before, "nothing is created anew"
    (seen,) = subject.observed().nodes
    assert (seen.disks, seen.volumes) == ((ObservedDisk(name="scratch", size_bytes=GIB),), ("home",))


def test_a_volume_that_was_grown_by_hand_is_observed(subject: Subject, moto: Ec2Client) -> None:
    volume = with_volume(subject)
    (seen,) = subject.observed().volumes
    moto.call("modify_volume", VolumeId=seen.id, Size=3)
    (seen,) = subject.observed().volumes
    assert (seen.address, seen.size_bytes) == (volume.address, 3 * GIB)


def test_names_of_devices_that_are_in_use_are_passed_over(subject: Subject, moto: Ec2Client) -> None:
    subject.prepare()
    node = node_with(subject)
    subject.boot(node)
    instance = instance_of(subject, moto)
    zone = instance["Placement"]["AvailabilityZone"]
    foreign = moto.call("create_volume", Size=1, AvailabilityZone=zone)["VolumeId"]
    moto.call("attach_volume", VolumeId=foreign, InstanceId=instance["InstanceId"], Device="/dev/sdf")
    subject.boot(node_with(subject, SCRATCH))
    attached = volumes_at(instance_of(subject, moto))
    assert (list(attached), attached["/dev/sdf"]) == (["/dev/sdf", "/dev/sdg"], foreign)
    moto.call("detach_volume", VolumeId=foreign, InstanceId=instance["InstanceId"])
    moto.call("delete_volume", VolumeId=foreign)


def test_disks_of_a_creation_that_failed_are_removed(subject: Subject, moto: Ec2Client) -> None:
    subject.prepare()
    node = node_with(subject, SCRATCH)
    mark = replace(subject.mark(node), op="0" * 16)
    create_disk(provider_of(subject).service, mark, node.name, "scratch", GIB, "eu-central-1a")
    subject.provider.clean(node, mark)
    tagged = [{"Name": "tag:pragmaspec-lineage", "Values": [subject.lineage]}]
    assert list(moto.listed("describe_volumes", "Volumes", Filters=tagged)) == []


def test_volumes_and_networks_are_in_one_zone(subject: Subject, moto: Ec2Client) -> None:
    subject.prepare()
    with_volume(subject)
    (volume,) = subject.observed().volumes
    subnets = moto.listed(
        "describe_subnets", "Subnets", Filters=[{"Name": "tag:pragmaspec-lineage", "Values": [subject.lineage]}]
    )
    found = described_volume(provider_of(subject).service, volume.id)
    assert found is not None
    assert [each["AvailabilityZone"] for each in subnets] == [found.zone] == ["eu-central-1a"]


def test_a_volume_in_another_zone_is_refused_before_any_change(subject: Subject, moto_endpoint: str) -> None:
    volume = subject.volume()
    elsewhere = Ec2Provider(ec2_site("lab", endpoint=moto_endpoint, zone="eu-central-1b"))
    elsewhere.allocate_volume(volume, subject.mark(volume))
    subject.prepare()
    with pytest.raises(SiteError, match=r"which is in zone eu-central-1b, and its network is in eu-central-1a\. Write `zone: "):
        subject.boot(node_with(subject, HOME))
    assert subject.observed().nodes == ()


def test_a_type_whose_guests_see_no_serial_numbers_is_refused(subject: Subject) -> None:
    subject.prepare()
    with pytest.raises(SiteError, match=r"type t2\.micro shows none\. Use a type of the Nitro system"):
        subject.boot(node_with(subject, SCRATCH, flavor="t2.micro"))
    assert subject.observed().nodes == ()


class Volumes:
    """A service that keeps volumes. ``meanwhile``: a volume that another stack creates during each creation."""

    def __init__(self, **meanwhile: object) -> None:
        self.kept: list[dict] = []
        self.tokens: list[str] = []
        self.lost: set[str] = set()
        self.meanwhile = meanwhile

    @property
    def answers(self):
        operations = (self.create_volume, self.describe_volumes, self.delete_volume)
        unusual = ({"ZoneName": "0", "ZoneType": "local-zone"}, {"ZoneName": "1", "State": "impaired"})
        zones = {"AvailabilityZones": [{"ZoneName": "b"}, {"ZoneName": "a"}, *unusual]}
        return {**{each.__name__: each for each in operations}, "describe_availability_zones": zones}

    def create_volume(self, ClientToken, Size, AvailabilityZone, TagSpecifications, VolumeType):  # noqa: N803 - names of the API
        self.tokens.append(ClientToken)
        made = {"VolumeId": f"vol-{len(self.tokens)}", "Size": Size, "State": "available", "AvailabilityZone": AvailabilityZone}
        made |= {"Tags": TagSpecifications[0]["Tags"], "CreateTime": datetime(2026, 11, 30, tzinfo=UTC), "VolumeType": VolumeType}
        if made["VolumeId"] not in self.lost:
            self.kept += [made, *([{**made, **self.meanwhile}] if self.meanwhile else [])]
        return made

    def describe_volumes(self, VolumeIds=(), Filters=()):  # noqa: N803 - names of the API
        found = [each for each in self.kept if not VolumeIds or each["VolumeId"] in VolumeIds]
        if VolumeIds and not found:
            raise refused("InvalidVolume.NotFound", "DescribeVolumes")
        return {"Volumes": found}

    def delete_volume(self, VolumeId):  # noqa: N803 - names of the API
        self.kept = [each for each in self.kept if each["VolumeId"] != VolumeId]
        return {}


def allocated(volumes: Volumes) -> None:
    volume = Volume(site="lab", name="home", size_bytes=GIB)
    service = service_of(volumes.answers, "tag_at_creation", "volume_growth", clock=SimulatedClock())
    allocate_volume(service, volume, Mark(lineage=MINE, address=volume.address, op="an-op"))


def others(hours: int) -> dict:
    tags = {"lineage": OTHER, "address": "lab/volume/home", "generation": "generation-0", "part": "volume-home"}
    made = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(hours=hours)
    return {"VolumeId": "vol-0", "CreateTime": made, "Tags": [{"Key": f"pragmaspec-{k}", "Value": v} for k, v in tags.items()]}


def test_of_two_stacks_that_create_a_volume_the_older_one_keeps_it() -> None:
    later, earlier = Volumes(**others(1)), Volumes(**others(-1))
    allocated(later)
    assert [each["VolumeId"] for each in later.kept] == ["vol-1", "vol-0"]
    with pytest.raises(SiteConflictError, match="7d1e4c55 has the name home at the site"):
        allocated(earlier)
    assert [each["VolumeId"] for each in earlier.kept] == ["vol-0"]


def test_a_volume_of_ours_stays_ours_beside_an_older_one() -> None:
    volumes = Volumes()
    allocated(volumes)
    volumes.kept.append({**volumes.kept[0], **others(-1)})
    allocated(volumes)
    assert [each["VolumeId"] for each in volumes.kept] == ["vol-1", "vol-0"]


def test_a_volume_is_in_the_first_zone() -> None:
    volumes = Volumes()
    allocated(volumes)
    assert volumes.kept[0]["AvailabilityZone"] == "a"


def test_a_token_whose_volume_was_removed_is_not_used_again() -> None:
    volumes = Volumes()
    volumes.lost = {"vol-1"}
    allocated(volumes)
    assert [each["VolumeId"] for each in volumes.kept] == ["vol-2"]
    assert len(set(volumes.tokens)) == 2
