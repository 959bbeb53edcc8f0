"""A machine whose network was stopped and started again hangs on nothing, and that is seen."""

import pytest
from msgspec.structs import replace

pytestmark = pytest.mark.hypervisor


def test_a_machine_that_lost_its_port_is_told_apart_from_one_that_has_it(lab, real_by_hand):
    lab.prepare()
    node = lab.node()
    lab.boot(node)
    assert [each.unplugged for each in lab.observed().nodes] == [()]
    network = real_by_hand.networkLookupByName(f"pragmaspec-vlan-{lab.vlan}")
    network.destroy()
    network.create()
    assert [each.unplugged for each in lab.observed().nodes] == [(node.nics[0].mac,)]
    lab.provider.shutdown(replace(node, running=True), lab.mark(node), grace_s=0)
    assert [each.unplugged for each in lab.observed().nodes] == [()]
    lab.boot(node)
    assert [each.unplugged for each in lab.observed().nodes] == [()]
