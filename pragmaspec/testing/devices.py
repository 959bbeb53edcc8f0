"""The part of the contract on devices of hosts, for sites that report free ones in their inventories."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.observed import ExclusiveUse
from pragmaspec.resources import Node, NodeDevice
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject, free_devices


def node_with_device(subject: Subject, name: str = "hello-frontend") -> Node:
    """Return a node with the first free device."""
    device = free_devices(subject.provider.inventory())[0]
    return subject.node(name, devices=(NodeDevice(alias=device.aliases[0], address=device.address),))


def users(subject: Subject, node: Node) -> list[tuple[str | None, str | None, bool]]:
    """Return lineage and address of the users of the node's device, and whether they run."""
    uses: tuple[ExclusiveUse, ...] = subject.provider.inventory().device_uses
    return [(use.lineage, use.address, use.running) for use in uses if use.value == node.devices[0].address]


@needs("devices")
def test_a_device_is_in_use_until_its_machine_is_cleaned(subject: Subject) -> None:
    subject.prepare()
    node = node_with_device(subject)
    mark = subject.boot_request(node).mark
    subject.boot(node)
    assert users(subject, node) == [(subject.lineage, node.address, True)]
    subject.provider.shutdown(node, mark, grace_s=0)
    assert users(subject, node) == [(subject.lineage, node.address, False)]
    subject.boot(node)
    assert users(subject, node) == [(subject.lineage, node.address, True)]
    subject.provider.clean(node, mark)
    assert users(subject, node) == []


@needs("devices")
def test_a_device_is_added_and_removed_by_a_restart(subject: Subject) -> None:
    subject.prepare()
    plain, node = subject.node(), node_with_device(subject)
    for wanted, used in ((plain, []), (node, [(subject.lineage, node.address, True)]), (plain, [])):
        subject.boot(wanted)
        assert users(subject, node) == used
        subject.provider.shutdown(wanted, subject.boot_request(wanted).mark, grace_s=0)
    assert [seen.differences for seen in subject.observed().nodes] == [()]


@needs("devices")
def test_only_one_machine_runs_with_a_device(subject: Subject) -> None:
    subject.prepare()
    node = node_with_device(subject)
    second = node_with_device(subject, "hello-compute-0")
    subject.boot(node)
    with pytest.raises(SiteConflictError) as refusal:
        subject.boot(second)
    assert node.devices[0].address in str(refusal.value)
    assert subject.lineage[:8] in str(refusal.value)
    assert [seen.address for seen in subject.observed().nodes if seen.status == "running"] == [node.address]
    assert users(subject, node)[0] == (subject.lineage, node.address, True)


@needs("devices", "boot_check")
def test_a_check_reports_no_conflict_with_the_machine_that_has_the_device(subject: Subject) -> None:
    subject.prepare()
    node = node_with_device(subject)
    subject.boot(node)
    renamed = subject.boot_request(replace(node, name="world-frontend"), generation=1)
    present = subject.boot_request(node).mark
    subject.require("boot_check").check_boot(replace(renamed, seed=b"", user_data=b"", present=present))
