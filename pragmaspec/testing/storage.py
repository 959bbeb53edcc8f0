"""The contract of sites with further disks and volumes: one test per statement of ``VolumeStorage`` in ``providers/base.py``."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError, SiteInUseError
from pragmaspec.planning.observed import ObservedDisk
from pragmaspec.providers.base import VolumeStorage
from pragmaspec.resources import Disk, Node
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject


def scratch(subject: Subject, units: int = 1, name: str = "scratch") -> Disk:
    """Return a disk that is removed with its node."""
    return Disk(name=name, size_bytes=units * subject.disk_unit, mount="/scratch")


def home(subject: Subject) -> Disk:
    """Return a disk that is a volume of two units."""
    return Disk(name="home", size_bytes=2 * subject.disk_unit, mount="/home", volume="home")


def storage_of(subject: Subject) -> VolumeStorage:
    """Return the ability."""
    storage: VolumeStorage = subject.require("volume_storage")
    return storage


def disks_of(subject: Subject) -> tuple[ObservedDisk, ...]:
    """Return the disks of the only machine."""
    (node,) = subject.observed().nodes
    return node.disks


def volumes_of(subject: Subject) -> dict[str, int]:
    """Return the sizes of the stack's volumes by address."""
    return {volume.address: volume.size_bytes for volume in subject.observed().volumes}


def node_with(subject: Subject, *disks: Disk, name: str = "hello-frontend") -> Node:
    """Return a node with further disks."""
    return replace(subject.node(name), disks=disks)


def stop(subject: Subject, node: Node) -> None:
    """Switch a node off."""
    subject.provider.shutdown(node, subject.boot_request(node).mark, grace_s=0)


@needs("volume_storage")
def test_boot_creates_the_disks_of_a_node(subject: Subject) -> None:
    subject.prepare()
    node = node_with(subject, scratch(subject))
    for _ in range(2):
        subject.boot(node)
        assert disks_of(subject) == (ObservedDisk(name="scratch", size_bytes=subject.disk_unit),)
    assert subject.held()[2] == node.disk_bytes + subject.disk_unit
    stop(subject, node)
    assert disks_of(subject) == (ObservedDisk(name="scratch", size_bytes=subject.disk_unit),)


@needs("volume_storage")
def test_clean_removes_the_disks_of_a_node(subject: Subject) -> None:
    subject.prepare()
    node = node_with(subject, scratch(subject))
    subject.boot(node)
    subject.provider.clean(node, subject.boot_request(node).mark)
    assert subject.observed().nodes == ()
    assert subject.held() == (0, 0, 0)


@needs("volume_storage", "faithful")
def test_disks_grow_while_the_machine_runs_and_never_shrink(subject: Subject) -> None:
    storage = storage_of(subject)
    subject.prepare()
    node = node_with(subject, scratch(subject))
    subject.boot(node)
    larger = node_with(subject, scratch(subject, 4))
    mark = subject.boot_request(node).mark
    for _ in range(2):
        storage.grow_disks(larger, mark)
        assert disks_of(subject) == (ObservedDisk(name="scratch", size_bytes=4 * subject.disk_unit),)
    storage.grow_disks(node, mark)
    assert disks_of(subject) == (ObservedDisk(name="scratch", size_bytes=4 * subject.disk_unit),)


@needs("volume_storage")
def test_grow_disks_creates_none(subject: Subject) -> None:
    subject.prepare()
    node = node_with(subject, scratch(subject))
    subject.boot(node)
    with pytest.raises(SiteError):
        storage_of(subject).grow_disks(node_with(subject, scratch(subject, name="other")), subject.boot_request(node).mark)


@needs("volume_storage")
def test_grow_disks_requires_the_machine(subject: Subject) -> None:
    with pytest.raises(SiteError):
        storage_of(subject).grow_disks(node_with(subject, scratch(subject)), subject.mark(subject.node()))


@needs("volume_storage")
def test_boot_removes_only_discarded_disks(subject: Subject) -> None:
    subject.prepare()
    node = node_with(subject, scratch(subject), scratch(subject, name="second"))
    subject.boot(node)
    stop(subject, node)
    fewer = node_with(subject, scratch(subject))
    subject.boot(fewer)
    assert {disk.name for disk in disks_of(subject)} == {"scratch", "second"}, "nothing is removed unasked"
    stop(subject, node)
    subject.provider.boot(replace(subject.boot_request(fewer), discard_disks=("second",)))
    assert {disk.name for disk in disks_of(subject)} == {"scratch"}


@needs("volume_storage")
def test_boot_replaces_a_discarded_disk(subject: Subject) -> None:
    subject.prepare()
    node = node_with(subject, scratch(subject, 4))
    subject.boot(node)
    stop(subject, node)
    smaller = node_with(subject, scratch(subject))
    subject.boot(smaller)
    assert disks_of(subject) == (ObservedDisk(name="scratch", size_bytes=4 * subject.disk_unit),), (
        "a disk is not made smaller unasked"
    )
    stop(subject, node)
    subject.provider.boot(replace(subject.boot_request(smaller), discard_disks=("scratch",)))
    assert disks_of(subject) == (ObservedDisk(name="scratch", size_bytes=subject.disk_unit),)


@needs("volume_storage")
def test_allocate_volume_is_idempotent(subject: Subject) -> None:
    storage = storage_of(subject)
    volume = subject.volume()
    for _ in range(2):
        storage.allocate_volume(volume, subject.mark(volume))
        assert volumes_of(subject) == {volume.address: 2 * subject.disk_unit}
    uses = [(use.value, use.lineage, use.address) for use in subject.provider.inventory().volumes]
    assert ("home", subject.lineage, volume.address) in uses
    assert subject.held() == (0, 0, 2 * subject.disk_unit)


@needs("volume_storage", "faithful")
@pytest.mark.parametrize("attached", [False, True], ids=["free", "attached"])
def test_a_volume_grows_and_never_shrinks(subject: Subject, attached: bool) -> None:
    storage = storage_of(subject)
    subject.prepare()
    volume = subject.volume()
    storage.allocate_volume(volume, subject.mark(volume))
    if attached:
        subject.boot(node_with(subject, home(subject)))
    storage.allocate_volume(subject.volume(units=4), subject.mark(volume))
    storage.allocate_volume(volume, subject.mark(volume))
    assert volumes_of(subject) == {volume.address: 4 * subject.disk_unit}


@needs("volume_storage")
def test_a_volume_of_another_stack_is_a_conflict(subject: Subject) -> None:
    storage = storage_of(subject)
    volume = subject.volume()
    storage.allocate_volume(volume, subject.mark(volume))
    other = subject.other()
    with pytest.raises(SiteConflictError) as refusal:
        storage.allocate_volume(volume, other.mark(volume))
    assert subject.lineage[:8] in str(refusal.value)
    assert volumes_of(other) == {}
    subject.provider.clean(volume, other.mark(volume))
    assert volumes_of(subject) == {volume.address: 2 * subject.disk_unit}


@needs("volume_storage")
def test_a_volume_survives_its_node(subject: Subject) -> None:
    storage = storage_of(subject)
    subject.prepare()
    volume = subject.volume()
    storage.allocate_volume(volume, subject.mark(volume))
    node = node_with(subject, home(subject))
    subject.boot(node)
    assert disks_of(subject) == (), "a volume does not belong to the machine"
    subject.provider.clean(node, subject.boot_request(node).mark)
    assert volumes_of(subject) == {volume.address: 2 * subject.disk_unit}
    for _ in range(2):
        subject.provider.clean(volume, subject.mark(volume))
        assert volumes_of(subject) == {}


@needs("volume_storage")
def test_an_attached_volume_is_not_removed(subject: Subject) -> None:
    storage = storage_of(subject)
    subject.prepare()
    volume = subject.volume()
    storage.allocate_volume(volume, subject.mark(volume))
    node = node_with(subject, home(subject))
    subject.boot(node)
    with pytest.raises(SiteInUseError) as refusal:
        subject.provider.clean(volume, subject.mark(volume))
    assert "hello-frontend" in str(refusal.value)


@needs("volume_storage")
def test_boot_requires_the_volumes_of_the_node(subject: Subject) -> None:
    subject.prepare()
    with pytest.raises(SiteError):
        subject.boot(node_with(subject, home(subject)))
    assert subject.observed().nodes == ()


@needs("volume_storage")
def test_a_volume_has_one_running_user(subject: Subject) -> None:
    storage = storage_of(subject)
    subject.prepare()
    volume = subject.volume()
    storage.allocate_volume(volume, subject.mark(volume))
    first, second = node_with(subject, home(subject)), node_with(subject, home(subject), name="hello-compute-0")
    subject.boot(first)
    with pytest.raises(SiteConflictError) as refusal:
        subject.boot(second)
    assert "hello-frontend" in str(refusal.value)
    stop(subject, first)
    subject.boot(second)
    assert {node.address.rpartition("/")[2]: node.status for node in subject.observed().nodes} == {
        "hello-frontend": "off",
        "hello-compute-0": "running",
    }


@needs("volume_storage", "boot_check", "faithful")
@pytest.mark.parametrize("renamed", [False, True], ids=["rebuilt", "renamed-and-rebuilt"])
def test_a_check_reports_no_conflict_with_the_machine_that_is_replaced(subject: Subject, renamed: bool) -> None:
    check = subject.require("boot_check")
    subject.prepare()
    volume = subject.volume()
    storage_of(subject).allocate_volume(volume, subject.mark(volume))
    node = node_with(subject, home(subject))
    subject.boot(node)
    present = subject.boot_request(node).mark
    anew = subject.boot_request(node_with(subject, home(subject), name="world-frontend") if renamed else node, generation=1)
    check.check_boot(replace(anew, seed=b"", user_data=b"", present=present))
    other = replace(subject.boot_request(node_with(subject, home(subject), name="hello-compute-0")), seed=b"", user_data=b"")
    with pytest.raises(SiteConflictError):
        check.check_boot(replace(other, present=other.mark))
    subject.provider.clean(node, present)
    assert volumes_of(subject) == {volume.address: 2 * subject.disk_unit}
