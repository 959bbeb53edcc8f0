"""Foreign machines on a cluster's network: found by any kind of attachment, and never disconnected silently."""

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteInUseError
from pragmaspec.resources import Network

PRIVATE = "pragmaspec-vlan-20"
STORAGE = "pragmaspec-vlan-25"


def foreign(handle: libvirt.virConnect, interface: str, *, runs: bool = False) -> libvirt.virDomain:
    domain = handle.defineXML(
        "<domain type='test'><name>labvm</name><memory>65536</memory><os><type>hvm</type></os>"
        f"<devices>{interface}</devices></domain>"
    )
    if runs:
        domain.create()
    return domain


def gone(domain: libvirt.virDomain) -> None:
    if domain.isActive():
        domain.destroy()
    domain.undefine()


def bridge_of(handle: libvirt.virConnect, network: str) -> str:
    return handle.networkLookupByName(network).bridgeName()


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize(
    "interface",
    [
        "<interface type='network'><mac address='52:54:00:00:00:07'/><source network='pragmaspec-vlan-20'/></interface>",
        "<interface type='bridge'><mac address='52:54:00:00:00:07'/><source bridge='{bridge}'/></interface>",
        "<interface type='direct'><mac address='52:54:00:00:00:07'/><source dev='{bridge}' mode='bridge'/></interface>",
    ],
)
def test_a_network_with_a_foreign_machine_is_not_removed(fake_stack, virsh, interface, runs):
    held = fake_stack.allocation()
    fake_stack.allocate(held)
    domain = foreign(virsh, interface.format(bridge=bridge_of(virsh, PRIVATE)), runs=runs)
    with pytest.raises(SiteInUseError) as caught:
        fake_stack.provider.clean(held, fake_stack.mark(held))
    detail = caught.value.problems[0].detail
    assert f"a network that another machine uses: labvm on {PRIVATE}. Detach it first: virsh" in detail
    assert "virsh -c test:///default detach-interface labvm" in detail
    assert "--mac 52:54:00:00:00:07 --persistent" in detail
    assert virsh.networkLookupByName(PRIVATE).isActive()
    gone(domain)
    fake_stack.provider.clean(held, fake_stack.mark(held))
    assert PRIVATE not in [network.name() for network in virsh.listAllNetworks()]


def test_a_machine_on_another_network_of_the_bridge_counts(fake_stack, virsh):
    held = fake_stack.allocation()
    fake_stack.allocate(held)
    around = virsh.networkDefineXML(
        f"<network><name>around</name><forward mode='bridge'/><bridge name='{bridge_of(virsh, PRIVATE)}'/></network>"
    )
    domain = foreign(virsh, "<interface type='network'><source network='around'/></interface>")
    assert [each.machine for each in fake_stack.provider.attached_machines(held, None, fake_stack.mark(held))] == ["labvm"]
    gone(domain)
    around.undefine()


def test_allocate_refuses_to_drop_a_used_network_before_any_claim(fake_stack, virsh):
    storage = Network(name="storage", cidr="192.168.70.0/24", vlan=25)
    held = replace(fake_stack.allocation(), networks=(fake_stack.allocation().private, storage))
    fake_stack.allocate(held)
    domain = foreign(virsh, f"<interface type='network'><source network='{STORAGE}'/></interface>")
    fewer = replace(held, networks=(replace(held.private, vlan=27),))
    with pytest.raises(SiteInUseError, match=f"labvm on {STORAGE}"):
        fake_stack.allocate(fewer)
    assert sorted(network.name() for network in virsh.listAllNetworks() if "vlan" in network.name()) == [PRIVATE, STORAGE]
    kept = replace(held, networks=(replace(held.private, vlan=27), storage))
    fake_stack.allocate(kept)
    assert [each.network for each in fake_stack.provider.attached_machines(kept, None, fake_stack.mark(kept))] == [STORAGE]
    gone(domain)


def test_own_machines_do_not_block_a_vlan_change_but_other_clusters_do(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    moved = replace(fake_stack.allocation(), networks=(replace(fake_stack.allocation().private, vlan=27),))
    held = fake_stack.allocation()
    other = fake_stack.other()
    other.stage()
    guest = replace(other.node("second-frontend"), cluster="second")
    other.provider.boot(replace(other.boot_request(guest), allocation=held, mark=other.mark(guest)))
    domain = virsh.lookupByName(f"second-frontend.{other.lineage[:8]}")
    with pytest.raises(SiteInUseError, match=f"second-frontend.{other.lineage[:8]} on {PRIVATE}"):
        fake_stack.allocate(moved)
    found = fake_stack.provider.attached_machines(held, moved, fake_stack.mark(held))
    assert {(each.lineage, each.address) for each in found} == {
        (fake_stack.lineage, node.address),
        (other.lineage, guest.address),
    }
    gone(domain)
    other.clean_all()
    fake_stack.allocate(moved)


def test_an_unrecorded_node_blocks_the_release_of_its_allocation(fake_stack, virsh):
    """The node of the cluster is not recorded, and not removed."""
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    held = fake_stack.allocation()
    with pytest.raises(SiteInUseError, match=f"hello-frontend.{fake_stack.lineage[:8]} on {PRIVATE}"):
        fake_stack.provider.clean(held, fake_stack.mark(held))
