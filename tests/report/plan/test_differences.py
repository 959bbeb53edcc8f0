from msgspec.structs import replace

from pragmaspec.report.plan.differences import differences, network_text
from pragmaspec.resources import Allocation, Disk, Network, Nic, Node, NodeDevice, PublicGrant, Readiness, Volume
from tests.report.samples import ALLOCATION, IMAGE, node

FRONTEND = node()
STORAGE = Network(name="storage", cidr="10.9.0.0/24", vlan=30)


def _node(**changes: object) -> tuple[str, ...]:
    return differences(
        FRONTEND, replace(FRONTEND, **changes), {IMAGE.digest: "debian-12", "cd" * 32: "debian-13", "ee" * 32: "debian-12"}
    )


def _allocation(after: Allocation, before: Allocation = ALLOCATION) -> tuple[str, ...]:
    return differences(before, after, {})


def test_nothing_differs() -> None:
    assert _node() == ()
    assert _allocation(ALLOCATION) == ()
    assert differences(IMAGE, IMAGE, {}) == ()
    assert differences(IMAGE, ALLOCATION, {}) == ()


def test_sizes() -> None:
    assert _node(cpus=2, memory_mib=2048, disk_bytes=8 * 2**30) == ("cpus 1 → 2", "memory 1 GiB → 2 GiB", "disk 4 GiB → 8 GiB")


def test_images() -> None:
    assert _node(image="cd" * 32) == ("image debian-12 → debian-13",)
    assert _node(image="ee" * 32) == ("image debian-12 abababab → eeeeeeee",), "one name, other bytes"
    assert _node(image="00" * 32) == ("image debian-12 → 00000000",)
    lost = replace(FRONTEND, image="")
    assert differences(lost, FRONTEND, {}) == (), "the disk is gone; the reason says so"
    assert differences(IMAGE, replace(IMAGE, name="other"), {}) == ("name debian-12 → other",)


def test_power_protection_and_readiness() -> None:
    assert _node(running=False) == ("running → off",)
    assert differences(replace(FRONTEND, running=False), FRONTEND, {}) == ("off → running",)
    assert _node(protect=True) == ("protected from now on",)
    assert differences(replace(FRONTEND, protect=True), FRONTEND, {}) == ("no longer protected",)
    assert _node(readiness=Readiness(when="ssh", timeout_s=60)) == ("readiness cloud-init within 10 min → ssh within 1 min",)


def test_guest_settings() -> None:
    assert _node(first_boot="1", keys="2", peers="3") == ("packages or user-data", "ssh keys", "cluster members")
    assert _node(cloud_init=False) == ("guest cloud-init → files",)
    assert differences(replace(FRONTEND, cloud_init=False), FRONTEND, {}) == ("guest files → cloud-init",)


def test_firmware() -> None:
    assert _node(firmware="uefi") == ("firmware bios → uefi",)


def test_devices() -> None:
    gpu, other, given = (NodeDevice(alias="gpu", address=address) for address in ("0000:41:00.0", "0000:42:00.0", ""))
    assert _node(devices=(gpu, other)) == ("devices none → gpu 0000:41:00.0 0000:42:00.0",)
    assert differences(replace(FRONTEND, devices=(gpu,)), FRONTEND, {}) == ("devices gpu 0000:41:00.0 → none",)
    assert _node(devices=(gpu, given, replace(given, alias="nic"))) == ("devices none → gpu 0000:41:00.0, 1 gpu, 1 nic",)


def test_pinned_cpus() -> None:
    assert _node(pinned=(2, 3, 4, 8)) == ("pinned to none → 2-4,8",)
    assert differences(replace(FRONTEND, pinned=(2,)), FRONTEND, {}) == ("pinned to 2 → none",)


def test_disks() -> None:
    scratch = Disk(name="scratch", size_bytes=100 * 2**30, mount="/scratch")
    before = replace(FRONTEND, disks=(scratch,))
    assert differences(FRONTEND, before, {}) == ("adds disk scratch 100 GiB at /scratch",)
    assert differences(before, FRONTEND, {}) == ("drops disk scratch 100 GiB at /scratch",)
    grown = replace(before, disks=(replace(scratch, size_bytes=200 * 2**30, mount="/tmp/scratch"),))
    assert differences(before, grown, {}) == ("disk scratch 100 GiB → 200 GiB, /scratch → /tmp/scratch",)
    raw = replace(before, disks=(replace(scratch, format="none", mount=""),))
    assert differences(before, raw, {}) == ("disk scratch /scratch → not mounted, ext4 → none",)
    assert differences(raw, before, {}) == ("disk scratch not mounted → /scratch, none → ext4",)
    kept = replace(before, disks=(replace(scratch, volume="data", mount=""),))
    assert differences(before, kept, {}) == ("drops disk scratch 100 GiB at /scratch, adds volume data 100 GiB",)


def test_volumes() -> None:
    volume = Volume(site="lab", name="data", size_bytes=2**30)
    assert differences(volume, volume, {}) == ()
    after = replace(volume, size_bytes=2**31, cluster="hello", format="xfs")
    assert differences(volume, after, {}) == ("1 GiB → 2 GiB", "for cluster hello", "format xfs")
    other = replace(after, cluster="next", format="none")
    assert differences(after, other, {}) == ("cluster hello → next", "format xfs → none")


def test_interfaces() -> None:
    private, public = FRONTEND.nics
    storage = Nic(network="storage", mac="52:00:00:00:00:09", address="10.9.0.1", prefix=24)
    assert _node(nics=(private, storage)) == ("joins storage 10.9.0.1", "leaves public")
    moved = replace(private, address="10.23.0.1", mac="52:00:00:00:00:99", mtu=9000, gateway="10.23.0.254")
    assert _node(nics=(moved, public)) == (
        "private 10.22.0.1 → 10.23.0.1",
        "private mtu 1500 → 9000",
        "private gateway, DNS or prefix",
        "new MACs",
    )


def test_networks() -> None:
    wider = replace(ALLOCATION, networks=(*ALLOCATION.networks, STORAGE))
    assert _allocation(wider) == ("adds storage vlan 30 10.9.0.0/24",)
    assert _allocation(ALLOCATION, wider) == ("drops storage vlan 30 10.9.0.0/24",)
    changed = replace(ALLOCATION, networks=(Network(name="private", cidr="10.23.0.0/24", bridge="br7", mtu=9000),))
    assert _allocation(changed) == ("vlan 22 → none, 10.22.0.0/24 → 10.23.0.0/24, bridge none → br7, mtu 1500 → 9000",)
    assert _allocation(replace(ALLOCATION, networks=(Network(name="private", cidr="10.5.0.0/24", vlan=22),))) == (
        "10.22.0.0/24 → 10.5.0.0/24",
    )
    renumbered = replace(wider, networks=(wider.networks[0], replace(STORAGE, vlan=31)))
    assert _allocation(renumbered, wider) == ("storage vlan 30 → 31",)


def test_network_text() -> None:
    assert network_text(ALLOCATION.private) == "vlan 22 · 10.22.0.0/24"
    assert network_text(Network(name="private", cidr="10.0.0.0/24")) == "10.0.0.0/24"
    assert network_text(Network(name="storage", cidr="10.0.0.0/24", bridge="br7")) == "storage bridge br7 10.0.0.0/24"


def test_public_addresses() -> None:
    (grant,) = ALLOCATION.public
    assert _allocation(replace(ALLOCATION, public=())) == ("drops 192.168.122.10",)
    assert _allocation(ALLOCATION, replace(ALLOCATION, public=())) == ("adds 192.168.122.10",)
    assert _allocation(replace(ALLOCATION, public=(replace(grant, address="192.0.2.9"),))) == ("192.168.122.10 → 192.0.2.9",)
    named = PublicGrant(node=grant.node, address=grant.address, prefix=24, fqdn="vc.example.org")
    assert _allocation(replace(ALLOCATION, public=(named,))) == ("192.168.122.10: name, gateway or network",)
    narrower = replace(grant, mtu=1400)
    assert _allocation(replace(ALLOCATION, public=(narrower,))) == ("192.168.122.10 mtu 1500 → 1400",)


def test_autostart_is_shown_unless_the_power_changes() -> None:
    starting, off = replace(FRONTEND, autostart=True), replace(FRONTEND, running=False)
    assert differences(FRONTEND, starting, {}) == ("starts with its host",)
    assert differences(starting, FRONTEND, {}) == ("no longer starts with its host",)
    assert differences(starting, off, {}) == ("running → off",)


def test_the_machine_file() -> None:
    left_out = replace(FRONTEND, machinefile=False)
    assert differences(FRONTEND, left_out, {}) == ("leaves the machine file",)
    assert differences(left_out, FRONTEND, {}) == ("joins the machine file",)


def test_users() -> None:
    ada, other = replace(FRONTEND, users=(("ada", "1"), ("bob", "1"))), replace(FRONTEND, users=(("ada", "2"), ("eve", "1")))
    assert differences(ada, other, {}) == ("adds user eve", "changes user ada", "removes user bob")
    assert differences(ada, ada, {}) == ()


def test_every_changeable_field_of_a_node_is_covered() -> None:
    """A new field of Node must be described by differences(), or be part of the address."""
    covered = {
        "cpus",
        "memory_mib",
        "disk_bytes",
        "image",
        "nics",
        "running",
        "protect",
        "readiness",
        "first_boot",
        "keys",
        "peers",
    }
    covered |= {
        "cloud_init",
        "firmware",
        "autostart",
        "machinefile",
        "flavor",
        "requested",
        "disks",
        "users",
        "cpu",
        "devices",
        "pinned",
    }
    assert covered | {"site", "cluster", "name", "role", "group", "index"} == set(Node.__struct_fields__)
