"""The part of the contract on values that only the site chooses, for sites that declare them (``Site.late_values``)."""

from msgspec.structs import replace

from pragmaspec.resources import Allocation, Node, Outputs
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject


def boot_values(subject: Subject, node: Node, generation: int = 0) -> dict[str, str]:
    """Boot ``node``, and return the values that the site has chosen for its machine."""
    return {name: value for name, value in subject.boot(node, generation) if name.startswith(("mac:", "address:"))}


def with_public_grant(subject: Subject, cluster: str = "hello", *, offset: int = 0) -> Allocation:
    """Return an allocation with a public address of the site's choice."""
    return replace(subject.allocation(cluster, offset=offset), public=(subject.grant(cluster, ""),))


def public_values(outputs: Outputs) -> dict[str, str]:
    """Return the public addresses among ``outputs``."""
    return {name: value for name, value in outputs if name.startswith("public:")}


@needs("late_macs or late_private")
def test_a_boot_names_every_value_that_the_site_chooses(subject: Subject) -> None:
    subject.prepare()
    late = subject.site.late_values
    expected = {name for name, kind in (("mac:private", "macs"), ("address:private", "private")) if kind in late}
    found = boot_values(subject, subject.node())
    assert found.keys() == expected
    assert all(found.values())


@needs("late_macs or late_private")
def test_a_repeated_boot_names_the_same_values(subject: Subject) -> None:
    """Its answer may have been lost, so that the machine's id is unknown where the site assigns it by token or chooses none."""
    subject.prepare()
    node = subject.node()
    first = boot_values(subject, node)
    if subject.provider.identity_kind != "tag":
        subject.ids.clear()
    assert boot_values(subject, node) == first
    assert len(subject.observed().nodes) == 1


@needs("late_macs or late_private")
def test_a_boot_with_known_values_changes_nothing(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    first = boot_values(subject, node)
    before = subject.observed()
    assert boot_values(subject, known(node, first)) == first
    assert subject.observed() == before


@needs("late_macs or late_private")
def test_a_machine_that_was_off_keeps_its_values(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    first = boot_values(subject, node)
    subject.provider.shutdown(known(node, first), subject.boot_request(node).mark, grace_s=0)
    assert boot_values(subject, known(node, first)) == first


@needs("late_macs or late_private")
def test_machines_have_different_values(subject: Subject) -> None:
    subject.prepare()
    found = [boot_values(subject, subject.node(f"hello-compute-{index}")) for index in range(3)]
    assert len({value for values in found for value in values.values()}) == sum(map(len, found))


@needs("late_macs or late_private")
def test_reported_interfaces_have_the_values_that_the_boot_named(subject: Subject) -> None:
    subject.prepare()
    found = boot_values(subject, subject.node())
    (seen,) = subject.observed().nodes
    for each in seen.interfaces:
        assert each.mac in ("", found.get(f"mac:{each.network}"))
        assert each.address in ("", found.get(f"address:{each.network}"))


@needs("late_public")
def test_an_allocation_names_its_public_address_and_keeps_it(subject: Subject) -> None:
    wanted = with_public_grant(subject)
    mark = subject.mark(wanted)
    found = public_values(subject.provider.allocate(wanted, mark))
    assert found.keys() == {"public:hello-frontend"}
    address = found["public:hello-frontend"]
    assert subject.observed().allocations[0].public == (address,)
    assert public_values(subject.provider.allocate(wanted, mark)) == found, "its answer may have been lost"
    granted = replace(wanted, public=(replace(wanted.public[0], address=address),))
    assert public_values(subject.provider.allocate(granted, mark)) == found
    assert subject.observed().allocations[0].public == (address,)


@needs("late_public")
def test_two_allocations_have_different_public_addresses(subject: Subject) -> None:
    both = (with_public_grant(subject), with_public_grant(subject, "second", offset=1))
    found = [public_values(subject.provider.allocate(wanted, subject.mark(wanted))) for wanted in both]
    assert len({address for values in found for address in values.values()}) == 2


def known(node: Node, values: dict[str, str]) -> Node:
    """Return ``node`` with the ``values`` that the site has chosen, as it is recorded then."""
    nics = tuple(
        replace(nic, mac=values.get(f"mac:{nic.network}", nic.mac), address=values.get(f"address:{nic.network}", nic.address))
        for nic in node.nics
    )
    return replace(node, nics=nics)
