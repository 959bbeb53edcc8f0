"""Claims at a libvirt site beyond the shared contract: bridges, addresses without DHCP, repairs, holders in errors."""

from uuid import uuid4

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.planning.observed import SiteNetwork
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Network, PublicGrant
from pragmaspec.site import PublicNetwork
from tests.providers.libvirt.conftest import host_of


def networks(handle):
    return {network.name(): network for network in handle.listAllNetworks()}


def granted(allocation, address, network="default"):
    grant = PublicGrant(node="hello-frontend", address=address, prefix=24, network=network)
    return replace(allocation, public=(grant,))


def on_bridge(allocation, bridge):
    return replace(allocation, networks=(replace(allocation.private, bridge=bridge),))


def test_a_private_network_is_isolated_with_autostart(fake_stack, virsh):
    fake_stack.allocate(fake_stack.allocation())
    network = networks(virsh)["pragmaspec-vlan-20"]
    assert network.isActive()
    assert network.autostart()
    assert "<ip" not in network.XMLDesc()
    assert "<forward" not in network.XMLDesc()


def test_a_vlan_on_a_host_bridge_is_still_claimed(fake_stack, virsh):
    fake_stack.allocate(on_bridge(fake_stack.allocation(), "eth1"))  # The only interface of the test driver.
    assert "<forward mode='bridge'/>" in networks(virsh)["pragmaspec-vlan-20"].XMLDesc()
    other = fake_stack.other()
    with pytest.raises(SiteConflictError):
        other.allocate(on_bridge(other.allocation("second"), "eth1"))


def test_a_missing_bridge_is_named(fake_stack, virsh):
    with pytest.raises(SiteError) as caught:
        fake_stack.allocate(on_bridge(fake_stack.allocation(), "br20"))
    assert "bridge br20" in str(caught.value)
    assert "pragmaspec-vlan-20" not in networks(virsh)


@pytest.mark.hypervisor
def test_a_bridge_missing_on_a_real_host_is_named(real_stack):
    with pytest.raises(SiteError, match="br-nowhere"):
        real_stack.allocate(on_bridge(real_stack.allocation(), "br-nowhere"))


def test_a_bridge_without_a_vlan_needs_no_claim(fake_stack, virsh):
    before = set(networks(virsh))
    wanted = fake_stack.allocation()
    extra = Network(name="storage", cidr="10.9.0.0/16", bridge="eth1")
    outputs = fake_stack.provider.allocate(replace(wanted, networks=(*wanted.networks, extra)), fake_stack.mark(wanted))
    assert set(networks(virsh)) - before == {"pragmaspec-vlan-20"}
    assert dict(outputs)["bridge:storage"] == "eth1"
    assert dict(outputs)["network:private"] == "pragmaspec-vlan-20"


def test_a_network_without_a_vlan_has_the_clusters_name(fake_stack, virsh):
    plain = replace(fake_stack.allocation(), networks=(Network(name="private", cidr="10.9.0.0/16"),))
    fake_stack.allocate(plain)
    assert f"hello.{fake_stack.lineage[:8]}" in networks(virsh)
    assert fake_stack.observed().allocations[0].networks == ("private",)


def test_a_foreign_network_is_named_as_the_holder(fake_stack, virsh):
    theirs = virsh.networkDefineXML("<network><name>pragmaspec-vlan-20</name><bridge name='virbr7'/></network>")
    with pytest.raises(SiteConflictError) as caught:
        fake_stack.allocate(fake_stack.allocation())
    assert "VLAN 20 at site pretended is held by the libvirt network pragmaspec-vlan-20" in str(caught.value)
    theirs.undefine()


def test_the_holder_of_an_address_is_named(fake_stack):
    fake_stack.allocate(granted(fake_stack.allocation(), "192.168.122.40"))
    other = fake_stack.other()
    with pytest.raises(SiteConflictError) as caught:
        other.allocate(granted(other.allocation("second", offset=1), "192.168.122.40"))
    assert f"192.168.122.40 at site pretended is held by hello-frontend of stack {fake_stack.lineage[:8]}" in str(caught.value)


def test_a_foreign_static_entry_is_named_as_the_holder(fake_stack, virsh):
    default = virsh.networkLookupByName("default")
    change = (libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, "<host mac='52:54:00:00:00:01' name='printer' ip='192.168.122.41'/>")
    default.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, *change, libvirt.VIR_NETWORK_UPDATE_AFFECT_CURRENT)
    with pytest.raises(SiteConflictError, match="held by printer"):
        fake_stack.allocate(granted(fake_stack.allocation(), "192.168.122.41"))
    default.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, *change, libvirt.VIR_NETWORK_UPDATE_AFFECT_CURRENT)


def test_a_new_address_releases_the_old_one(fake_stack):
    wanted = fake_stack.allocation()
    for address in ("192.168.122.42", "192.168.122.43"):
        fake_stack.allocate(granted(wanted, address))
        assert fake_stack.observed().allocations[0].public == (address,)


def test_a_refused_address_change_keeps_the_old_address(fake_stack):
    other = fake_stack.other()
    other.allocate(granted(other.allocation("second", offset=1), "192.168.122.45"))
    wanted = fake_stack.allocation()
    fake_stack.allocate(granted(wanted, "192.168.122.44"))
    with pytest.raises(SiteConflictError):
        fake_stack.allocate(granted(wanted, "192.168.122.45"))
    assert fake_stack.observed().allocations[0].public == ("192.168.122.44",)
    other.clean_all()


def test_without_dhcp_an_inactive_network_claims_the_address(fake_stack, virsh):
    virsh.networkDefineXML("<network><name>campus</name><forward mode='bridge'/><bridge name='eth1'/></network>")
    fake_stack.allocate(granted(fake_stack.allocation(), "192.0.2.7", network="campus"))
    claim = networks(virsh)["pragmaspec-address-192.0.2.7"]
    assert not claim.isActive()
    assert fake_stack.observed().allocations[0].public == ("192.0.2.7",)
    assert fake_stack.observed().allocations[0].networks == ("private",)
    other = fake_stack.other()
    with pytest.raises(SiteConflictError) as caught:
        other.allocate(granted(other.allocation("second", offset=1), "192.0.2.7", network="campus"))
    assert f"held by pretended/hello/allocation of stack {fake_stack.lineage[:8]}" in str(caught.value)
    fake_stack.allocate(fake_stack.allocation())
    assert "pragmaspec-address-192.0.2.7" not in networks(virsh)
    campus = virsh.networkLookupByName("campus")
    campus.destroy()
    campus.undefine()


def test_a_missing_public_network_is_named(fake_stack, virsh):
    with pytest.raises(SiteError) as caught:
        fake_stack.allocate(granted(fake_stack.allocation(), "192.0.2.7", network="campus"))
    assert "no libvirt network campus" in str(caught.value)
    assert "pragmaspec-vlan-20" not in networks(virsh), "the earlier claim is undone"


def test_allocate_restarts_a_stopped_network(fake_stack, virsh):
    fake_stack.allocate(fake_stack.allocation())
    networks(virsh)["pragmaspec-vlan-20"].destroy()
    assert fake_stack.observed().allocations[0].networks == ()
    fake_stack.allocate(fake_stack.allocation())
    assert fake_stack.observed().allocations[0].networks == ("private",)


@pytest.mark.hypervisor
def test_an_mtu_change_keeps_the_network(real_stack, real_virsh):
    wanted = real_stack.allocation()
    real_stack.allocate(wanted)
    name = f"pragmaspec-vlan-{real_stack.vlan}"
    uuid = networks(real_virsh)[name].UUIDString()
    real_stack.allocate(replace(wanted, networks=(replace(wanted.private, mtu=9000),)))
    network = networks(real_virsh)[name]
    assert "<mtu size='9000'/>" in network.XMLDesc()
    assert (network.UUIDString(), network.isActive()) == (uuid, 1)


def test_a_vlan_change_replaces_the_network(fake_stack, virsh):
    fake_stack.allocate(fake_stack.allocation())
    fake_stack.allocate(fake_stack.allocation(offset=1))
    assert {name for name in networks(virsh) if name.startswith("pragmaspec-vlan")} == {"pragmaspec-vlan-21"}


@pytest.mark.hypervisor
def test_a_real_address_is_claimed_by_one_cluster(real_stack):
    real_stack.allocate(real_stack.allocation(public=True))
    other = real_stack.other()
    with pytest.raises(SiteConflictError) as caught:
        other.allocate(other.allocation("second", offset=1, public=True))
    assert f"hello-frontend of stack {real_stack.lineage[:8]}" in str(caught.value)
    assert other.observed().allocations == ()


def test_lineages_with_equal_first_digits_keep_their_networks(fake_stack):
    fake_stack.allocate(fake_stack.allocation())
    twin = fake_stack.other()
    twin.lineage = fake_stack.lineage[:8] + str(uuid4())[8:]
    with pytest.raises(SiteConflictError):
        twin.allocate(twin.allocation())
    twin.provider.clean(twin.allocation(), twin.mark(twin.allocation()))
    assert fake_stack.observed().allocations[0].networks == ("private",)


def test_another_provider_of_the_site_sees_the_claims(fake_stack):
    fake_stack.allocate(fake_stack.allocation())
    second = LibvirtProvider(host_of(fake_stack).site)
    assert [taken.value for taken in second.inventory().vlans] == ["20"]
    second.close()


def test_a_stopped_public_network_is_observed_and_started(fake_stack, virsh):
    network = virsh.networkLookupByName("default")
    network.destroy()
    assert [each.state for each in fake_stack.observed().site_networks if each.name == "default"] == ["stopped"]
    fake_stack.allocate(granted(fake_stack.allocation(), fake_stack.public))
    assert network.isActive()
    assert [each.state for each in fake_stack.observed().site_networks if each.name == "default"] == ["up"]


@pytest.mark.hypervisor
def test_a_public_network_that_cannot_start_is_an_error_with_the_command(real_stack, real_virsh):
    ours = real_virsh.networkLookupByName(real_stack.site.public.network)
    taken = ours.XMLDesc().split("<ip ")[1].split("</ip>")[0]
    twin = real_virsh.networkDefineXML(
        f"<network><name>{ours.name()}-twin</name><bridge name='ps-twin'/><ip {taken}</ip></network>"
    )
    try:
        with pytest.raises(SiteError, match=rf"range is also that of another host interface.*net-start {twin.name()}"):
            real_stack.allocate(granted(real_stack.allocation(), real_stack.public, twin.name()))
    finally:
        twin.undefine()


@pytest.mark.hypervisor
def test_mtus_of_public_networks_and_bridges_are_observed(real_stack, real_virsh):
    assert real_stack.provider.inventory().public.mtu == 1500
    ours = real_virsh.networkLookupByName(real_stack.site.public.network)
    name = ours.bridgeName()
    bridged = LibvirtProvider(replace(real_stack.site, public=PublicNetwork(bridge=name, addresses=("192.0.2.10",), prefix=24)))
    assert bridged.observe(real_stack.lineage).public_bridge == SiteNetwork(name=name)
    assert bridged.inventory().public.mtu == 1500
    bridged.close()
    narrow = real_virsh.networkDefineXML("<network><name>ps-narrow</name><bridge name='ps-narrow'/><mtu size='1400'/></network>")
    narrow.create()
    on_top = real_virsh.networkDefineXML(
        "<network><name>ps-on-top</name><forward mode='bridge'/><bridge name='ps-narrow'/></network>"
    )
    try:
        observed = {each.name: (each.state, each.mtu) for each in real_stack.observed().site_networks}
        assert (observed["ps-narrow"], observed["ps-on-top"]) == (("up", 1400), ("stopped", 1400))
        for bridge, state in (("lo", "other"), ("ps-nowhere", "absent")):
            there = LibvirtProvider(
                replace(real_stack.site, public=PublicNetwork(bridge=bridge, addresses=("192.0.2.10",), prefix=24))
            )
            assert there.observe(real_stack.lineage).public_bridge.state == state
            there.close()
    finally:
        on_top.undefine()
        narrow.destroy()
        narrow.undefine()
