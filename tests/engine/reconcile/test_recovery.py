"""The record that an action starts from, given the recorded and the observed state."""

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


def resolve_node(record, *observed, action=BOOT, closed=NOTHING, kind="tag", waited=False):
    return resolve_assigned_node(action, record, observed, closed, kind, waited=waited)


# identities assigned by the site


def test_a_single_matching_machine_is_bound():
    assert resolve_node(PENDING, seen()) == Resolution(record=BOUND)


def test_the_oldest_of_several_machines_is_bound():
    assert resolve_node(PENDING, seen(site_id="2", made=2.0), seen(), seen(site_id="3", made=3.0)) == Resolution(record=BOUND)


def test_a_bound_machine_stays_bound():
    assert resolve_node(BOUND, seen(), seen(site_id="0", made=0.0)) == UNCHANGED


def test_an_unseen_machine_is_awaited_before_the_call_is_repeated():
    assert resolve_node(PENDING) == Resolution(unseen=True)
    assert resolve_node(PENDING, waited=True) == UNCHANGED
    assert resolve_node(PENDING, action=CLEAN) == Resolution(unseen=True), "it may still appear, and must then be removed"
    assert resolve_node(PENDING, action=CLEAN, waited=True) == UNCHANGED


def test_a_token_request_is_repeated_at_once_only_if_unchanged():
    assert resolve_node(PENDING, kind="token") == UNCHANGED
    for other in (act("boot", replace(NODE, cpus=9)), act("boot", replace(NODE, cpu="x86-64-v3"))):
        assert resolve_node(PENDING, kind="token", action=other) == Resolution(unseen=True)
        assert resolve_node(PENDING, kind="token", action=other, waited=True) == Resolution(record=replace(PENDING, op=""))
    assert resolve_node(PENDING, kind="token", action=CLEAN) == Resolution(unseen=True)


def test_an_unrecorded_machine_is_adopted_without_guest_info():
    adopted = Record(resource=without_guest_info(NODE), status="pending", op="a", outputs=(("id", "1"),), generation=2)
    assert resolve_node(None, seen(generation=2)) == Resolution(record=adopted)
    assert resolve_node(None, seen(), closed=frozenset("a")) == UNCHANGED, "leftovers are not adopted"
    assert resolve_node(None, seen(), action=CLEAN) == UNCHANGED
    assert resolve_node(None) == UNCHANGED


def test_a_machine_with_another_op_is_adopted_when_the_recorded_one_is_unseen():
    assert resolve_node(PENDING, seen(op="b", site_id="7")) == Resolution(record=replace(PENDING, op="b", outputs=(("id", "7"),)))
    assert resolve_node(PENDING, seen(op="b"), closed=frozenset("b")) == Resolution(unseen=True)
    assert resolve_node(replace(PENDING, generation=1), seen(op="b")) == Resolution(unseen=True), (
        "machines of an older generation are not adopted"
    )


def test_a_vanished_ready_machine_is_recreated_with_a_new_op():
    ready = replace(BOUND, status="ready")
    assert resolve_node(ready) == Resolution(record=replace(ready, op=""))
    assert resolve_node(ready, action=CLEAN) == UNCHANGED
    assert resolve_node(BOUND) == UNCHANGED, "a new machine may not be listed yet; the provider reads it by its id"


def test_a_bound_record_takes_the_op_of_its_machine():
    assert resolve_node(BOUND, seen(op="b"), closed=frozenset("b")) == Resolution(record=replace(BOUND, op="b"))


# identities chosen by pragmaspec


def test_chosen_identities_need_no_resolution():
    assert resolve_deterministic_node(BOOT, PENDING, (), NOTHING) == UNCHANGED
    assert resolve_deterministic_node(BOOT, PENDING, (seen(),), NOTHING) == UNCHANGED
    assert resolve_deterministic_node(BOOT, None, (), NOTHING) == UNCHANGED
    assert resolve_deterministic_node(BOOT, PENDING, (seen(op=""),), NOTHING) == UNCHANGED, "created before ops were recorded"


def test_after_a_state_restore_a_machine_is_adopted_with_its_generation():
    adopted = Record(resource=without_guest_info(NODE), status="pending", op="b", outputs=(("id", "1"),), generation=3)
    assert resolve_deterministic_node(BOOT, None, (seen(op="b", generation=3),), NOTHING) == Resolution(record=adopted)
    assert resolve_deterministic_node(BOOT, PENDING, (seen(op="b", generation=3),), NOTHING) == Resolution(
        record=replace(PENDING, op="b", generation=3)
    )


def test_an_earlier_generation_is_not_adopted():
    later = replace(PENDING, generation=2)
    assert resolve_deterministic_node(BOOT, later, (seen(op="b", generation=1),), frozenset("b")) == UNCHANGED


def test_shutdown_waits_for_an_unseen_bound_machine():
    off = act("shutdown", NODE)
    assert resolve_node(BOUND, action=off) == Resolution(unseen=True)
    assert resolve_node(BOUND, action=off, waited=True) == UNCHANGED
    assert resolve_node(replace(BOUND, status="ready"), action=off) == UNCHANGED


@pytest.mark.parametrize("machine", [seen(disk=False), seen(op="x")])
def test_leftovers_are_not_adopted(machine):
    assert resolve_deterministic_node(BOOT, None, (machine,), frozenset("x")) == UNCHANGED


# allocations


GRANTED = ObservedAllocation(
    address=ALLOCATION.address, networks=("private",), vlans=(("private", 22),), public=("192.0.2.10",), op="a"
)
HELD = Record(resource=ALLOCATION, op="a")


def test_a_recorded_allocation_takes_the_observed_op():
    assert resolve_allocation(HELD, GRANTED) == resolve_allocation(HELD, None) == resolve_allocation(None, GRANTED) == UNCHANGED
    assert resolve_allocation(HELD, replace(GRANTED, op="b")) == Resolution(record=replace(HELD, op="b"))
    assert resolve_allocation(HELD, replace(GRANTED, op="")) == UNCHANGED


def test_a_refused_allocation_keeps_only_the_granted_part():
    wanted = replace(ALLOCATION, networks=(*ALLOCATION.networks, Network(name="storage", cidr="10.30.0.0/24", vlan=30)))
    grown = replace(HELD, resource=wanted)
    assert granted_part(grown, GRANTED) == replace(HELD, status="pending")
    assert granted_part(HELD, GRANTED) is HELD
    assert granted_part(HELD, replace(GRANTED, public=())) == Record(
        resource=replace(ALLOCATION, public=()), op="a", status="pending"
    )


def test_an_allocation_with_another_vlan_keeps_nothing():
    assert granted_part(HELD, None) is None
    assert granted_part(HELD, replace(GRANTED, vlans=(("private", 23),))) is None


def test_of_networks_without_vlans_those_stay_that_the_site_reports():
    private, lan = (
        replace(each, vlan=None) for each in (ALLOCATION.private, Network(name="lan", cidr="10.31.0.0/24", bridge="br0"))
    )
    storage = Network(name="storage", cidr="10.30.0.0/24")
    held = replace(HELD, resource=replace(ALLOCATION, networks=(private, storage, lan)))
    there = replace(GRANTED, vlans=(), networks=("private",))
    part = granted_part(held, there)
    assert [network.name for network in part.resource.networks] == ["private", "lan"]
    assert granted_part(held, replace(there, networks=("storage",))) is None
