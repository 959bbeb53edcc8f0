"""Processors of a simulated site."""

import pytest

from pragmaspec.errors import SiteError
from pragmaspec.site import SimulatedSite


@pytest.mark.parametrize(
    ("processors", "reported", "default"),
    [
        (("host", "x86-64-v2"), ("host", "x86-64-v2"), "x86-64-v2"),
        (("EPYC-Milan", "host"), ("EPYC-Milan", "host"), "EPYC-Milan"),
        ((), None, ""),
    ],
)
def test_the_inventory_reports_processors(make_stack, processors, reported, default):
    inventory = make_stack(processors=processors).provider.inventory()
    assert (inventory.processors, inventory.default_processor) == (reported, default)


def test_a_processor_that_is_not_offered_is_refused_without_a_trace(make_stack):
    stack = make_stack(processors=("x86-64-v2",)).prepare()
    with pytest.raises(SiteError, match="names the processor host, which is not offered") as caught:
        stack.boot(stack.node(cpu="host"))
    assert "The site refuses the processor of a node" in str(caught.value.problems)
    assert stack.observed().nodes == ()


def test_a_site_that_does_not_report_processors_has_any(make_stack):
    stack = make_stack(processors=()).prepare()
    stack.boot(stack.node(cpu="EPYC-Milan"))
    assert len(stack.observed().nodes) == 1


def test_a_machine_keeps_a_processor_that_is_no_longer_offered(make_stack):
    stack = make_stack(processors=("x86-64-v3",)).prepare()
    stack.boot(stack.node(cpu="x86-64-v3"))
    later = stack.again(SimulatedSite(name="lab", processors=("x86-64-v2",)))
    later.boot(later.node(cpu="x86-64-v3", memory_mib=2048))
    assert [node.memory_mib for node in later.observed().nodes] == [2048]
