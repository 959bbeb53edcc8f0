"""The inventory of a libvirt site: capacity, and its use by any owner."""

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


def test_foreign_machines_use_capacity():
    (held,) = [held for held in inventory_of().holdings if held.owner == "test"]
    assert (held.cpus, held.memory_mib, held.lineage, held.address) == (2, 8192, None, None)


def test_foreign_volumes_use_their_capacity(fake_stack, virsh):
    pool = virsh.storagePoolLookupByName("default-pool")
    volume = pool.createXML("<volume><name>backup.raw</name><capacity>4096</capacity></volume>")
    (held,) = [held for held in fake_stack.provider.inventory().holdings if "backup.raw" in held.owner]
    assert (held.disk_bytes, held.cpus, held.lineage) == (4096, 0, None)
    volume.delete()


def test_the_public_network_defaults_to_libvirts():
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
def test_the_public_network_is_that_of_the_sites_options(public, pool):
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
def test_a_public_network_is_described_by_its_definition(virsh, xml, pool):
    network = virsh.networkDefineXML(f"<network><name>campus</name>{xml}</network>")
    assert inventory_of(PublicNetwork(network="campus")).public == pool
    network.undefine()


def test_a_site_may_have_no_public_network(virsh):
    default = virsh.networkLookupByName("default")
    document = default.XMLDesc()
    default.destroy()
    default.undefine()
    assert inventory_of().public is None
    virsh.networkDefineXML(document).create()


def test_addresses_and_ranges_of_the_host_are_in_use():
    found = inventory_of()
    assert ("192.168.122.1", "the host itself, on network default") in {(taken.value, taken.owner) for taken in found.addresses}
    assert [taken.value for taken in found.cidrs] == ["192.168.122.0/24"]


def test_a_claim_has_the_full_lineage_if_the_site_has_an_object_of_it(fake_stack):
    wanted = fake_stack.allocation(public=True)
    fake_stack.allocate(wanted)
    (taken,) = [taken for taken in fake_stack.provider.inventory().addresses if taken.value == fake_stack.public]
    assert (taken.lineage, taken.address) == (fake_stack.lineage, wanted.address)
    assert taken.owner == f"hello-frontend of stack {fake_stack.lineage[:8]}"


def test_an_unmarked_network_with_a_claims_name_holds_the_vlan(fake_stack, virsh):
    network = virsh.networkDefineXML("<network><name>pragmaspec-vlan-33</name><bridge name='virbr7'/></network>")
    (taken,) = fake_stack.provider.inventory().vlans
    assert (taken.value, taken.owner, taken.lineage) == ("33", "libvirt network pragmaspec-vlan-33", None)
    network.undefine()


def test_an_address_claimed_without_dhcp_is_in_use(fake_stack, virsh):
    campus = virsh.networkDefineXML("<network><name>campus</name><forward mode='bridge'/><bridge name='eth1'/></network>")
    grant = PublicGrant(node="hello-frontend", address="192.0.2.7", prefix=24, network="campus")
    wanted = replace(fake_stack.allocation(), public=(grant,))
    fake_stack.allocate(wanted)
    (taken,) = [taken for taken in fake_stack.provider.inventory().addresses if taken.value == "192.0.2.7"]
    assert (taken.lineage, taken.address) == (fake_stack.lineage, wanted.address)
    campus.destroy()
    campus.undefine()


@pytest.mark.hypervisor
def test_memory_is_that_of_the_whole_host(real_stack):
    total = host_of(real_stack).handle().getMemoryStats(-1)["total"] // 1024
    assert real_stack.provider.inventory().memory_mib == total


@pytest.mark.hypervisor
def test_the_default_network_of_a_real_host_is_public(hypervisor):
    provider = LibvirtProvider(LibvirtSite(name="lab", virt_type="qemu"))
    public = provider.inventory().public
    assert public is not None
    assert (public.network, public.dns) == ("default", (public.gateway,))
    assert provider.identity().title == "libvirt, qemu:///system, emulated"
    provider.close()
