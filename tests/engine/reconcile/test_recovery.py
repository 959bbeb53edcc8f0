"""What an action goes on from, given what is recorded and what is there."""

import pytest
from msgspec.structs import replace

from pragmaspec.engine.reconcile.recovery import (
    UNCHANGED,
    Resolution,
    granted_part,
    resolve_allocation,
    resolve_assigned_node,
    resolve_deterministic_node,
)
from pragmaspec.planning.observed import ObservedAllocation, ObservedNode
from pragmaspec.resources import Network
from pragmaspec.state.journal_entries import without_guest_info
from pragmaspec.state_model import Record
from tests.state.samples import ALLOCATION, act, node

NODE = node(0)
BOOT, CLEAN = act("boot", NODE), act("clean", NODE)
PENDING = Record(resource=NODE, status="pending", op="a")
BOUND = replace(PENDING, outputs=(("id", "1"),))
NOTHING: frozenset[str] = frozenset()


def seen(op="a", site_id="1", made=1.0, generation=0, **more):
    return ObservedNode(address=NODE.address, generation=generation, status="running", op=op, id=site_id, made=made, **more)


def made(record, *there, action=BOOT, closed=NOTHING, kind="tag", waited=False):
    return resolve_assigned_node(action, record, there, closed, kind, waited=waited)


# the site makes identities up


def test_found_once_is_bound():
    assert made(PENDING, seen()) == Resolution(record=BOUND)


def test_of_several_the_oldest_is_bound():
    assert made(PENDING, seen(site_id="2", made=2.0), seen(), seen(site_id="3", made=3.0)) == Resolution(record=BOUND)


def test_what_was_bound_stays_bound():
    assert made(BOUND, seen(), seen(site_id="0", made=0.0)) == UNCHANGED


def test_not_found_is_waited_for_and_then_repeated():
    assert made(PENDING) == Resolution(unseen=True)
    assert made(PENDING, waited=True) == UNCHANGED
    assert made(PENDING, action=CLEAN) == Resolution(unseen=True), "it may yet come, and must then be removed"
    assert made(PENDING, action=CLEAN, waited=True) == UNCHANGED


def test_a_token_is_repeated_at_once_for_the_same_request_only():
    larger = act("boot", replace(NODE, cpus=9))
    assert made(PENDING, kind="token") == UNCHANGED
    assert made(PENDING, kind="token", action=larger) == Resolution(unseen=True)
    assert made(PENDING, kind="token", action=larger, waited=True) == Resolution(record=replace(PENDING, op=""))
    assert made(PENDING, kind="token", action=CLEAN) == Resolution(unseen=True)


def test_without_a_record_ours_is_adopted_and_its_guest_counts_as_untold():
    adopted = Record(resource=without_guest_info(NODE), status="pending", op="a", outputs=(("id", "1"),), generation=2)
    assert made(None, seen(generation=2)) == Resolution(record=adopted)
    assert made(None, seen(), closed=frozenset("a")) == UNCHANGED, "a leftover is not"
    assert made(None, seen(), action=CLEAN) == UNCHANGED
    assert made(None) == UNCHANGED


def test_another_creation_is_adopted_where_ours_is_not_to_be_seen():
    assert made(PENDING, seen(op="b", site_id="7")) == Resolution(record=replace(PENDING, op="b", outputs=(("id", "7"),)))
    assert made(PENDING, seen(op="b"), closed=frozenset("b")) == Resolution(unseen=True)
    assert made(replace(PENDING, generation=1), seen(op="b")) == Resolution(unseen=True), "an older build is none of ours"


def test_a_known_machine_that_is_gone_is_made_by_a_new_creation():
    ready = replace(BOUND, status="ready")
    assert made(ready) == Resolution(record=replace(ready, op=""))
    assert made(ready, action=CLEAN) == UNCHANGED
    assert made(BOUND) == UNCHANGED, "it was only just made, and may not show yet: the provider reads it by its id"


def test_a_known_machine_has_the_op_that_it_carries():
    assert made(BOUND, seen(op="b"), closed=frozenset("b")) == Resolution(record=replace(BOUND, op="b"))


# we choose identities


def test_where_we_choose_identities_there_is_nothing_to_find_out():
    assert resolve_deterministic_node(BOOT, PENDING, (), NOTHING) == UNCHANGED
    assert resolve_deterministic_node(BOOT, PENDING, (seen(),), NOTHING) == UNCHANGED
    assert resolve_deterministic_node(BOOT, None, (), NOTHING) == UNCHANGED
    assert resolve_deterministic_node(BOOT, PENDING, (seen(op=""),), NOTHING) == UNCHANGED, "made before ops were written down"


def test_what_was_made_from_a_state_that_was_put_back_is_adopted_as_the_build_it_is():
    adopted = Record(resource=without_guest_info(NODE), status="pending", op="b", outputs=(("id", "1"),), generation=3)
    assert resolve_deterministic_node(BOOT, None, (seen(op="b", generation=3),), NOTHING) == Resolution(record=adopted)
    assert resolve_deterministic_node(BOOT, PENDING, (seen(op="b", generation=3),), NOTHING) == Resolution(
        record=replace(PENDING, op="b", generation=3)
    )


def test_an_earlier_build_is_none_of_the_records():
    later = replace(PENDING, generation=2)
    assert resolve_deterministic_node(BOOT, later, (seen(op="b", generation=1),), frozenset("b")) == UNCHANGED


def test_whether_a_known_machine_is_there_to_be_shut_down_is_waited_for():
    off = act("shutdown", NODE)
    assert made(BOUND, action=off) == Resolution(unseen=True)
    assert made(BOUND, action=off, waited=True) == UNCHANGED
    assert made(replace(BOUND, status="ready"), action=off) == UNCHANGED


@pytest.mark.parametrize("there", [seen(disk=False), seen(op="x")])
def test_leftovers_are_not_adopted(there):
    assert resolve_deterministic_node(BOOT, None, (there,), frozenset("x")) == UNCHANGED


# allocations


GRANTED = ObservedAllocation(
    address=ALLOCATION.address, networks=("private",), vlans=(("private", 22),), public=("192.0.2.10",), op="a"
)
HELD = Record(resource=ALLOCATION, op="a")


def test_an_allocation_has_the_op_that_it_carries():
    assert resolve_allocation(HELD, GRANTED) == resolve_allocation(HELD, None) == resolve_allocation(None, GRANTED) == UNCHANGED
    assert resolve_allocation(HELD, replace(GRANTED, op="b")) == Resolution(record=replace(HELD, op="b"))
    assert resolve_allocation(HELD, replace(GRANTED, op="")) == UNCHANGED


def test_of_what_the_site_refuses_only_what_it_holds_is_kept():
    wanted = replace(ALLOCATION, networks=(*ALLOCATION.networks, Network(name="storage", cidr="10.30.0.0/24", vlan=30)))
    grown = replace(HELD, resource=wanted)
    assert granted_part(grown, GRANTED) == replace(HELD, status="pending")
    assert granted_part(HELD, GRANTED) is HELD
    assert granted_part(HELD, replace(GRANTED, public=())) == Record(
        resource=replace(ALLOCATION, public=()), op="a", status="pending"
    )


def test_where_another_number_is_held_nothing_is_kept():
    assert granted_part(HELD, None) is None
    assert granted_part(HELD, replace(GRANTED, vlans=(("private", 23),))) is None
