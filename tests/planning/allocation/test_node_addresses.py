from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import PlanError
from pragmaspec.planning.allocation.node_addresses import NodeAddresses, node_capacity
from pragmaspec.planning.desired import RecordedCluster, desired_nodes
from pragmaspec.resources import Allocation, Network, Node
from tests.planning.builders import LINEAGE, cluster, nodes, wanted

GROUPS = ("gpu", "store", "login")


def members(computes: int, cidr: str = "10.20.0.0/16", recorded: tuple[Node, ...] = (), **groups: int) -> dict[str, str]:
    """Return the private address of each node by name."""
    return {node.name: node.nics[0].address for node in made(computes, cidr, recorded, **groups)}


def made(computes: int, cidr: str = "10.20.0.0/16", recorded: tuple[Node, ...] = (), **groups: int) -> tuple[Node, ...]:
    asked = cluster("c", computes=computes, groups=tuple(nodes(count, group=name) for name, count in groups.items()))
    allocation = Allocation(site="lab", cluster="c", networks=(Network(name="private", cidr=cidr, vlan=20),))
    found = desired_nodes(wanted(asked), asked, allocation, running=True, recorded=RecordedCluster(LINEAGE, recorded))
    return tuple(entry.resource for entry in found if isinstance(entry.resource, Node))


def test_computes_follow_each_other_from_the_tenth_address() -> None:
    assert members(2) == {"c-frontend": "10.20.0.1", "c-compute-0": "10.20.0.10", "c-compute-1": "10.20.0.11"}


def test_each_group_has_its_own_block_above_the_computes() -> None:
    found = members(300, gpu=2, store=300, login=1)
    assert [found[f"c-{name}-0"] for name in GROUPS] == ["10.20.2.10", "10.20.3.10", "10.20.5.10"]
    assert found["c-store-299"] == "10.20.4.53"


@pytest.mark.parametrize(("cidr", "computes", "first"), [("10.0.0.0/24", 2, "10.0.0.253"), ("10.0.0.0/22", 900, "10.0.3.253")])
def test_a_group_is_at_the_end_of_a_network_without_a_free_block(cidr: str, computes: int, first: str) -> None:
    assert members(computes, cidr, gpu=2)["c-gpu-0"] == first


def test_a_group_without_a_free_range_takes_single_addresses() -> None:
    holes = tuple(node for node in made(11, "10.0.0.0/27") if node.index % 2)
    found = members(0, "10.0.0.0/27", holes, gpu=12)
    assert found["c-gpu-0"] == "10.0.0.10"
    assert found["c-gpu-1"] == "10.0.0.12"
    assert len(set(found.values())) == 13


def test_a_recorded_address_outside_the_network_is_chosen_anew() -> None:
    before = made(60, "10.0.0.0/24")
    found = members(50, "10.1.0.0/26", before)
    assert (found["c-compute-0"], found["c-compute-49"]) == ("10.1.0.10", "10.1.0.59")
    small = members(2, "10.1.0.0/28", made(0, "10.0.0.0/16", gpu=1), gpu=1)
    assert small["c-gpu-0"] == "10.1.0.14"


def test_a_network_that_nodes_join_later_has_no_recorded_addresses() -> None:
    asked = cluster("c", computes=1)
    addresses = NodeAddresses(asked, Network(name="storage", cidr="192.168.70.0/24"), made(1))
    assert (addresses.address("frontend", 0), addresses.address("compute", 0)) == ("192.168.70.1", "192.168.70.10")


def test_a_full_network_is_refused() -> None:
    with pytest.raises(PlanError, match=r"no free address for node 1 of gpu"):
        members(0, "10.0.0.0/28", made(5, "10.0.0.0/28")[:5], gpu=2)


def test_an_unknown_group_gets_the_place_of_one_node() -> None:
    addresses = NodeAddresses(cluster("c", computes=1), Network(name="private", cidr="10.0.0.0/16"), ())
    assert addresses.address("gone", 0) == "10.0.1.10"


def test_capacity() -> None:
    assert (node_capacity("10.0.0.0/24"), node_capacity("10.0.0.0/28"), node_capacity("10.0.0.0/30")) == (245, 5, 0)


@st.composite
def counts(draw: Callable[..., object]) -> dict[str, int]:
    return {name: draw(st.integers(0, 8)) for name in ("computes", *draw(st.lists(st.sampled_from(GROUPS), unique=True)))}


@settings(deadline=None)
@given(st.lists(counts(), min_size=1, max_size=5), st.sampled_from(("10.0.0.0/16", "10.0.0.0/22", "10.0.0.0/25")))
def test_addresses_are_unique_and_never_change(history: list[dict[str, int]], cidr: str) -> None:
    recorded: tuple[Node, ...] = ()
    for step in history:
        computes = step.get("computes", 0)
        groups = {name: count for name, count in step.items() if name != "computes"}
        found = made(computes, cidr, recorded, **groups)
        addresses = {node.name: node.nics[0].address for node in found}
        assert len(set(addresses.values())) == len(addresses)
        assert all(ip_address(address) in ip_network(cidr) for address in addresses.values())
        known = {node.name: node.nics[0].address for node in recorded}
        assert all(addresses[name] == known[name] for name in known.keys() & addresses.keys())
        recorded = found
