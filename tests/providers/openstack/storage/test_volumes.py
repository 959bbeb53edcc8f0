"""Volumes of a project: observed disks, kept volumes and remains, and the offer of the cloud."""

from pragmaspec.planning.observed import DiskOffer, ObservedDisk, ObservedVolume
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.openstack.marks import disk_metadata, machine_tags, metadata_of
from pragmaspec.providers.openstack.objects import CinderVolume, Server, ServerFlavor, VolumeAttachment, VolumeQuota
from pragmaspec.providers.openstack.storage.observed import ObservedStorage
from pragmaspec.providers.openstack.storage.offer import VolumeOffer
from pragmaspec.resources import Mark

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000000"
NODE = Mark(lineage=LINEAGE, address="lab/hello/node/hello-frontend", op="a" * 32)
HOME = Mark(lineage=LINEAGE, address="lab/volume/home", op="b" * 32)
OTHER = Mark(lineage="9" * 8 + LINEAGE[8:], address="lab/volume/home")


def volume(volume_id: str, metadata: dict[str, str], server: str = "", **fields: object) -> CinderVolume:
    attachments = (VolumeAttachment(server_id=server),) if server else ()
    known = {"status": "in-use" if server else "available", "size": 1, "created_at": f"2026-01-01T00:00:0{volume_id}.000000"}
    return CinderVolume(id=volume_id, name=f"v{volume_id}", metadata=metadata, attachments=attachments, **{**known, **fields})


def server(server_id: str, mark: Mark = NODE) -> Server:
    flavor = ServerFlavor(original_name="tiny", vcpus=1, ram=128, disk=1)
    tags = tuple(machine_tags(mark))
    return Server(id=server_id, name="hello-frontend", status="ACTIVE", flavor=flavor, metadata=metadata_of(mark), tags=tags)


def test_disks_and_volumes_of_a_server_are_observed() -> None:
    found = [
        volume("2", disk_metadata(NODE, "scratch"), "s", size=2),
        volume("1", metadata_of(HOME), "s"),
        volume("3", metadata_of(OTHER)),
        volume("4", {}),
    ]
    seen, machine = ObservedStorage(found, LINEAGE), server("s")
    assert seen.of(NODE) == (ObservedDisk(name="scratch", size_bytes=2 * GIB),)
    assert seen.attached(machine) == ("home",)
    assert list(seen.differences(machine, NODE)) == []
    assert seen.volumes() == (ObservedVolume(address=HOME.address, size_bytes=GIB, op=HOME.op, id="1", made=1767225601.0),)
    assert list(seen.remains([machine])) == []


def test_a_detached_or_damaged_disk_is_a_difference() -> None:
    found = [
        volume("1", disk_metadata(NODE, "a")),
        volume("2", disk_metadata(NODE, "b"), status="error_extending"),
        volume("3", disk_metadata(NODE, "c"), "s", status="deleting"),
    ]
    differences = list(ObservedStorage(found, LINEAGE).differences(server("s"), NODE))
    assert [each.detail for each in differences] == ["its disk a is detached", "its disk b has the status error_extending"]
    assert {each.repair for each in differences} == {"restart"}


def test_disks_without_their_server_are_remains_of_a_node() -> None:
    (left,) = ObservedStorage([volume("1", disk_metadata(NODE, "scratch"))], LINEAGE).remains([])
    assert (left.address, left.status, left.disk, left.op) == (NODE.address, "undefined", False, NODE.op)
    assert left.disks == (ObservedDisk(name="scratch", size_bytes=GIB),)


def test_quotas_are_those_of_which_less_is_left() -> None:
    quotas = {
        "volumes": VolumeQuota(limit=10, in_use=4, reserved=1),
        "gigabytes": VolumeQuota(limit=1000, in_use=4),
        "gigabytes_ssd": VolumeQuota(limit=20, in_use=1),
        "volumes_ssd": VolumeQuota(limit=-1, in_use=1),
        "per_volume_gigabytes": VolumeQuota(limit=100),
    }
    offer = VolumeOffer((), quotas)
    number, size = offer.as_quotas("ssd")
    assert (number.kind, number.limit, number.used) == ("volumes", 10, 5)
    assert (size.kind, size.limit, size.used) == ("volume_storage", 20 * GIB, GIB)
    assert [each.limit for each in offer.as_quotas("")] == [10, 1000 * GIB]
    assert offer.disks() == DiskOffer(unit_bytes=GIB, max_bytes=100 * GIB)


def test_a_cloud_without_block_storage_offers_no_disks() -> None:
    offer = VolumeOffer()
    assert "no block storage" in offer.disks().missing
    assert list(offer.as_quotas("")) == []


def test_volumes_of_all_owners_are_held() -> None:
    found = (volume("1", metadata_of(OTHER)), volume("2", disk_metadata(NODE, "scratch"), "s"), volume("3", {}))
    offer = VolumeOffer(found, {})
    assert [(use.value, use.lineage) for use in offer.kept()] == [("home", OTHER.lineage)]
    assert [(use.owner, use.disk_bytes) for use in offer.holdings()][-1] == ("volume v3", GIB)
