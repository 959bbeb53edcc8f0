"""Devices of a simulated host."""

import pytest

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.observed import HostDevice
from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.resources import NodeDevice
from pragmaspec.site import SimulatedSite

GPU = NodeDevice(alias="gpu", address="gpu-0")


def take(stack, device):
    """Add a machine of another owner, which is off, with ``device``."""
    with stack.world.writing() as world:
        world.put(SimulatedMachine(address="by-hand", devices=(device,), status="off"))


def test_the_inventory_lists_devices_and_their_users(make_stack):
    stack = make_stack(devices=(("gpu", 1), ("nic", 2))).prepare()
    take(stack, "nic-1")
    stack.boot(stack.node(devices=(GPU,)))
    inventory = stack.provider.inventory()
    assert inventory.device_aliases == ("gpu", "nic")
    assert inventory.host_devices == tuple(
        HostDevice(address=address, aliases=(address[:3],)) for address in ("gpu-0", "nic-0", "nic-1")
    )
    assert [(use.value, use.owner, use.running) for use in inventory.device_uses] == [
        ("gpu-0", f"lab/hello/node/hello-compute-0 of stack {stack.lineage[:8]}", True),
        ("nic-1", "by-hand", False),
    ]


def test_a_device_of_another_owner_or_of_no_site_is_refused_without_a_trace(make_stack):
    stack = make_stack(devices=(("gpu", 1),)).prepare()
    take(stack, "gpu-0")
    with pytest.raises(SiteConflictError) as caught:
        stack.boot(stack.node(devices=(GPU, NodeDevice(alias="gpu", address="gpu-1"))))
    assert {problem.summary for problem in caught.value.problems} == {"Device in use", "The device is gone"}
    assert "gpu-0 of site lab, which by-hand has" in str(caught.value)
    assert stack.observed().nodes == ()


def test_a_machine_keeps_a_device_that_is_no_longer_offered(make_stack):
    stack = make_stack(devices=(("gpu", 1),)).prepare()
    stack.boot(stack.node(devices=(GPU,)))
    later = stack.again(SimulatedSite(name="lab"))
    later.boot(later.node(devices=(GPU,), memory_mib=2048))
    assert [node.memory_mib for node in later.observed().nodes] == [2048]
    assert later.provider.inventory().host_devices == (HostDevice(address="gpu-0"),)
