from pragmaspec.planning.observed import (
    CapacityUse,
    Inventory,
    Observations,
    ObservedAllocation,
    ObservedNode,
    PoolUse,
    SiteIdentity,
)
from pragmaspec.planning.orphans import orphans, other_stacks
from pragmaspec.resources import Allocation, Network, Node
from pragmaspec.state_model import ClosedOp, Record, State

LINEAGE = "7c2d1f00-0000-4000-8000-000000000001"
OTHER = "7c2d1f00-0000-4000-8000-000000000002"
IDENTITY = SiteIdentity(id="x", title="x")
ADDRESS = "lab/hello/node/hello-compute-0"


def _node(**more) -> Record:
    node = Node(
        site="lab",
        cluster="hello",
        name="hello-compute-0",
        role="compute",
        index=0,
        cpus=1,
        memory_mib=512,
        disk_bytes=1,
        image="i" * 64,
        nics=(),
    )
    return Record(resource=node, **more)


def _seen(*nodes: ObservedNode, allocations: tuple[ObservedAllocation, ...] = (), images: tuple[str, ...] = ()) -> dict:
    return {"lab": Observations(site="lab", identity=IDENTITY, nodes=nodes, allocations=allocations, images=images)}


def _machine(**more) -> ObservedNode:
    return ObservedNode(**{"address": ADDRESS, "generation": 0, "status": "running", **more})


def test_recorded_objects_are_no_orphans() -> None:
    allocation = Allocation(site="lab", cluster="hello", networks=(Network(name="private", cidr="10.0.0.0/16"),))
    state = State(lineage=LINEAGE, records=(Record(resource=allocation), _node()))
    seen = _seen(_machine(), allocations=(ObservedAllocation(address=allocation.address),))
    assert orphans(state, seen) == ()


def test_moved_objects_are_matched_by_origin() -> None:
    state = State(lineage=LINEAGE, records=(_node(origin="lab/old/node/old-compute-0"),))
    assert orphans(state, _seen(_machine(address="lab/old/node/old-compute-0"))) == ()
    (found,) = orphans(state, _seen(_machine(address="lab/old/node/old-compute-0"), _machine()))
    assert (found.address, found.recorded_beside) == (ADDRESS, False)


def test_second_machine_of_an_address_is_an_orphan() -> None:
    state = State(lineage=LINEAGE, records=(_node(op="a" * 32, outputs=(("id", "m-2"),)),))
    seen = _seen(_machine(op="a" * 32, id="m-1"), _machine(op="a" * 32, id="m-2"))
    (found,) = orphans(state, seen)
    assert (found.seen.id, found.recorded_beside) == ("m-1", True)


def test_leftovers_of_closed_operations_are_marked() -> None:
    state = State(lineage=LINEAGE, closed_ops=(ClosedOp(op="a" * 32, address=ADDRESS, closed_at=1.0),))
    (found,) = orphans(state, _seen(_machine(op="a" * 32, id="m-1")))
    assert (found.left_over, found.recorded_beside) == (True, False)


def test_unrecorded_images_and_allocations_are_orphans() -> None:
    state = State(lineage=LINEAGE)
    seen = _seen(allocations=(ObservedAllocation(address="lab/hello/allocation"),), images=("d" * 64,))
    assert [(found.kind, found.address) for found in orphans(state, seen)] == [
        ("allocation", "lab/hello/allocation"),
        ("image", f"lab/image/{'d' * 16}"),
    ]


def test_objects_of_other_stacks_are_counted_per_site() -> None:
    inventory = Inventory(
        identity=IDENTITY,
        cpus=1,
        memory_mib=1,
        disk_bytes=1,
        disk_free_bytes=1,
        cpus_per_node=1,
        holdings=(
            CapacityUse(owner="a", lineage=OTHER, address="lab/x/node/x-frontend"),
            CapacityUse(owner="b", lineage=LINEAGE, address=ADDRESS),
            CapacityUse(owner="somebody"),
        ),
        vlans=(PoolUse(value="20", owner="a", lineage=OTHER, address="lab/y/allocation"),),
        addresses=(PoolUse(value="192.0.2.1", owner="nobody"),),
    )
    (found,) = other_stacks({"lab": inventory}, LINEAGE, lambda lineage: lineage == OTHER)
    assert (found.lineage, found.known, found.machines, found.vlans, found.addresses) == (OTHER, True, 1, 1, 0)
    assert found.clusters == ("x", "y")
