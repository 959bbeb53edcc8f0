"""Machines of others on a cluster's network: found however they name it, and never cut off without a word."""

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
def test_a_foreign_machine_keeps_its_network_and_is_named(pretended, by_hand, interface, runs):
    held = pretended.allocation()
    pretended.allocate(held)
    domain = foreign(by_hand, interface.format(bridge=bridge_of(by_hand, PRIVATE)), runs=runs)
    with pytest.raises(SiteInUseError) as caught:
        pretended.provider.clean(held, pretended.mark(held))
    detail = caught.value.problems[0].detail
    assert f"a network that another machine uses: labvm on {PRIVATE}. Detach it first: virsh" in detail
    assert "virsh -c test:///default detach-interface labvm" in detail
    assert "--mac 52:54:00:00:00:07 --persistent" in detail
    assert by_hand.networkLookupByName(PRIVATE).isActive()
    gone(domain)
    pretended.provider.clean(held, pretended.mark(held))
    assert PRIVATE not in [network.name() for network in by_hand.listAllNetworks()]


def test_a_machine_on_a_network_that_stands_on_the_bridge_counts_too(pretended, by_hand):
    held = pretended.allocation()
    pretended.allocate(held)
    around = by_hand.networkDefineXML(
        f"<network><name>around</name><forward mode='bridge'/><bridge name='{bridge_of(by_hand, PRIVATE)}'/></network>"
    )
    domain = foreign(by_hand, "<interface type='network'><source network='around'/></interface>")
    assert [each.machine for each in pretended.provider.attached_machines(held, None, pretended.mark(held))] == ["labvm"]
    gone(domain)
    around.undefine()


def test_an_extra_network_and_another_number_are_refused_before_anything_is_claimed(pretended, by_hand):
    storage = Network(name="storage", cidr="192.168.70.0/24", vlan=25)
    held = replace(pretended.allocation(), networks=(pretended.allocation().private, storage))
    pretended.allocate(held)
    domain = foreign(by_hand, f"<interface type='network'><source network='{STORAGE}'/></interface>")
    fewer = replace(held, networks=(replace(held.private, vlan=27),))
    with pytest.raises(SiteInUseError, match=f"labvm on {STORAGE}"):
        pretended.allocate(fewer)
    assert sorted(network.name() for network in by_hand.listAllNetworks() if "vlan" in network.name()) == [PRIVATE, STORAGE]
    kept = replace(held, networks=(replace(held.private, vlan=27), storage))
    pretended.allocate(kept)
    assert [each.network for each in pretended.provider.attached_machines(kept, None, pretended.mark(kept))] == [STORAGE]
    gone(domain)


def test_the_cluster_s_own_machines_do_not_count_while_its_number_changes_and_other_clusters_do(pretended, by_hand):
    pretended.prepare()
    node = pretended.node()
    pretended.boot(node)
    moved = replace(pretended.allocation(), networks=(replace(pretended.allocation().private, vlan=27),))
    held = pretended.allocation()
    other = pretended.other()
    other.stage()
    guest = replace(other.node("second-frontend"), cluster="second")
    other.provider.boot(replace(other.boot_request(guest), allocation=held, mark=other.mark(guest)))
    domain = by_hand.lookupByName(f"second-frontend.{other.lineage[:8]}")
    with pytest.raises(SiteInUseError, match=f"second-frontend.{other.lineage[:8]} on {PRIVATE}"):
        pretended.allocate(moved)
    found = pretended.provider.attached_machines(held, moved, pretended.mark(held))
    assert {(each.lineage, each.address) for each in found} == {
        (pretended.lineage, node.address),
        (other.lineage, guest.address),
    }
    gone(domain)
    other.clean_all()
    pretended.allocate(moved)


def test_what_is_still_plugged_in_when_all_is_given_back_goes_with_nothing(pretended, by_hand):
    """A node of the cluster that no record knows, and that is left alone."""
    pretended.prepare()
    pretended.boot(pretended.node())
    held = pretended.allocation()
    with pytest.raises(SiteInUseError, match=f"hello-frontend.{pretended.lineage[:8]} on {PRIVATE}"):
        pretended.provider.clean(held, pretended.mark(held))
