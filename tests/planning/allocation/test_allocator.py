"""Allocations from a site's pools, and the errors of unavailable values."""

import pytest
from msgspec.structs import replace

from pragmaspec.networking import Networking
from pragmaspec.planning.allocation.allocator import AllocationError, Allocator, satisfies
from pragmaspec.planning.observed import Inventory, PoolUse, PublicPool
from pragmaspec.planning.wanted import WantedCluster, WantedNetwork, WantedPublic
from pragmaspec.resources import Allocation, Network, PublicGrant
from pragmaspec.site import LibvirtSite, PublicNetwork, SimulatedSite, Site
from pragmaspec.state_model import Record
from tests.planning.builders import EMPTY, LAB, LINEAGE, ROOMY, applied_state, cluster, line

NONE = WantedPublic(kind="none")
STORAGE = WantedNetwork(name="storage", cidr="192.168.70.0/24")


def granted(
    wanted: WantedCluster, recorded: Allocation | None = None, *, site: Site = LAB, inventory: Inventory | None = ROOMY
) -> Allocation:
    state = EMPTY.with_record(Record(resource=recorded)) if recorded else EMPTY
    return Allocator(site, inventory, state, (wanted,)).allocation(wanted, recorded)


def refused(
    wanted: WantedCluster, recorded: Allocation | None = None, *, site: Site = LAB, inventory: Inventory | None = ROOMY
) -> list[str]:
    with pytest.raises(AllocationError) as caught:
        granted(wanted, recorded, site=site, inventory=inventory)
    assert str(caught.value)
    return [f"{problem.summary}: {problem.detail}" for problem in caught.value.problems]


def named(address: str) -> WantedPublic:
    return WantedPublic(kind="address", address=address, where=line(9))


def test_first_free_values_are_allocated() -> None:
    assert granted(cluster()) == Allocation(
        site="lab",
        cluster="hello",
        networks=(Network(name="private", cidr="10.20.0.0/16", vlan=20),),
        public=(
            PublicGrant(
                node="hello-frontend",
                address="192.168.122.10",
                prefix=24,
                gateway="192.168.122.1",
                dns=("192.168.122.1",),
                network="default",
            ),
        ),
    )


def test_used_values_are_skipped() -> None:
    inventory = replace(
        ROOMY,
        vlans=(PoolUse(value="20", owner="web"),),
        cidrs=(PoolUse(value="10.21.0.0/16", owner="web"),),
        addresses=(PoolUse(value="192.168.122.10", owner="web"),),
    )
    got = granted(cluster(), inventory=inventory)
    assert (got.private.vlan, got.private.cidr, got.public[0].address) == (21, "10.0.0.0/16", "192.168.122.11")


def test_named_values_are_allocated() -> None:
    got = granted(cluster(vlan=99, cidr="172.20.0.0/24", mtu=9000, public=named("192.168.122.77"), protect=True))
    assert got.networks == (Network(name="private", cidr="172.20.0.0/24", vlan=99, mtu=9000),)
    assert got.public[0].address == "192.168.122.77"
    assert got.protect


def test_granted_values_are_kept_without_an_inventory() -> None:
    held = granted(cluster(networks=(STORAGE,)))
    assert granted(cluster(networks=(STORAGE,)), held, inventory=None) == held


def test_named_vlan_changes_an_unnamed_range() -> None:
    held = granted(cluster())
    moved = granted(cluster(vlan=30), held)
    assert (moved.private.vlan, moved.private.cidr) == (30, "10.30.0.0/16")
    assert granted(cluster(vlan=30, cidr="10.20.0.0/16"), held).private.cidr == "10.20.0.0/16"
    assert granted(cluster(cidr="10.9.0.0/16"), held).private == Network(name="private", cidr="10.9.0.0/16", vlan=20)


def test_private_range_avoids_the_extra_networks() -> None:
    extra = WantedNetwork(name="storage", cidr="10.20.5.0/24")
    assert granted(cluster(networks=(extra,))).private.cidr == "10.0.0.0/16"


def test_extra_networks_have_a_vlan_or_a_bridge() -> None:
    lan = WantedNetwork(name="lan", cidr="10.99.0.0/24", bridge="br-lan")
    got = granted(cluster(networks=(STORAGE, lan)))
    assert got.networks[1:] == (
        Network(name="storage", cidr="192.168.70.0/24", vlan=21),
        Network(name="lan", cidr="10.99.0.0/24", bridge="br-lan"),
    )
    wider = granted(cluster(networks=(replace(STORAGE, cidr="192.168.64.0/20"), replace(lan, bridge=None))), got)
    assert [network.vlan for network in wider.networks] == [20, 21, 22]


def test_bridges_follow_the_pattern_of_the_site() -> None:
    got = granted(cluster(networks=(STORAGE,)), site=LibvirtSite(name="lab", bridge="br{vlan}"))
    assert [network.bridge for network in got.networks] == ["br20", "br21"]


def test_public_network_on_a_bridge() -> None:
    public = PublicNetwork(
        bridge="br0",
        addresses=("192.0.2.10-192.0.2.12",),
        prefix=24,
        gateway="192.0.2.1",
        names=(("192.0.2.10", "vc1.example.org"),),
    )
    got = granted(cluster(), site=replace(LAB, public=public), inventory=replace(ROOMY, public=None))
    assert got.public == (
        PublicGrant(
            node="hello-frontend",
            address="192.0.2.10",
            prefix=24,
            gateway="192.0.2.1",
            fqdn="vc1.example.org",
            bridge="br0",
        ),
    )


def test_public_network_reported_by_the_site() -> None:
    reported = replace(ROOMY, public=PublicPool(bridge="br1", cidr="192.0.2.0/24"))
    assert granted(cluster(), inventory=reported).public[0].bridge == "br1"
    local = replace(LAB, public=PublicNetwork(addresses=("192.0.2.10",), prefix=24))
    assert granted(cluster(), site=local, inventory=replace(ROOMY, public=None)).public[0].network is None


def test_options_of_the_public_network_refresh_a_grant() -> None:
    held = granted(cluster())
    options = PublicNetwork(network="default", gateway="192.168.122.2", names=(("192.168.122.10", "vc1.example.org"),))
    got = granted(cluster(), held, site=replace(LAB, public=options), inventory=None).public[0]
    assert (got.gateway, got.fqdn, got.dns, got.prefix) == ("192.168.122.2", "vc1.example.org", ("192.168.122.1",), 24)


def test_other_public_network_needs_a_new_grant() -> None:
    held = granted(cluster())
    other = replace(LAB, public=PublicNetwork(bridge="br0", addresses=("192.0.2.10",), prefix=24))
    assert not satisfies(held, cluster(), other)
    assert granted(cluster(), held, site=other).public[0].bridge == "br0"


def test_no_public_grant_allows_any_range() -> None:
    assert granted(cluster(public=NONE, cidr="192.168.0.0/16")).public == ()


@pytest.mark.parametrize(
    ("asked", "enough"),
    [
        ({}, True),
        ({"computes": 9}, True),
        ({"vlan": 20, "cidr": "10.20.0.0/16", "public": named("192.168.122.10")}, True),
        ({"vlan": 21}, False),
        ({"cidr": "10.21.0.0/16"}, False),
        ({"public": NONE}, False),
        ({"public": named("192.168.122.11")}, False),
        ({"networks": ()}, False),
        ({"networks": (replace(STORAGE, mtu=9000),)}, False),
        ({"networks": (replace(STORAGE, bridge="br1"),)}, False),
    ],
)
def test_satisfies_compares_the_grant_with_the_spec(asked: dict[str, object], *, enough: bool) -> None:
    held = granted(cluster(networks=(STORAGE,)))
    assert satisfies(held, cluster(**{"networks": (STORAGE,), **asked}), LAB) is enough


def test_no_public_grant_satisfies_public_none() -> None:
    assert satisfies(granted(cluster(public=NONE)), cluster(public=NONE), LAB)


def test_vlan_outside_the_ranges_is_refused() -> None:
    site = replace(LAB, vlans=((20, 29), (40, 40)))
    (message,) = refused(cluster(vlan=30), site=site)
    assert message == (
        "VLAN outside the pool: VLAN 30 is not in the pool of site lab (20-29, 40). Name one that is, or omit it to get "
        "the first free one."
    )


def test_values_used_by_others_are_refused_with_the_user() -> None:
    same_name = {"lineage": "another", "address": "lab/hello/allocation"}
    inventory = replace(
        ROOMY,
        vlans=(PoolUse(value="22", owner="cluster hello of grace", **same_name),),
        addresses=(PoolUse(value="192.168.122.77", owner="web"),),
    )
    vlan, address = refused(cluster(vlan=22, public=named("192.168.122.77")), inventory=inventory)
    assert vlan.startswith("VLAN in use: VLAN 22 at site lab is used by cluster hello of grace.")
    assert address.startswith("Address in use: Address 192.168.122.77 at site lab is used by web.")


def test_claims_of_an_interrupted_run_are_reused() -> None:
    ours = {"lineage": LINEAGE, "address": "lab/hello/allocation"}
    inventory = replace(
        ROOMY,
        vlans=(PoolUse(value="22", owner="us", **ours),),
        addresses=(PoolUse(value="192.168.122.77", owner="us", **ours),),
    )
    got = granted(cluster(vlan=22, public=named("192.168.122.77")), inventory=inventory)
    assert (got.private.vlan, got.public[0].address) == (22, "192.168.122.77")


def test_exhausted_pool_names_its_users() -> None:
    site = replace(LAB, vlans=((20, 26),))
    inventory = replace(ROOMY, vlans=tuple(PoolUse(value=str(vlan), owner=f"cluster c{vlan}") for vlan in (500, *range(20, 27))))
    (message,) = refused(cluster(), site=site, inventory=inventory)
    assert message == (
        "No free VLANs: Cluster hello needs one of the VLANs (20-26) of site lab, and none is free. In use: 20 by cluster c20, "
        "21 by cluster c21, 22 by cluster c22, 23 by cluster c23, 24 by cluster c24 and 2 more. Clean a cluster that is no "
        "longer needed, or extend the site's `vlans:`."
    )


def test_exhausted_public_addresses() -> None:
    site = replace(LAB, public=PublicNetwork(network="default", addresses=("192.168.122.40",)))
    inventory = replace(ROOMY, addresses=(PoolUse(value="192.168.122.40", owner="web"),))
    (message,) = refused(cluster(), site=site, inventory=inventory)
    assert "No free public addresses" in message
    assert "In use: 192.168.122.40 by web." in message
    (nothing,) = refused(
        cluster(),
        inventory=replace(ROOMY, public=PublicPool(network="default")),
        site=replace(LAB, public=PublicNetwork(prefix=24)),
    )
    assert "In use: none, the pool is empty." in nothing


def test_exhausted_private_ranges() -> None:
    inventory = replace(ROOMY, cidrs=(PoolUse(value="10.0.0.0/8", owner="network lan"),))
    (message,) = refused(cluster(), inventory=inventory)
    assert "No free private ranges in 10.0.0.0/8" in message
    assert "10.0.0.0/8 by network lan" in message


def test_address_outside_the_pool_is_refused() -> None:
    (reported,) = refused(cluster(public=named("203.0.113.9")))
    assert "Address 203.0.113.9 is not in the pool of site lab (192.168.122.0/24)." in reported
    listed = replace(LAB, public=PublicNetwork(addresses=("192.168.122.40", "192.168.122.50-192.168.122.59")))
    (written,) = refused(cluster(public=named("203.0.113.9")), site=listed)
    assert "(192.168.122.40, 192.168.122.50-192.168.122.59)" in written
    unknown = replace(LAB, public=PublicNetwork(prefix=24))
    (empty,) = refused(cluster(public=named("203.0.113.9")), site=unknown, inventory=replace(ROOMY, public=None))
    assert "(which is empty)" in empty


def test_site_without_a_public_network_is_refused() -> None:
    (message,) = refused(cluster(), inventory=replace(ROOMY, public=None))
    assert message.startswith("The site has no public network")
    (unasked,) = refused(cluster(vlan=20, cidr="10.20.0.0/16"), inventory=None)
    assert unasked.startswith("The site has no public network")


def test_public_network_without_a_prefix_is_refused() -> None:
    site = replace(LAB, public=PublicNetwork(addresses=("192.0.2.10",)))
    (message,) = refused(cluster(), site=site, inventory=replace(ROOMY, public=None))
    assert "Write `prefix:` under the site's `public:`." in message


@pytest.mark.parametrize(("cidr", "room"), [("172.20.0.0/27", 21), ("172.20.0.0/29", 0), ("172.20.0.0/31", 0)])
def test_network_too_small_for_the_computes_is_refused(cidr: str, room: int) -> None:
    expected = f"{cidr} has addresses for {room} computes of cluster hello, and the spec wants 30."
    assert [expected in message for message in refused(cluster(computes=30, cidr=cidr))] == [True]
    small = cluster(computes=30, networks=(replace(STORAGE, cidr=cidr),))
    assert [message.startswith("The storage network is too small") for message in refused(small)] == [True]
    assert granted(replace(small, networks=(replace(STORAGE, cidr=cidr, roles=("frontend",)),)))


def test_network_with_exactly_enough_addresses_is_accepted() -> None:
    assert granted(cluster(computes=21, cidr="172.20.0.0/27"))
    assert refused(cluster(computes=22, cidr="172.20.0.0/27"))


def test_range_overlapping_the_public_network_is_refused() -> None:
    (message,) = refused(cluster(cidr="192.168.0.0/16"))
    assert "192.168.0.0/16 overlaps 192.168.122.0/24, the public network of site lab" in message
    (extra,) = refused(cluster(networks=(replace(STORAGE, cidr="192.168.122.128/25"),)))
    assert extra.startswith("The storage network overlaps the public one")


def test_all_unavailable_values_are_reported_at_once() -> None:
    bad = cluster(
        vlan=4000, public=named("203.0.113.9"), networks=(replace(STORAGE, cidr="192.168.122.0/24"), replace(STORAGE, name="b"))
    )
    assert [message.partition(":")[0] for message in refused(bad)] == [
        "VLAN outside the pool",
        "The storage network overlaps the public one",
        "Address outside the pool",
    ]


def test_named_values_are_reserved_first() -> None:
    first, second = cluster("first"), cluster("second", vlan=20, cidr="10.21.0.0/16", public=named("192.168.122.10"))
    allocator = Allocator(LAB, ROOMY, EMPTY, (first, second))
    chosen = allocator.allocation(first, None)
    assert (chosen.private.vlan, chosen.private.cidr, chosen.public[0].address) == (21, "10.0.0.0/16", "192.168.122.11")
    assert allocator.allocation(second, None).private.vlan == 20


def test_one_vlan_named_twice_is_refused() -> None:
    first, second = cluster("first", vlan=20), cluster("second", vlan=20)
    allocator = Allocator(LAB, ROOMY, EMPTY, (first, second))
    assert allocator.allocation(first, None)
    with pytest.raises(AllocationError) as caught:
        allocator.allocation(second, None)
    assert "used by cluster first of this spec" in caught.value.problems[0].detail


def test_values_of_this_stack_count_as_used() -> None:
    state = applied_state(cluster(networks=(STORAGE, WantedNetwork(name="lan", cidr="10.99.0.0/24", bridge="br-lan"))))
    allocator = Allocator(LAB, ROOMY, state, ())
    got = allocator.allocation(cluster("world"), None)
    assert (got.private.vlan, got.public[0].address) == (22, "192.168.122.11")
    with pytest.raises(AllocationError) as caught:
        allocator.allocation(cluster("other", vlan=20), None)
    assert "used by cluster hello of this stack" in caught.value.problems[0].detail


def test_missing_public_network_is_refused_with_existing_ones() -> None:
    site = replace(LAB, public=PublicNetwork(network="nosuch", addresses=("192.0.2.10",), prefix=24))
    assert refused(cluster(), site=site, inventory=replace(ROOMY, networks=("campus", "default")))[0] == (
        "The public network does not exist: Site lab has no network called nosuch; it has: campus, default. Correct the site's "
        "`public: network:`, or create the network there."
    )
    assert granted(cluster(), site=site).public[0].network == "nosuch", "a site that cannot tell is believed"


def test_missing_bridges_are_reported_at_once() -> None:
    site = LibvirtSite(name="lab", bridge="br{vlan}", public=PublicNetwork(bridge="brx", addresses=("192.0.2.10",), prefix=24))
    ib = WantedNetwork(name="ib", cidr="192.168.70.0/24", bridge="nobr")
    devices = tuple(f"eth{number}" for number in range(13))
    advice = "its network devices are: " + ", ".join(devices[:12]) + " and 1 more. Correct the `bridge:`, or create it there: "
    assert refused(cluster(networks=(ib,)), site=site, inventory=replace(ROOMY, devices=devices)) == [
        f"The bridge does not exist: The host of site lab has no bridge {name}; {advice}ip link add {name} type bridge"
        for name in ("br20", "nobr", "brx")
    ]
    assert "are: none." in refused(cluster(public=NONE), site=site, inventory=replace(ROOMY, devices=()))[0]


def test_grant_on_a_missing_bridge_is_kept() -> None:
    site = LibvirtSite(name="lab", bridge="br{vlan}")
    held = granted(cluster(public=NONE), site=site, inventory=replace(ROOMY, devices=("br20",)))
    assert held.private.bridge == "br20"
    assert granted(cluster(public=NONE), held, site=site, inventory=replace(ROOMY, devices=())) == held


CLOUD = SimulatedSite(
    name="lab",
    late=("public",),
    connects=Networking(vlans=False, router=True, translated=True, dhcp=True, frontend_offset=4),
    public=PublicNetwork(addresses=("198.51.100.7",), dns=("9.9.9.9",), names=(("198.51.100.7", "vc1.example.org"),)),
)
"""A cloud with floating addresses, of which the user has reserved one."""
EXTERNAL = replace(ROOMY, public=PublicPool(network="external"))


def test_a_cloud_has_routers_instead_of_vlans() -> None:
    got = granted(cluster(networks=(STORAGE,)), site=CLOUD, inventory=EXTERNAL)
    private, storage = got.networks
    assert (private.cidr, private.vlan, private.gateway, private.dhcp) == ("10.0.0.0/16", None, "10.0.0.1", True)
    assert (storage.vlan, storage.gateway, storage.dhcp) == (None, None, True)
    assert satisfies(got, cluster(networks=(STORAGE,)), CLOUD)
    assert not satisfies(got, cluster(networks=(STORAGE,)), replace(CLOUD, connects=Networking()))


def test_the_public_address_of_a_cloud_is_its_choice_or_a_reserved_one() -> None:
    (grant,) = granted(cluster(), site=CLOUD, inventory=EXTERNAL).public
    assert grant == PublicGrant(
        node="hello-frontend", address="", prefix=32, dns=("9.9.9.9",), network="external", translated=True
    )
    allocation = granted(cluster(public=named("198.51.100.7")), site=CLOUD, inventory=EXTERNAL)
    assert (allocation.public[0].address, allocation.public[0].fqdn) == ("198.51.100.7", "vc1.example.org")
    (message,) = refused(cluster(public=named("198.51.100.8")), site=CLOUD, inventory=EXTERNAL)
    assert message.startswith("Address outside the pool")


def test_an_address_that_the_allocation_has_may_be_named() -> None:
    use = PoolUse(value="198.51.100.8", owner="hello", lineage=LINEAGE, address="lab/hello/allocation")
    for lineage, is_granted in ((LINEAGE, True), ("other", False)):
        inventory = replace(EXTERNAL, addresses=(replace(use, lineage=lineage),))
        wanted = cluster(public=named("198.51.100.8"))
        if is_granted:
            assert granted(wanted, site=CLOUD, inventory=inventory).public[0].address == "198.51.100.8"
        else:
            assert refused(wanted, site=CLOUD, inventory=inventory)


def test_a_translated_grant_follows_only_names_and_name_servers_of_the_spec() -> None:
    wanted = cluster(public=named("198.51.100.7"))
    before = granted(wanted, site=CLOUD, inventory=EXTERNAL)
    changed = replace(CLOUD, public=PublicNetwork(addresses=("198.51.100.7",), dns=("1.1.1.1",), prefix=24, mtu=1400))
    (grant,) = granted(wanted, before, site=changed, inventory=EXTERNAL).public
    assert grant == replace(before.public[0], dns=("1.1.1.1",), fqdn=None)


def test_a_site_that_no_longer_translates_grants_another_address() -> None:
    before = granted(cluster(), site=replace(CLOUD, late=()), inventory=EXTERNAL)
    assert before.public[0].address == "198.51.100.7"
    bridged = SimulatedSite(name="lab")
    (grant,) = granted(cluster(), before, site=bridged, inventory=ROOMY).public
    assert not grant.translated
    assert grant.prefix == 24
