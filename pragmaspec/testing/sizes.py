"""The part of the contract on flavors, processors and quotas, for sites that report them."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.planning.allocation.quotas import amounts, quota_rates, rated
from pragmaspec.planning.observed import Quota
from pragmaspec.resources import Node, Resource
from pragmaspec.state_model import Record, State
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject


def quotas(subject: Subject) -> dict[str, Quota]:
    """Return the site's quotas by kind."""
    return {quota.kind: quota for quota in subject.provider.inventory().quotas}


def used_by(subject: Subject, quota: Quota) -> int:
    """Return the use by this stack where the site reports users, else by all."""
    if quota.users:
        return sum(use.amount for use in quota.users if use.lineage == subject.lineage)
    return quota.used


def assert_growth(subject: Subject, before: dict[str, Quota], *added: Resource) -> None:
    """Check that the use of every quota has grown by exactly ``added``."""
    for kind, quota in quotas(subject).items():
        growth = sum(rated(quota_rates(quota), amounts(each)) for each in added)
        assert used_by(subject, quota) - used_by(subject, before[kind]) == growth, kind


@needs("flavors")
def test_flavors_are_complete(subject: Subject) -> None:
    offered = subject.provider.inventory().flavors or ()
    assert offered
    assert len({flavor.name for flavor in offered}) == len(offered)
    for flavor in offered:
        assert flavor.name
        assert flavor.cpus > 0
        assert flavor.memory_mib > 0
        assert flavor.disk_bytes >= 0


@needs("flavors")
def test_a_machine_has_the_size_of_its_flavor(subject: Subject) -> None:
    subject.prepare()
    node = subject.node(cpus=2)
    subject.boot(node)
    (seen,) = subject.observed().nodes
    assert seen.flavor in (None, node.flavor)
    assert (seen.cpus, seen.memory_mib) == (node.cpus, node.memory_mib)


def differences_from(subject: Subject, node: Node) -> list[str]:
    """Return the differences of the only machine from the record of ``node``."""
    records = [Record(resource=each, status="ready") for each in (subject.allocation(), subject.image, node)]
    state = State(lineage=subject.lineage, records=tuple(sorted(records, key=lambda record: record.address)))
    (seen,) = subject.provider.observe(subject.lineage, state).nodes
    return [each.detail for each in seen.differences]


@needs("processors")
def test_a_machine_has_the_processor_of_its_node(subject: Subject) -> None:
    inventory = subject.provider.inventory()
    offered = inventory.processors or ()
    assert inventory.default_processor in ("", *offered)
    subject.prepare()
    for processor in {*offered[:1], *offered[-1:]}:
        node = subject.node(cpu=processor)
        subject.boot(node)
        assert differences_from(subject, node) == []
        subject.provider.shutdown(node, subject.mark(node), grace_s=0)


@needs("flavors")
def test_another_flavor_resizes_the_machine(subject: Subject) -> None:
    subject.prepare()
    small, large = subject.node(), subject.node(cpus=2)
    assert small.flavor != large.flavor
    subject.boot(small)
    subject.provider.shutdown(small, subject.mark(small), grace_s=0)
    subject.boot(large)
    (seen,) = subject.observed().nodes
    assert (seen.cpus, seen.memory_mib, seen.disk) == (large.cpus, large.memory_mib, True)


@needs("flavors")
def test_an_unknown_flavor_is_refused_without_a_trace(subject: Subject) -> None:
    subject.prepare()
    with pytest.raises(SiteError):
        subject.boot(replace(subject.node(), flavor="no-such-flavor"))
    assert subject.observed().nodes == ()


@needs("quotas")
def test_quotas_are_complete(subject: Subject) -> None:
    for kind, quota in quotas(subject).items():
        assert quota.used >= 0, kind
        assert quota.limit is None or quota.limit >= 0, kind
        assert not quota.users or sum(use.amount for use in quota.users) == quota.used, kind
        assert all(use.owner for use in quota.users), kind
    assert len(quotas(subject)) == len(subject.provider.inventory().quotas)


@needs("quotas")
def test_an_allocation_uses_quotas_until_it_is_cleaned(subject: Subject) -> None:
    before = quotas(subject)
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    assert_growth(subject, before, wanted)
    subject.provider.clean(wanted, subject.mark(wanted))
    assert_growth(subject, before)


@needs("quotas")
def test_a_machine_uses_quotas_until_it_is_cleaned(subject: Subject) -> None:
    subject.prepare()
    before = quotas(subject)
    node = subject.node(cpus=2)
    subject.boot(node)
    subject.boot(node)
    assert_growth(subject, before, node)
    subject.provider.clean(node, subject.boot_request(node).mark)
    assert_growth(subject, before)


@needs("few_instances")
def test_a_call_over_quota_is_refused_without_a_trace(subject: Subject) -> None:
    quota = quotas(subject)["instances"]
    assert quota.limit is not None
    subject.prepare()
    booted = [subject.node(f"hello-compute-{index}") for index in range(quota.limit - quota.used)]
    for node in booted:
        subject.boot(node)
    with pytest.raises(SiteCapacityError):
        subject.boot(subject.node())
    assert {seen.address for seen in subject.observed().nodes} == {node.address for node in booted}
