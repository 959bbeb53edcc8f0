"""What is removed as left over, and above all what is not."""

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


def found(state, *there, kind="tag", images=()):
    nodes = tuple(each for each in there if isinstance(each, ObservedNode))
    allocations = tuple(each for each in there if isinstance(each, ObservedAllocation))
    identity = SiteIdentity(id="lab", title="lab")
    return find_leftovers(
        state, Observations(site="lab", identity=identity, nodes=nodes, allocations=allocations, images=images), kind
    )


def leftover(site_id, op, address=NODE.address):
    return Leftover(site_id, Mark(lineage=LINEAGE, address=address, op=op))


def test_a_second_machine_of_one_creation_goes():
    assert found(STATE, seen(), seen(site_id="2")) == [leftover("2", "a")]


def test_before_one_is_bound_none_is_a_second_one():
    pending = STATE.with_record(replace(READY, status="pending", outputs=()))
    assert found(pending, seen(), seen(site_id="2")) == []


def test_a_machine_of_an_unknown_creation_stays():
    assert found(STATE, seen(), seen(site_id="2", op="b")) == []
    assert found(State(lineage=LINEAGE), seen()) == []


def test_what_carries_an_op_that_is_over_goes():
    over = replace(STATE, closed_ops=CLOSED)
    assert found(over, seen(), seen(site_id="9", op="x")) == [leftover("9", "x")]
    assert found(replace(over, records=()), seen(op="x")) == [leftover("1", "x")]
    assert found(over, seen(op="x")) == [], "the recorded machine itself, whatever it carries"


def test_where_we_choose_identities_the_machine_of_a_record_is_the_machine():
    over = replace(STATE.with_record(replace(READY, outputs=())), closed_ops=CLOSED)
    assert found(over, seen(op="x"), kind="ident") == []
    assert found(replace(over, records=()), seen(op="x"), kind="ident") == [leftover("1", "x")]
    rebuilt = over.with_record(replace(READY, outputs=(), generation=1))
    assert found(rebuilt, seen(op="x"), kind="ident") == [leftover("1", "x")], "but for an earlier build that came late"


def test_an_allocation_that_came_late_goes():
    late = ObservedAllocation(address=ALLOCATION.address, op="x", id="g")
    over = State(lineage=LINEAGE, closed_ops=CLOSED)
    assert found(over, late) == [leftover("g", "x", ALLOCATION.address)]
    assert found(over, replace(late, op="b")) == []
    assert found(over.with_record(Record(resource=ALLOCATION, op="c")), late) == []


def test_an_image_that_came_late_goes_unless_an_unknown_machine_may_stand_on_it():
    over = State(lineage=LINEAGE, closed_ops=(ClosedOp(op="i", address=IMAGE.address, closed_at=0.0),))
    assert found(over, images=(IMAGE.digest,)) == [leftover(IMAGE.digest, "i", IMAGE.address)]
    assert found(over, seen(op="b"), images=(IMAGE.digest,)) == []
    assert found(over.with_record(Record(resource=IMAGE, op="j")), images=(IMAGE.digest,)) == []
    assert found(replace(over, closed_ops=()), images=(IMAGE.digest,)) == []


def test_what_was_moved_is_known_by_the_address_it_was_made_under():
    moved = Record(resource=node(0, cluster="other"), op="a", outputs=(("id", "1"),), origin=NODE.address)
    state = replace(State(lineage=LINEAGE).with_record(moved), closed_ops=CLOSED)
    assert found(state, seen()) == []
    assert found(state, seen(), seen(site_id="2")) == [leftover("2", "a")]


def test_only_where_something_can_be_left_over_anybody_looks():
    assert not may_have_leftovers(FakeProvider())
    assert not may_have_leftovers(open_provider(LibvirtSite(name="lab")))
    assert not may_have_leftovers(open_provider(SimulatedSite(name="lab", file=":memory:")))
    assert may_have_leftovers(open_provider(SimulatedSite(name="lab", file=":memory:", window_s=1.0)))
    assert may_have_leftovers(open_provider(SimulatedSite(name="lab", file=":memory:", identity="tag")))
