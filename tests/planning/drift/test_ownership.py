"""Matching of observed machines to records."""

from msgspec.structs import replace

from pragmaspec.planning.drift.ownership import match_node, match_nodes, unrecorded_objects
from pragmaspec.planning.drift.refresh import refreshed_state
from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedNode
from pragmaspec.resources import Node
from pragmaspec.state_model import ClosedOp, Record, State
from tests.planning.builders import applied_state, cluster, observed

HELLO = applied_state(cluster(computes=0))
ADDRESS = "lab/hello/node/hello-frontend"
NOTHING: frozenset[str] = frozenset()


def record(**fields: object) -> Record:
    found = HELLO.record(ADDRESS)
    assert found is not None
    return replace(found, **fields)


def seen(op: str = "a", site_id: str = "1", made: float = 1.0) -> ObservedNode:
    return ObservedNode(address=ADDRESS, generation=0, status="running", op=op, id=site_id, made=made, cpus=1, memory_mib=1024)


def observations(*nodes: ObservedNode) -> Observations:
    return replace(observed(HELLO), nodes=nodes)


def test_match_prefers_the_id_then_the_op_then_the_age() -> None:
    old, ours, young = seen("b", "0", 0.0), seen("a", "1", 1.0), seen("a", "2", 2.0)
    assert match_node(record(op="a", outputs=(("id", "2"),)), (old, ours, young), NOTHING) is young
    assert match_node(record(op="a"), (young, old, ours), NOTHING) is ours
    assert match_node(record(op="z"), (young, old, ours), NOTHING) is old
    assert match_node(record(op="a", outputs=(("id", "7"),)), (old, ours), NOTHING) is None
    assert match_node(record(op="a"), (), NOTHING) is None


def test_a_machine_with_another_id_is_not_the_recorded_one() -> None:
    elsewhere = replace(seen(), address="lab/hello/node/other")
    found = (record(op="a"), record(op="a", outputs=(("id", "7"),)), record(op="a", outputs=(("id", "1"),)))
    assert [dict(match_nodes((each,), (seen(), elsewhere), NOTHING)) for each in found] == [
        {ADDRESS: seen()},
        {},
        {ADDRESS: seen()},
    ]
    assert match_nodes((record(),), (elsewhere,), NOTHING) == {}


def test_an_allocation_of_a_finished_creation_is_still_the_recorded_one() -> None:
    state = replace(HELLO, closed_ops=(ClosedOp(op="x", address="lab/hello/allocation", closed_at=0.0),))
    seen_here = observed(HELLO)
    late = replace(seen_here, allocations=tuple(replace(each, op="x") for each in seen_here.allocations))
    assert refreshed_state(state, {"lab": late}).drift == ()


def test_leftover_matches_only_as_the_single_candidate() -> None:
    over = frozenset("x")
    assert match_node(record(op="a"), (seen("x"), seen("b", "2")), over).id == "2"
    assert match_node(record(op="a", outputs=(("id", "2"),)), (seen("x"),), over) is None
    assert match_node(record(op="a"), (seen("x"),), over) is not None


def test_second_machine_is_unrecorded_drift() -> None:
    state = HELLO.with_record(record(op="a", outputs=(("id", "1"),)))
    found = refreshed_state(state, {"lab": observations(seen(), seen(site_id="2", made=2.0), seen("b", "3", 3.0))})
    assert found.state == state
    assert [(drift.address, drift.kind, drift.detail) for drift in found.drift] == [
        (f"{ADDRESS}#2", "unrecorded", "was created twice, because a response was lost; the next apply removes this one"),
        (f"{ADDRESS}#3", "unrecorded", "carries the marks of a node that is recorded as another machine; it is left alone"),
    ]


def test_late_creation_is_reported_as_leftover() -> None:
    state = State(lineage=HELLO.lineage, closed_ops=(ClosedOp(op="a", address=ADDRESS, closed_at=0.0),))
    (drift,) = refreshed_state(state, {"lab": replace(observations(seen()), allocations=(), images=())}).drift
    assert drift.detail == "is left over from a call that took effect late; the next apply removes it"


def test_moved_record_matches_by_origin() -> None:
    node = record().resource
    assert isinstance(node, Node)
    moved = record(resource=replace(node, cluster="other", name="other-frontend"), origin=ADDRESS)
    state = replace(HELLO, records=()).with_record(moved)
    (drift,) = refreshed_state(state, {"lab": replace(observations(), allocations=(), images=())}).drift
    assert (drift.address, drift.kind) == ("lab/other/node/other-frontend", "gone")
    assert refreshed_state(state, {"lab": replace(observations(seen()), allocations=(), images=())}).drift == ()


def test_unrecorded_object_at_a_recorded_address_gets_a_suffix() -> None:
    moved = record(origin="lab/old/node/old-frontend")
    for there, named in ((seen(), "1"), (seen("0123456789", ""), "01234567"), (seen("", ""), "other")):
        (stranger,) = unrecorded_objects((moved,), replace(observations(there), allocations=()), NOTHING)
        assert stranger.address == f"{ADDRESS}#{named}"


def test_network_with_another_vlan_is_lost() -> None:
    granted = ObservedAllocation(
        address="lab/hello/allocation", networks=("private",), public=("192.168.122.10",), vlans=(("private", 99),)
    )
    (drift,) = [
        each
        for each in refreshed_state(HELLO, {"lab": replace(observed(HELLO), allocations=(granted,))}).drift
        if "alloc" in each.address
    ]
    assert drift.detail == "has lost network private"
