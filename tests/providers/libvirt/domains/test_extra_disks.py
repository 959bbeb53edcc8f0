"""Further disks and volumes: in definitions, beside manual changes, and in the pool of libvirt's test driver."""

from xml.etree.ElementTree import SubElement

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError, SiteInUseError
from pragmaspec.planning.observed import Layer, ObservedDisk
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.additions import additions, with_additions
from pragmaspec.providers.libvirt.domains.definition import differences, disk_target
from pragmaspec.providers.libvirt.domains.disk_chain import extra_layers
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, ExtraDisk, domain_element
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Disk, Mark
from pragmaspec.testing.storage import home, node_with, scratch, stop
from tests.providers.libvirt.conftest import host_of
from tests.providers.libvirt.domains.test_xml import CASES, config_of

POOL = "/var/lib/libvirt/images"
DATA, FAST = ExtraDisk(serial="data", file=f"{POOL}/data.qcow2"), ExtraDisk(serial="fast", file=f"{POOL}/fast.qcow2")


def config(*disks: ExtraDisk) -> DomainConfig:
    return replace(config_of(next(case for case in CASES if case.name == "kvm-disk-boot")), extra_disks=disks)


def extra(domain, serial):
    return next(disk for disk in domain.findall("devices/disk") if disk.findtext("serial") == serial)


def test_a_generated_definition_has_no_differences_and_no_additions():
    wanted = domain_element(config(DATA, FAST))
    assert list(differences(wanted, domain_element(config(DATA, FAST)), domain_element(config(DATA, FAST)))) == []
    assert additions(wanted, domain_element(config(DATA, FAST))) == ()


def test_a_detached_disk_is_a_difference_that_a_restart_repairs():
    wanted, found = domain_element(config(DATA)), domain_element(config())
    (missing,) = differences(wanted, found, found)
    assert missing.detail == f"disk data is missing, recorded {DATA.file}"
    assert missing.repair == "restart"


def test_a_disk_that_is_no_longer_wanted_is_a_difference_and_not_an_addition():
    wanted, found = domain_element(config(DATA)), domain_element(config(DATA, FAST))
    assert "disk fast" in {each.detail.split(" is ")[0] for each in differences(wanted, found, None)}
    assert additions(wanted, found) == ()
    kept = [disk.findtext("serial") for disk in with_additions(wanted, found).findall("devices/disk")]
    assert kept == [None, None, "data"]


def test_the_target_of_a_disk_may_change():
    assert disk_target(extra(domain_element(config(DATA, FAST)), "fast")) == "vdab"
    wanted, found = domain_element(config(FAST)), domain_element(config(DATA, FAST))
    assert not any("fast" in each.detail for each in differences(wanted, found, None))


def test_manual_changes_of_a_disk_are_kept():
    wanted, found = domain_element(config(DATA)), domain_element(config(DATA))
    SubElement(SubElement(extra(found, "data"), "iotune"), "total_bytes_sec").text = "1000"
    assert len(additions(wanted, found)) == 1
    merged = extra(with_additions(wanted, found), "data")
    assert merged.findtext("iotune/total_bytes_sec") == "1000"
    assert len(merged.findall("serial")) == 1


def test_snapshots_of_a_disk_are_layers_and_no_difference():
    found = domain_element(config(DATA))
    disk = extra(found, "data")
    source, backing = disk.find("source"), disk.find("backingStore")
    assert source is not None
    assert backing is not None
    source.set("file", f"{POOL}/data.s1")
    SubElement(backing, "source", {"file": DATA.file})
    SubElement(backing, "backingStore")
    assert list(differences(domain_element(config(DATA)), found, found)) == []
    assert extra_layers(found, {f"{POOL}/data.s1": "s1"}, POOL) == (Layer(file=f"{POOL}/data.s1", snapshot="s1"),)


def test_names_of_disks_and_volumes_are_parsed():
    mark = Mark(lineage="3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607", address="lab/hello/node/hello-gpu-0", generation=2)
    found = names.parse_extra_disk(names.extra_disk_volume("hello-gpu-0", "scratch-2", mark))
    assert found is not None
    assert (found[0].node, found[0].generation, found[1]) == ("hello-gpu-0", 2, "scratch-2")
    assert names.parse_extra_disk(names.disk_volume("hello-gpu-0", mark)) is None
    kept = names.kept_volume(Mark(lineage=mark.lineage, address="lab/volume/home"))
    assert names.parse_kept(kept) == ("home", mark.lineage)
    assert names.parse_node_volume(kept) is None
    assert names.parse_layer(kept) is None
    assert names.parse_domain(kept) is None
    assert names.parse_kept(kept.replace(".qcow2", ".s1")) is None
    assert names.is_kept(kept.replace(".qcow2", ".s1"))


@pytest.fixture
def with_volume(fake_stack):
    """A stack with a volume, and everything that a node needs."""
    fake_stack.prepare()
    volume = fake_stack.volume()
    fake_stack.provider.allocate_volume(volume, fake_stack.mark(volume))
    return fake_stack


def snapshot_file(stack):
    """Create a file as a snapshot of the volume makes it, and return its name."""
    file = names.kept_volume(stack.mark(stack.volume())).replace(".qcow2", ".s1")
    volumes.create(host_of(stack), volumes.empty_xml(file, 2**21))
    return file


def test_a_volume_with_snapshots_is_neither_attached_nor_removed(with_volume):
    file = snapshot_file(with_volume)
    with pytest.raises(SiteConflictError, match="snapshots"):
        with_volume.boot(node_with(with_volume, home(with_volume)))
    volume = with_volume.volume()
    with pytest.raises(SiteInUseError, match="would lose the contents"):
        with_volume.provider.clean(volume, with_volume.mark(volume))
    volumes.remove(host_of(with_volume), file)
    with_volume.boot(node_with(with_volume, home(with_volume)))


def test_snapshots_of_a_volume_outlive_the_node(with_volume):
    node = node_with(with_volume, home(with_volume))
    with_volume.boot(node)
    file = snapshot_file(with_volume)
    with_volume.provider.clean(node, with_volume.mark(node))
    assert file in volumes.list_names(host_of(with_volume))
    volumes.remove(host_of(with_volume), file)


def test_a_node_whose_volume_is_not_recorded_cannot_boot(with_volume):
    request = replace(with_volume.boot_request(node_with(with_volume, home(with_volume))), volumes=())
    with pytest.raises(SiteError, match="not recorded"):
        with_volume.provider.boot(request)


def test_disks_without_a_machine_are_observed(fake_stack, virsh):
    fake_stack.prepare()
    node = node_with(fake_stack, scratch(fake_stack))
    fake_stack.boot(node)
    stop(fake_stack, node)
    virsh.lookupByName(names.domain_name(node.name, fake_stack.mark(node))).undefine()
    (seen,) = fake_stack.observed().nodes
    assert (seen.status, seen.disks) == ("undefined", (ObservedDisk(name="scratch", size_bytes=2**20),))


def test_the_definition_contains_the_disks_by_serial_number(with_volume, virsh):
    node = node_with(with_volume, scratch(with_volume), home(with_volume))
    with_volume.boot(node)
    domain = parse(virsh.lookupByName(names.domain_name(node.name, with_volume.mark(node))).XMLDesc())
    assert {disk.findtext("serial") for disk in domain.findall("devices/disk")} >= {"scratch", "home"}
    assert msgspec.json.decode(msgspec.json.encode(node.disks), type=tuple[Disk, ...]) == node.disks


def test_a_rebuild_is_refused_while_the_running_machine_has_a_snapshot_of_the_volume(with_volume):
    node = node_with(with_volume, home(with_volume))
    with_volume.boot(node)
    anew = replace(with_volume.boot_request(node, generation=1), present=with_volume.mark(node))
    with_volume.provider.check_boot(anew)
    file = snapshot_file(with_volume)
    with pytest.raises(SiteConflictError, match="snapshots"):
        with_volume.provider.check_boot(anew)
    volumes.remove(host_of(with_volume), file)
