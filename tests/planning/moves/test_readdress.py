"""Observations and inventories of moved objects."""

from msgspec.structs import replace

from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.moves.readdress import by_origin, by_recorded_address
from pragmaspec.planning.observed import CapacityUse, PoolUse
from pragmaspec.planning.wanted import Move
from tests.planning.builders import LINEAGE, ROOMY, action_names, applied_state, cluster, observed, planned, wanted

HELLO = applied_state(cluster())
TO_WORLD = Move(before="hello", after="world")
WORLD = moved_state(HELLO, (TO_WORLD,))
TO_HALL = Move(before="lab", after="hall", kind="site")


def test_inventory_is_readdressed_to_recorded_names() -> None:
    taken = PoolUse(value="20", owner="us", lineage=LINEAGE, address="lab/hello/allocation")
    others = replace(taken, lineage="another")
    machine = CapacityUse(owner="us", cpus=1, lineage=LINEAGE, address="lab/hello/node/hello-frontend")
    readdressed = by_recorded_address(replace(ROOMY, vlans=(taken, others), holdings=(machine,)), WORLD, "lab")
    assert [each.address for each in readdressed.vlans] == ["lab/world/allocation", "lab/hello/allocation"]
    assert [each.address for each in readdressed.holdings] == ["lab/world/node/world-frontend"]
    assert by_recorded_address(ROOMY, HELLO, "lab") is ROOMY


def test_objects_identified_by_name_are_matched_after_a_site_move() -> None:
    hall = moved_state(HELLO, (TO_HALL,))
    seen = observed(hall, "hall")
    (machine, *others), (granted,) = seen.nodes, seen.allocations
    disk = replace(machine, address=machine.address.replace("lab/", "hall/"), status="undefined")
    claim = replace(granted, address="hall/hello/allocation", networks=())
    split = replace(seen, nodes=(disk, machine, *others), allocations=(claim, replace(granted, public=())))
    assert by_origin(split, hall) == replace(seen, nodes=tuple(sorted(seen.nodes, key=lambda node: node.address)))
    alone = replace(seen, nodes=(disk, *others), allocations=(claim,))
    assert {node.address for node in by_origin(alone, hall).nodes} == {node.address for node in seen.nodes}
    assert [each.address for each in by_origin(alone, hall).allocations] == ["lab/hello/allocation"]
    assert by_origin(seen, HELLO) == seen


def test_capacity_of_moved_nodes_counts_once() -> None:
    full = replace(
        ROOMY,
        memory_mib=4 * 1024,
        holdings=tuple(
            CapacityUse(owner="us", cpus=1, memory_mib=1024, lineage=LINEAGE, address=node.address) for node in HELLO.nodes()
        ),
    )
    plan = planned(wanted(cluster("world", computes=3)), WORLD, inventories={"lab": full})
    assert action_names(plan)[-1] == "boot world-compute-2"
