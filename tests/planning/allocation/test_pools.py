"""Free values of a site's pools, in a fixed order."""

from ipaddress import IPv4Network
from itertools import islice

import pytest
from msgspec.structs import replace

from pragmaspec.planning.allocation import pools
from pragmaspec.planning.allocation.pools import Pool
from pragmaspec.planning.observed import PoolUse, PublicPool
from pragmaspec.site import LibvirtSite, PublicNetwork
from tests.planning.builders import LINEAGE, ROOMY

SILENT = replace(ROOMY, public=None)


def test_pool_returns_uses_by_value() -> None:
    pool = Pool((PoolUse(value="20", owner="web", lineage="other", address="lab/hello/allocation"),), LINEAGE)
    pool.take("21", "hello", "lab/hello/allocation")
    assert pool.use_of("22") is None
    assert pool.other_use_of("22", "lab/hello/allocation") is None
    assert pool.other_use_of("21", "lab/hello/allocation") is None
    assert [entry.owner for entry in pool.uses(("22", "21", "20"))] == ["cluster hello of this spec", "web"]
    assert len(pool.uses()) == 2


def test_same_address_in_another_stack_is_another_use() -> None:
    pool = Pool((PoolUse(value="20", owner="web", lineage="other", address="lab/hello/allocation"),), LINEAGE)
    other = pool.other_use_of("20", "lab/hello/allocation")
    assert other is not None
    assert other.owner == "web"


def test_vlans_follow_the_order_of_the_ranges() -> None:
    assert list(pools.vlan_numbers(LibvirtSite(name="lab", vlans=((30, 31), (20, 20))))) == [30, 31, 20]


def test_private_range_contains_the_vlan_if_possible() -> None:
    assert pools.private_range(22, Pool((), LINEAGE), None) == "10.22.0.0/16"
    assert pools.private_range(3000, Pool((), LINEAGE), None) == "10.0.0.0/16"
    assert pools.private_range(None, Pool((), LINEAGE), None) == "10.0.0.0/16"


def test_private_range_overlaps_no_used_range() -> None:
    pool = Pool((PoolUse(value="10.22.7.0/24", owner="web"), PoolUse(value="10.0.0.0/15", owner="lan")), LINEAGE)
    assert pools.private_range(22, pool, IPv4Network("10.2.0.0/16")) == "10.3.0.0/16"
    assert pools.private_range(22, Pool((PoolUse(value="10.0.0.0/8", owner="lan"),), LINEAGE), None) is None


def test_public_addresses_of_the_spec_are_used_first() -> None:
    public = PublicNetwork(addresses=("192.0.2.30", "192.0.2.9 - 192.0.2.11"))
    assert list(pools.public_addresses(public, ROOMY)) == ["192.0.2.30", "192.0.2.9", "192.0.2.10", "192.0.2.11"]


def test_public_addresses_of_a_reported_network_exclude_the_gateway() -> None:
    given = list(pools.public_addresses(PublicNetwork(), ROOMY))
    assert given[:2] == ["192.168.122.10", "192.168.122.11"]
    assert given[-1] == "192.168.122.9"
    assert len(given) == 253
    assert not {"192.168.122.0", "192.168.122.1", "192.168.122.255"} & set(given)
    tiny = replace(ROOMY, public=PublicPool(network="default", cidr="192.0.2.0/30"))
    assert list(pools.public_addresses(PublicNetwork(), tiny)) == ["192.0.2.2", "192.0.2.1"]


def test_no_addresses_without_a_public_network() -> None:
    assert list(islice(pools.public_addresses(PublicNetwork(), SILENT), 1)) == []


@pytest.mark.parametrize(
    ("public", "inventory", "network", "gateway", "dns", "prefix"),
    [
        (PublicNetwork(), ROOMY, "192.168.122.0/24", "192.168.122.1", ("192.168.122.1",), 24),
        (
            PublicNetwork(gateway="192.168.122.2", dns=("9.9.9.9",), prefix=25),
            ROOMY,
            "192.168.122.0/24",
            "192.168.122.2",
            ("9.9.9.9",),
            25,
        ),
        (PublicNetwork(addresses=("192.0.2.9-192.0.2.20",), prefix=28), SILENT, "192.0.2.0/28", None, (), 28),
        (PublicNetwork(addresses=("192.0.2.9",)), SILENT, None, None, (), None),
    ],
)
def test_options_of_the_spec_override_reported_ones(
    public: PublicNetwork, inventory: object, network: str | None, gateway: str | None, dns: tuple[str, ...], prefix: int | None
) -> None:
    known = pools.public_network(public, inventory)
    assert (str(known) if known else None) == network
    assert pools.gateway_of(public, inventory) == gateway
    assert pools.dns_of(public, inventory) == dns
    assert pools.prefix_of(public, inventory) == prefix
