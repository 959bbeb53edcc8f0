"""Claims at a libvirt site beyond the shared contract: bridges, addresses without DHCP, repairs, who is named as the holder."""

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


def test_a_private_network_is_isolated_and_starts_with_the_host(pretended, by_hand):
    pretended.allocate(pretended.allocation())
    network = networks(by_hand)["pragmaspec-vlan-20"]
    assert network.isActive()
    assert network.autostart()
    assert "<ip" not in network.XMLDesc()
    assert "<forward" not in network.XMLDesc()


def test_a_number_on_an_existing_bridge_is_still_a_claim(pretended, by_hand):
    pretended.allocate(on_bridge(pretended.allocation(), "eth1"))  # The one interface that the test driver has.
    assert "<forward mode='bridge'/>" in networks(by_hand)["pragmaspec-vlan-20"].XMLDesc()
    other = pretended.other()
    with pytest.raises(SiteConflictError):
        other.allocate(on_bridge(other.allocation("second"), "eth1"))


def test_a_bridge_that_the_host_does_not_have_is_named(pretended, by_hand):
    with pytest.raises(SiteError) as caught:
        pretended.allocate(on_bridge(pretended.allocation(), "br20"))
    assert "bridge br20" in str(caught.value)
    assert "pragmaspec-vlan-20" not in networks(by_hand)


@pytest.mark.hypervisor
def test_a_bridge_that_a_real_host_does_not_have_is_named(lab):
    with pytest.raises(SiteError, match="br-nowhere"):
        lab.allocate(on_bridge(lab.allocation(), "br-nowhere"))


def test_an_existing_bridge_without_a_number_needs_no_claim(pretended, by_hand):
    before = set(networks(by_hand))
    wanted = pretended.allocation()
    extra = Network(name="storage", cidr="10.9.0.0/16", bridge="eth1")
    outputs = pretended.provider.allocate(replace(wanted, networks=(*wanted.networks, extra)), pretended.mark(wanted))
    assert set(networks(by_hand)) - before == {"pragmaspec-vlan-20"}
    assert dict(outputs)["bridge:storage"] == "eth1"
    assert dict(outputs)["network:private"] == "pragmaspec-vlan-20"


def test_a_network_without_a_number_carries_the_cluster_s_name(pretended, by_hand):
    plain = replace(pretended.allocation(), networks=(Network(name="private", cidr="10.9.0.0/16"),))
    pretended.allocate(plain)
    assert f"hello.{pretended.lineage[:8]}" in networks(by_hand)
    assert pretended.observed().allocations[0].networks == ("private",)


def test_a_network_of_somebody_without_marks_is_named_as_the_holder(pretended, by_hand):
    theirs = by_hand.networkDefineXML("<network><name>pragmaspec-vlan-20</name><bridge name='virbr7'/></network>")
    with pytest.raises(SiteConflictError) as caught:
        pretended.allocate(pretended.allocation())
    assert "VLAN 20 at site pretended is held by the libvirt network pragmaspec-vlan-20" in str(caught.value)
    theirs.undefine()


def test_the_holder_of_an_address_is_named(pretended):
    pretended.allocate(granted(pretended.allocation(), "192.168.122.40"))
    other = pretended.other()
    with pytest.raises(SiteConflictError) as caught:
        other.allocate(granted(other.allocation("second", offset=1), "192.168.122.40"))
    assert f"192.168.122.40 at site pretended is held by hello-frontend of stack {pretended.lineage[:8]}" in str(caught.value)


def test_a_static_entry_of_somebody_else_is_the_holder(pretended, by_hand):
    default = by_hand.networkLookupByName("default")
    change = (libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, "<host mac='52:54:00:00:00:01' name='printer' ip='192.168.122.41'/>")
    default.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, *change, libvirt.VIR_NETWORK_UPDATE_AFFECT_CURRENT)
    with pytest.raises(SiteConflictError, match="held by printer"):
        pretended.allocate(granted(pretended.allocation(), "192.168.122.41"))
    default.update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, *change, libvirt.VIR_NETWORK_UPDATE_AFFECT_CURRENT)


def test_a_node_that_gets_another_address_gives_the_old_one_back(pretended):
    wanted = pretended.allocation()
    for address in ("192.168.122.42", "192.168.122.43"):
        pretended.allocate(granted(wanted, address))
        assert pretended.observed().allocations[0].public == (address,)


def test_a_refused_change_of_address_keeps_the_old_one(pretended):
    other = pretended.other()
    other.allocate(granted(other.allocation("second", offset=1), "192.168.122.45"))
    wanted = pretended.allocation()
    pretended.allocate(granted(wanted, "192.168.122.44"))
    with pytest.raises(SiteConflictError):
        pretended.allocate(granted(wanted, "192.168.122.45"))
    assert pretended.observed().allocations[0].public == ("192.168.122.44",)
    other.clean_all()


def test_without_dhcp_a_network_that_never_starts_claims_the_address(pretended, by_hand):
    by_hand.networkDefineXML("<network><name>campus</name><forward mode='bridge'/><bridge name='eth1'/></network>")
    pretended.allocate(granted(pretended.allocation(), "192.0.2.7", network="campus"))
    claim = networks(by_hand)["pragmaspec-address-192.0.2.7"]
    assert not claim.isActive()
    assert pretended.observed().allocations[0].public == ("192.0.2.7",)
    assert pretended.observed().allocations[0].networks == ("private",)
    other = pretended.other()
    with pytest.raises(SiteConflictError) as caught:
        other.allocate(granted(other.allocation("second", offset=1), "192.0.2.7", network="campus"))
    assert f"held by pretended/hello/allocation of stack {pretended.lineage[:8]}" in str(caught.value)
    pretended.allocate(pretended.allocation())
    assert "pragmaspec-address-192.0.2.7" not in networks(by_hand)
    campus = by_hand.networkLookupByName("campus")
    campus.destroy()
    campus.undefine()


def test_a_public_network_that_is_not_there_is_named(pretended, by_hand):
    with pytest.raises(SiteError) as caught:
        pretended.allocate(granted(pretended.allocation(), "192.0.2.7", network="campus"))
    assert "no libvirt network campus" in str(caught.value)
    assert "pragmaspec-vlan-20" not in networks(by_hand), "the claim made before is undone"


def test_a_network_that_somebody_stopped_is_started_again(pretended, by_hand):
    pretended.allocate(pretended.allocation())
    networks(by_hand)["pragmaspec-vlan-20"].destroy()
    assert pretended.observed().allocations[0].networks == ()
    pretended.allocate(pretended.allocation())
    assert pretended.observed().allocations[0].networks == ("private",)


@pytest.mark.hypervisor
def test_a_changed_mtu_is_written_and_the_object_stays_the_same(lab, real_by_hand):
    wanted = lab.allocation()
    lab.allocate(wanted)
    name = f"pragmaspec-vlan-{lab.vlan}"
    uuid = networks(real_by_hand)[name].UUIDString()
    lab.allocate(replace(wanted, networks=(replace(wanted.private, mtu=9000),)))
    network = networks(real_by_hand)[name]
    assert "<mtu size='9000'/>" in network.XMLDesc()
    assert (network.UUIDString(), network.isActive()) == (uuid, 1)


def test_another_number_takes_the_place_of_the_first(pretended, by_hand):
    pretended.allocate(pretended.allocation())
    pretended.allocate(pretended.allocation(offset=1))
    assert {name for name in networks(by_hand) if name.startswith("pragmaspec-vlan")} == {"pragmaspec-vlan-21"}


@pytest.mark.hypervisor
def test_of_two_clusters_that_want_one_real_address_one_gets_it(lab):
    lab.allocate(lab.allocation(public=True))
    other = lab.other()
    with pytest.raises(SiteConflictError) as caught:
        other.allocate(other.allocation("second", offset=1, public=True))
    assert f"hello-frontend of stack {lab.lineage[:8]}" in str(caught.value)
    assert other.observed().allocations == ()


def test_lineages_with_the_same_first_digits_do_not_take_each_others_networks(pretended):
    pretended.allocate(pretended.allocation())
    twin = pretended.other()
    twin.lineage = pretended.lineage[:8] + str(uuid4())[8:]
    with pytest.raises(SiteConflictError):
        twin.allocate(twin.allocation())
    twin.provider.clean(twin.allocation(), twin.mark(twin.allocation()))
    assert pretended.observed().allocations[0].networks == ("private",)


def test_a_second_provider_at_the_site_sees_the_claims(pretended):
    pretended.allocate(pretended.allocation())
    second = LibvirtProvider(host_of(pretended).site)
    assert [taken.value for taken in second.inventory().vlans] == ["20"]
    second.close()


def test_a_public_network_that_is_stopped_is_seen_and_started(pretended, by_hand):
    network = by_hand.networkLookupByName("default")
    network.destroy()
    assert [each.state for each in pretended.observed().site_networks if each.name == "default"] == ["stopped"]
    pretended.allocate(granted(pretended.allocation(), pretended.public))
    assert network.isActive()
    assert [each.state for each in pretended.observed().site_networks if each.name == "default"] == ["up"]


@pytest.mark.hypervisor
def test_a_public_network_that_cannot_start_says_why_and_what_to_type(lab, real_by_hand):
    ours = real_by_hand.networkLookupByName(lab.site.public.network)
    taken = ours.XMLDesc().split("<ip ")[1].split("</ip>")[0]
    twin = real_by_hand.networkDefineXML(
        f"<network><name>{ours.name()}-twin</name><bridge name='ps-twin'/><ip {taken}</ip></network>"
    )
    try:
        with pytest.raises(SiteError, match=rf"range is also that of another host interface.*net-start {twin.name()}"):
            lab.allocate(granted(lab.allocation(), lab.public, twin.name()))
    finally:
        twin.undefine()


@pytest.mark.hypervisor
def test_the_mtu_of_a_public_network_or_bridge_is_told(lab, real_by_hand):
    assert lab.provider.inventory().public.mtu == 1500
    ours = real_by_hand.networkLookupByName(lab.site.public.network)
    name = ours.bridgeName()
    bridged = LibvirtProvider(replace(lab.site, public=PublicNetwork(bridge=name, addresses=("192.0.2.10",), prefix=24)))
    assert bridged.observe(lab.lineage).public_bridge == SiteNetwork(name=name)
    assert bridged.inventory().public.mtu == 1500
    bridged.close()
    narrow = real_by_hand.networkDefineXML(
        "<network><name>ps-narrow</name><bridge name='ps-narrow'/><mtu size='1400'/></network>"
    )
    narrow.create()
    on_top = real_by_hand.networkDefineXML(
        "<network><name>ps-on-top</name><forward mode='bridge'/><bridge name='ps-narrow'/></network>"
    )
    try:
        seen = {each.name: (each.state, each.mtu) for each in lab.observed().site_networks}
        assert (seen["ps-narrow"], seen["ps-on-top"]) == (("up", 1400), ("stopped", 1400))
        for bridge, state in (("lo", "other"), ("ps-nowhere", "absent")):
            there = LibvirtProvider(replace(lab.site, public=PublicNetwork(bridge=bridge, addresses=("192.0.2.10",), prefix=24)))
            assert there.observe(lab.lineage).public_bridge.state == state
            there.close()
    finally:
        on_top.undefine()
        narrow.destroy()
        narrow.undefine()
