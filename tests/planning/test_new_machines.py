"""The nodes for which a plan makes new machines."""

from msgspec.structs import replace

from pragmaspec.planning.new_machines import NewMachines
from pragmaspec.resources import Node
from tests.planning.builders import EMPTY, applied_state, cluster

STATE = applied_state(cluster(computes=1))
NODE: Node = STATE.nodes()[-1]


def test_a_node_without_a_record_or_a_machine_gets_one() -> None:
    assert NewMachines(EMPTY, ()).has(NODE)
    assert NewMachines(EMPTY, ()).recorded(NODE) is None
    assert NewMachines(STATE, {NODE.address}).has(NODE)
    assert NewMachines(STATE, ()).recorded(NODE) == NODE


def test_only_a_rebuild_of_a_recorded_node_makes_one() -> None:
    new = NewMachines(STATE, ())
    assert not new.has(NODE)
    assert not new.has(replace(NODE, cpus=NODE.cpus + 1)), "a reboot"
    assert new.has(replace(NODE, first_boot="0" * 64))


def test_an_unfinished_boot_may_have_made_none() -> None:
    record = STATE.record(NODE.address)
    assert record is not None
    new = NewMachines(STATE.with_record(replace(record, status="pending")), ())
    assert (new.has(NODE), new.may_have(NODE)) == (False, True)
    assert not NewMachines(STATE, ()).may_have(NODE)
    assert NewMachines(EMPTY, ()).may_have(NODE)
