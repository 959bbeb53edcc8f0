"""What a libvirt site says it has, and who it says holds what."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.observed import PublicPool
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import PublicGrant
from pragmaspec.site import LibvirtSite, PublicNetwork
from tests.providers.libvirt.conftest import host_of


def inventory_of(public=None):
    provider = LibvirtProvider(LibvirtSite(name="lab", uri="test:///default", public=public))
    found = provider.inventory()
    provider.close()
    return found


def test_other_peoples_machines_hold_capacity_too():
    (held,) = [held for held in inventory_of().holdings if held.owner == "test"]
    assert (held.cpus, held.memory_mib, held.lineage, held.address) == (2, 8192, None, None)


def test_other_peoples_volumes_hold_what_they_may_grow_to(pretended, by_hand):
    pool = by_hand.storagePoolLookupByName("default-pool")
    volume = pool.createXML("<volume><name>backup.raw</name><capacity>4096</capacity></volume>")
    (held,) = [held for held in pretended.provider.inventory().holdings if "backup.raw" in held.owner]
    assert (held.disk_bytes, held.cpus, held.lineage) == (4096, 0, None)
    volume.delete()


def test_the_public_network_is_libvirts_default_one():
    assert inventory_of().public == PublicPool(
        network="default", cidr="192.168.122.0/24", gateway="192.168.122.1", dns=("192.168.122.1",)
    )


@pytest.mark.parametrize(
    ("public", "pool"),
    [
        (PublicNetwork(bridge="br0"), PublicPool(bridge="br0")),
        (PublicNetwork(network="campus"), PublicPool(network="campus")),
        (PublicNetwork(addresses=("192.168.122.9",)), inventory_of().public),
    ],
)
def test_the_public_network_is_what_the_site_names(public, pool):
    assert inventory_of(public).public == pool


@pytest.mark.parametrize(
    ("xml", "pool"),
    [
        ("<forward mode='bridge'/><bridge name='eth1'/>", PublicPool(network="campus")),
        (
            "<bridge name='virbr8'/><ip address='192.0.2.1' prefix='25'/>",
            PublicPool(network="campus", cidr="192.0.2.0/25", dns=("192.0.2.1",)),
        ),
        (
            "<forward mode='route'/><bridge name='virbr8'/><dns enable='no'/><ip address='192.0.2.1' netmask='255.255.255.0'/>",
            PublicPool(network="campus", cidr="192.0.2.0/24", gateway="192.0.2.1"),
        ),
        (
            "<forward mode='nat'/><bridge name='virbr8'/><ip family='ipv6' address='2001:db8::1' prefix='64'/>",
            PublicPool(network="campus"),
        ),
    ],
)
def test_a_named_network_is_described_as_libvirt_has_it(by_hand, xml, pool):
    network = by_hand.networkDefineXML(f"<network><name>campus</name>{xml}</network>")
    assert inventory_of(PublicNetwork(network="campus")).public == pool
    network.undefine()


def test_a_site_without_any_public_network_says_so(by_hand):
    default = by_hand.networkLookupByName("default")
    document = default.XMLDesc()
    default.destroy()
    default.undefine()
    assert inventory_of().public is None
    by_hand.networkDefineXML(document).create()


def test_the_host_s_own_addresses_and_ranges_are_taken():
    found = inventory_of()
    assert ("192.168.122.1", "the host itself, on network default") in {(taken.value, taken.owner) for taken in found.addresses}
    assert [taken.value for taken in found.cidrs] == ["192.168.122.0/24"]


def test_a_claim_carries_the_whole_lineage_when_anything_of_it_is_at_the_site(pretended):
    wanted = pretended.allocation(public=True)
    pretended.allocate(wanted)
    (taken,) = [taken for taken in pretended.provider.inventory().addresses if taken.value == pretended.public]
    assert (taken.lineage, taken.address) == (pretended.lineage, wanted.address)
    assert taken.owner == f"hello-frontend of stack {pretended.lineage[:8]}"


def test_a_network_without_marks_in_a_claims_name_holds_it(pretended, by_hand):
    network = by_hand.networkDefineXML("<network><name>pragmaspec-vlan-33</name><bridge name='virbr7'/></network>")
    (taken,) = pretended.provider.inventory().vlans
    assert (taken.value, taken.owner, taken.lineage) == ("33", "libvirt network pragmaspec-vlan-33", None)
    network.undefine()


def test_an_address_claimed_without_dhcp_is_taken(pretended, by_hand):
    campus = by_hand.networkDefineXML("<network><name>campus</name><forward mode='bridge'/><bridge name='eth1'/></network>")
    grant = PublicGrant(node="hello-frontend", address="192.0.2.7", prefix=24, network="campus")
    wanted = replace(pretended.allocation(), public=(grant,))
    pretended.allocate(wanted)
    (taken,) = [taken for taken in pretended.provider.inventory().addresses if taken.value == "192.0.2.7"]
    assert (taken.lineage, taken.address) == (pretended.lineage, wanted.address)
    campus.destroy()
    campus.undefine()


@pytest.mark.hypervisor
def test_memory_is_all_that_the_host_has(lab):
    total = host_of(lab).handle().getMemoryStats(-1)["total"] // 1024
    assert lab.provider.inventory().memory_mib == total


@pytest.mark.hypervisor
def test_the_default_network_of_a_real_host_is_its_public_one(hypervisor):
    provider = LibvirtProvider(LibvirtSite(name="lab", virt_type="qemu"))
    public = provider.inventory().public
    assert public is not None
    assert (public.network, public.dns) == ("default", (public.gateway,))
    assert provider.identity().title == "libvirt, qemu:///system, emulated"
    provider.close()
