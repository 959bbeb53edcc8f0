"""What differs between desired and recorded, and how it is explained field by field."""

from msgspec.structs import replace

from pragmaspec.planning.desired import Desired
from pragmaspec.planning.diff import changed_fields, changes, nested_differences
from pragmaspec.resources import Network
from tests.planning.world import EMPTY, cluster, line, settled

HELLO = settled(cluster(computes=1))
FRONTEND, COMPUTE = HELLO.nodes()


def everything() -> list[Desired]:
    return [Desired(record.resource, None) for record in HELLO.records]


def test_nothing_differs_from_itself() -> None:
    assert changes(everything(), HELLO) == []


def test_what_is_new_carries_the_line_that_asks_for_it() -> None:
    found = changes([Desired(FRONTEND, line(7))], EMPTY)
    assert [(change.address, change.before, change.where) for change in found] == [(FRONTEND.address, None, line(7))]


def test_what_is_no_longer_wanted_comes_last_by_address() -> None:
    found = changes([], HELLO)
    assert [change.address for change in found] == sorted(record.address for record in HELLO.records)
    assert all(change.after is None for change in found)


def test_changed_fields_are_named_in_the_order_they_are_declared() -> None:
    assert changed_fields(COMPUTE, replace(COMPUTE, keys="x", cpus=9)) == ("cpus", "keys")


def test_what_drifted_is_a_change_though_facts_and_wishes_agree() -> None:
    found = changes(everything(), HELLO, frozenset({COMPUTE.address}))
    assert [(change.address, change.fields) for change in found] == [(COMPUTE.address, ())]


def test_a_node_that_is_off_cannot_be_told_anything_but_its_other_changes_count() -> None:
    state = HELLO.with_record(replace(HELLO.record(COMPUTE.address), resource=replace(COMPUTE, running=False)))
    asked = [Desired(replace(COMPUTE, running=False, keys="new", peers="new", memory_mib=9), None)]
    assert [change.fields for change in changes(asked, state) if change.after] == [("memory_mib",)]


def test_differences_are_explained_one_a_line_with_their_place() -> None:
    before = HELLO.record("lab/hello/allocation").resource
    after = replace(
        before,
        networks=(replace(before.private, cidr="10.21.0.0/16"), Network(name="storage", cidr="10.9.0.0/24", vlan=21)),
        public=(replace(before.public[0], gateway=None),),
    )
    assert nested_differences(before, after) == (
        "networks[0].cidr: 10.20.0.0/16 → 10.21.0.0/16",
        "networks[1]: none → {'name': 'storage', 'cidr': '10.9.0.0/24', 'vlan': 21}",
        "public[0].gateway: 192.168.122.1 → none",
    )
    assert nested_differences(before, before) == ()
