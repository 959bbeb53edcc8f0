"""CPUs of a simulated host to which machines are pinned."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.observed import HostCpu
from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.site import SimulatedHost, SimulatedSite

HOST = SimulatedHost(cpus=8, threads=2, cells=2)


def test_the_inventory_lists_cpus_by_core_and_numa_node(make_stack):
    inventory = make_stack(host=HOST).provider.inventory()
    assert inventory.host_cpus == tuple(HostCpu(id=cpu, core=cpu - cpu % 2, cell=cpu // 4) for cpu in range(8))
    assert make_stack(host=replace(HOST, threads=0)).provider.inventory().host_cpus is None


def test_a_cpu_of_another_machine_or_of_no_host_is_refused_without_a_trace(make_stack):
    stack = make_stack(host=HOST).prepare()
    with stack.world.writing() as world:
        world.put(SimulatedMachine(address="by-hand", pinned=(5,), status="off"))
    with pytest.raises(SiteConflictError) as caught:
        stack.boot(stack.node(cpus=2, pinned=(5, 8)))
    assert {problem.summary for problem in caught.value.problems} == {"CPU in use", "The CPU is gone"}
    assert "the CPU 5 of site lab, which by-hand has" in str(caught.value)
    assert stack.observed().nodes == ()
    stack.boot(stack.node(cpus=2, pinned=(6, 7)))
    uses = stack.provider.inventory().cpu_uses
    assert [(use.value, use.running, use.address is None) for use in uses] == [
        ("5", False, True),
        ("6", True, False),
        ("7", True, False),
    ]


def test_a_site_whose_host_does_not_pin_refuses(make_stack):
    stack = make_stack().prepare()
    with pytest.raises(SiteConflictError, match="The CPU is gone"):
        stack.boot(stack.node(pinned=(0,)))
    assert stack.again(SimulatedSite(name="lab", host=HOST)).provider.inventory().cpu_uses == ()
