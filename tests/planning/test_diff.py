"""Differences between desired and recorded resources."""

from msgspec.structs import replace

from pragmaspec.planning.desired import Desired
from pragmaspec.planning.diff import changed_fields, changes, nested_differences
from pragmaspec.resources import Network
from tests.planning.builders import EMPTY, applied_state, cluster, line

HELLO = applied_state(cluster(computes=1))
FRONTEND, COMPUTE = HELLO.nodes()


def everything() -> list[Desired]:
    return [Desired(record.resource, None) for record in HELLO.records]


def test_equal_resources_do_not_differ() -> None:
    assert changes(everything(), HELLO) == []


def test_new_resource_has_its_line_of_the_spec() -> None:
    found = changes([Desired(FRONTEND, line(7))], EMPTY)
    assert [(change.address, change.before, change.where) for change in found] == [(FRONTEND.address, None, line(7))]


def test_unwanted_resources_are_last_by_address() -> None:
    found = changes([], HELLO)
    assert [change.address for change in found] == sorted(record.address for record in HELLO.records)
    assert all(change.after is None for change in found)


def test_changed_fields_are_in_declared_order() -> None:
    assert changed_fields(COMPUTE, replace(COMPUTE, keys="x", cpus=9)) == ("cpus", "keys")


def test_drifted_resource_counts_as_changed() -> None:
    found = changes(everything(), HELLO, frozenset({COMPUTE.address}))
    assert [(change.address, change.fields) for change in found] == [(COMPUTE.address, ())]


def test_keys_and_members_of_a_node_that_is_off_do_not_count() -> None:
    state = HELLO.with_record(replace(HELLO.record(COMPUTE.address), resource=replace(COMPUTE, running=False)))
    asked = [Desired(replace(COMPUTE, running=False, keys="new", peers="new", memory_mib=9), None)]
    assert [change.fields for change in changes(asked, state) if change.after] == [("memory_mib",)]


def test_differences_of_records_have_their_path() -> None:
    before = HELLO.record("lab/hello/allocation")
    allocation = before.resource
    after = replace(
        before,
        status="degraded",
        resource=replace(
            allocation,
            networks=(replace(allocation.private, cidr="10.21.0.0/16"), Network(name="storage", cidr="10.9.0.0/24", vlan=21)),
            public=(replace(allocation.public[0], gateway=None),),
        ),
    )
    assert nested_differences(before, after) == (
        "resource.networks[0].cidr: 10.20.0.0/16 → 10.21.0.0/16",
        (
            "resource.networks[1]: none → {'name': 'storage', 'cidr': '10.9.0.0/24', 'vlan': 21, 'bridge': None, 'mtu': 1500, "
            "'gateway': None, 'dhcp': False}"
        ),
        "resource.public[0].gateway: 192.168.122.1 → none",
        "status: ready → degraded",
    )
    assert nested_differences(before, before) == ()
