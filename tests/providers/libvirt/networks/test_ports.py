"""Interfaces of machines whose network was stopped and started again have no port, which is observed."""

import pytest
from msgspec.structs import replace

pytestmark = pytest.mark.hypervisor


def test_an_interface_without_a_port_is_observed(real_stack, real_virsh):
    real_stack.prepare()
    node = real_stack.node()
    real_stack.boot(node)
    assert [each.unplugged for each in real_stack.observed().nodes] == [()]
    network = real_virsh.networkLookupByName(f"pragmaspec-vlan-{real_stack.vlan}")
    network.destroy()
    network.create()
    assert [each.unplugged for each in real_stack.observed().nodes] == [(node.nics[0].mac,)]
    real_stack.provider.shutdown(replace(node, running=True), real_stack.mark(node), grace_s=0)
    assert [each.unplugged for each in real_stack.observed().nodes] == [()]
    real_stack.boot(node)
    assert [each.unplugged for each in real_stack.observed().nodes] == [()]
