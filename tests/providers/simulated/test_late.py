"""MACs and addresses that a simulated site chooses."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError
from pragmaspec.site import PublicNetwork

ALL = ("macs", "private", "public")


def unknown(node):
    return replace(node, nics=tuple(replace(nic, mac="", address="") for nic in node.nics))


def wanted(stack, **changes):
    granted = tuple(replace(grant, address="") for grant in stack.allocation.public)
    return replace(stack.allocation, public=granted, **changes)


def test_a_boot_names_the_values_of_the_machine_and_a_repeated_one_the_same(make_stack):
    stack = make_stack(late=ALL).prepare()
    first, other = dict(stack.boot(unknown(stack.node(0)))), dict(stack.boot(unknown(stack.node(1))))
    assert first.keys() == {"mac:private", "address:private"}
    assert not set(first.values()) & set(other.values())
    assert dict(stack.boot(unknown(stack.node(0)))) == first
    (nic,) = unknown(stack.node(0)).nics
    known = replace(stack.node(0), nics=(replace(nic, mac=first["mac:private"], address=first["address:private"]),))
    booted_at = stack.world._memory.machine(stack.lineage, known.address).booted_at
    assert dict(stack.boot(known)) == first
    assert stack.world._memory.machine(stack.lineage, known.address).booted_at == booted_at, "it was not restarted"
    seen = next(node for node in stack.observed().nodes if node.address == known.address)
    assert [(each.mac, each.address) for each in seen.interfaces] == [
        tuple(first[key] for key in ("mac:private", "address:private"))
    ]


def test_a_rebuilt_machine_has_new_values(make_stack):
    stack = make_stack(late=ALL).prepare()
    first = dict(stack.boot(unknown(stack.node())))
    stack.provider.clean(stack.node(), stack.mark(stack.node()))
    stack.boot(unknown(stack.node(1)))
    assert not set(dict(stack.boot(unknown(stack.node()), generation=1)).values()) & set(first.values())


def test_a_machine_in_another_network_gets_an_address_there(make_stack):
    stack = make_stack(late=("private",)).prepare()
    first = dict(stack.boot(unknown(stack.node())))
    network = replace(stack.allocation.private, cidr="10.77.0.0/16")
    stack.allocation = replace(stack.allocation, networks=(network,))
    stack.provider.allocate(stack.allocation, stack.mark(stack.allocation))
    moved = dict(stack.boot(unknown(stack.node())))
    assert first["address:private"].startswith("10.20.")
    assert moved["address:private"].startswith("10.77.")


def test_an_allocation_names_its_public_addresses_and_keeps_them(make_stack):
    stack = make_stack(late=ALL)
    first = stack.provider.allocate(wanted(stack), stack.mark(stack.allocation))
    assert [name for name, _ in first] == ["public:hello-frontend"]
    assert stack.provider.allocate(wanted(stack), stack.mark(stack.allocation)) == first
    assert stack.observed().allocations[0].public == (first[0][1],)
    named = stack.provider.allocate(stack.allocation, stack.mark(stack.allocation))
    assert named == (("public:hello-frontend", "192.0.2.10"),)


def test_full_pools_are_errors(make_stack):
    public = PublicNetwork(network="public", addresses=("192.0.2.10",))
    stack = make_stack(late=ALL, public=public)
    first = wanted(stack, networks=(replace(stack.allocation.private, cidr="10.20.0.0/29"),))
    stack.provider.allocate(first, stack.mark(first))
    other = wanted(stack, cluster="other", networks=(replace(stack.allocation.private, vlan=21),))
    with pytest.raises(SiteCapacityError, match="no free public address"):
        stack.provider.allocate(other, stack.mark(other))
    stack.allocation = first
    stack.stage()
    for index in range(5):
        stack.boot(unknown(stack.node(index)))
    with pytest.raises(SiteCapacityError, match=r"10\.20\.0\.0/29 is full"):
        stack.boot(unknown(stack.node(5)))


def test_a_token_names_the_same_request_with_and_without_its_values(make_stack):
    stack = make_stack(late=ALL, identity="token").prepare()
    first = dict(stack.boot(unknown(stack.node())))
    assert dict(stack.boot(unknown(stack.node()))) == first
