"""Which observed objects are leftovers, and which must be kept."""

from msgspec.structs import replace

from pragmaspec.engine.reconcile.leftovers import Leftover, find_leftovers, may_have_leftovers
from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedNode, SiteIdentity
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Mark
from pragmaspec.site import LibvirtSite, SimulatedSite
from pragmaspec.state_model import ClosedOp, Record, State
from tests.engine.fake_provider import FakeProvider
from tests.state.samples import ALLOCATION, IMAGE, LINEAGE, node

NODE = node(0)
READY = Record(resource=NODE, op="a", outputs=(("id", "1"),))
STATE = State(lineage=LINEAGE).with_record(READY)
CLOSED = (ClosedOp(op="x", address=NODE.address, closed_at=0.0),)


def seen(op="a", site_id="1", address=NODE.address, generation=0):
    return ObservedNode(address=address, generation=generation, status="running", op=op, id=site_id)


def leftovers(state, *observed, kind="tag", images=()):
    nodes = tuple(each for each in observed if isinstance(each, ObservedNode))
    allocations = tuple(each for each in observed if isinstance(each, ObservedAllocation))
    identity = SiteIdentity(id="lab", title="lab")
    return find_leftovers(
        state, Observations(site="lab", identity=identity, nodes=nodes, allocations=allocations, images=images), kind
    )


def leftover(site_id, op, address=NODE.address):
    return Leftover(site_id, Mark(lineage=LINEAGE, address=address, op=op))


def test_a_duplicate_machine_of_a_bound_op_is_a_leftover():
    assert leftovers(STATE, seen(), seen(site_id="2")) == [leftover("2", "a")]


def test_machines_of_an_unbound_op_are_not_leftovers():
    pending = STATE.with_record(replace(READY, status="pending", outputs=()))
    assert leftovers(pending, seen(), seen(site_id="2")) == []


def test_a_machine_with_an_unknown_op_is_not_a_leftover():
    assert leftovers(STATE, seen(), seen(site_id="2", op="b")) == []
    assert leftovers(State(lineage=LINEAGE), seen()) == []


def test_a_machine_with_a_closed_op_is_a_leftover():
    over = replace(STATE, closed_ops=CLOSED)
    assert leftovers(over, seen(), seen(site_id="9", op="x")) == [leftover("9", "x")]
    assert leftovers(replace(over, records=()), seen(op="x")) == [leftover("1", "x")]
    assert leftovers(over, seen(op="x")) == [], "the recorded machine is kept, with any op"


def test_with_chosen_identities_the_recorded_machine_is_not_a_leftover():
    over = replace(STATE.with_record(replace(READY, outputs=())), closed_ops=CLOSED)
    assert leftovers(over, seen(op="x"), kind="ident") == []
    assert leftovers(replace(over, records=()), seen(op="x"), kind="ident") == [leftover("1", "x")]
    rebuilt = over.with_record(replace(READY, outputs=(), generation=1))
    assert leftovers(rebuilt, seen(op="x"), kind="ident") == [leftover("1", "x")], (
        "except a late machine of an earlier generation"
    )


def test_a_late_allocation_is_a_leftover():
    late = ObservedAllocation(address=ALLOCATION.address, op="x", id="g")
    over = State(lineage=LINEAGE, closed_ops=CLOSED)
    assert leftovers(over, late) == [leftover("g", "x", ALLOCATION.address)]
    assert leftovers(over, replace(late, op="b")) == []
    assert leftovers(over.with_record(Record(resource=ALLOCATION, op="c")), late) == []


def test_a_late_image_is_a_leftover_unless_an_unknown_machine_may_use_it():
    over = State(lineage=LINEAGE, closed_ops=(ClosedOp(op="i", address=IMAGE.address, closed_at=0.0),))
    assert leftovers(over, images=(IMAGE.digest,)) == [leftover(IMAGE.digest, "i", IMAGE.address)]
    assert leftovers(over, seen(op="b"), images=(IMAGE.digest,)) == []
    assert leftovers(over.with_record(Record(resource=IMAGE, op="j")), images=(IMAGE.digest,)) == []
    assert leftovers(replace(over, closed_ops=()), images=(IMAGE.digest,)) == []


def test_a_moved_record_matches_its_original_address():
    moved = Record(resource=node(0, cluster="other"), op="a", outputs=(("id", "1"),), origin=NODE.address)
    state = replace(State(lineage=LINEAGE).with_record(moved), closed_ops=CLOSED)
    assert leftovers(state, seen()) == []
    assert leftovers(state, seen(), seen(site_id="2")) == [leftover("2", "a")]


def test_leftovers_are_possible_only_with_a_window_or_tags():
    assert not may_have_leftovers(FakeProvider())
    assert not may_have_leftovers(open_provider(LibvirtSite(name="lab")))
    assert not may_have_leftovers(open_provider(SimulatedSite(name="lab", file=":memory:")))
    assert may_have_leftovers(open_provider(SimulatedSite(name="lab", file=":memory:", window_s=1.0)))
    assert may_have_leftovers(open_provider(SimulatedSite(name="lab", file=":memory:", identity="tag")))
