"""Objects of a renamed cluster stay the same at a libvirt site: they are identified by their mark."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.wanted import Move
from pragmaspec.providers.base import BootRequest
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import Record, State


@pytest.fixture(params=["fake_stack", pytest.param("real_stack", marks=pytest.mark.hypervisor)])
def stack(request):
    return request.getfixturevalue(request.param)


def moved(stack, node: Node, allocation: Allocation) -> tuple[Record, Record]:
    """The records of both after their cluster was renamed."""
    records = (Record(resource=allocation), Record(resource=node))
    state = State(lineage=stack.lineage).with_records(records)
    after = moved_state(state, (Move(before="hello", after="world"),))
    return next(one for one in after.records if isinstance(one.resource, Allocation)), next(
        one for one in after.records if isinstance(one.resource, Node)
    )


def listing_of(stack):
    observed = stack.observed()
    return (
        [(node.address, node.generation, node.status) for node in observed.nodes],
        [(one.address, one.networks, one.public) for one in observed.allocations],
    )


def test_a_renamed_cluster_is_the_same_objects(stack):
    allocation, node = stack.allocation(public=True), stack.node()
    stack.allocate(allocation)
    stack.stage()
    stack.provider.boot(replace(stack.boot_request(node), allocation=allocation))
    before = listing_of(stack)
    granted, machine = moved(stack, node, allocation)
    assert machine.resource.name == "world-frontend"
    stack.provider.allocate(granted.resource, granted.mark(stack.lineage))
    stack.provider.boot(
        BootRequest(
            node=machine.resource,
            allocation=granted.resource,
            image=stack.image,
            mark=machine.mark(stack.lineage),
            seed=b"a fake seed".ljust(2048, b"\0"),
        )
    )
    assert listing_of(stack) == before, "no object is created"
    stack.provider.shutdown(machine.resource, machine.mark(stack.lineage), 0)
    assert [status for _, _, status in listing_of(stack)[0]] == ["off"]
    stack.provider.console_log(machine.resource, machine.mark(stack.lineage))
    stack.provider.clean(machine.resource, machine.mark(stack.lineage))
    stack.provider.clean(granted.resource, granted.mark(stack.lineage))
    assert listing_of(stack) == ([], [])


def test_a_rebuilt_node_of_a_renamed_cluster_keeps_its_claims(stack):
    allocation, node = stack.allocation(public=True), stack.node()
    stack.allocate(allocation)
    stack.stage()
    granted, machine = moved(stack, node, allocation)
    anew = stack.mark(machine.resource, 1)
    stack.provider.boot(
        replace(stack.boot_request(node), node=machine.resource, allocation=granted.resource, mark=anew),
    )
    observed = listing_of(stack)
    assert [address for address, _, _ in observed[0]] == [machine.address]
    assert observed[1] == [(granted.original_address, ("private",), tuple(grant.address for grant in allocation.public))]
    stack.provider.clean(machine.resource, anew)
    stack.provider.clean(granted.resource, granted.mark(stack.lineage))
    assert listing_of(stack) == ([], [])
