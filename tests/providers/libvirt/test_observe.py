"""Listings at a libvirt site: what vanishes meanwhile is no error, and what is asked often is quick."""

import threading
from contextlib import suppress

import libvirt
import pytest

from pragmaspec.providers.libvirt.provider import LibvirtProvider
from tests.providers.libvirt.conftest import host_of


def test_objects_that_come_and_go_do_not_disturb_a_listing(pretended, by_hand):
    """Domains, networks and volumes whose names could be ours, made and removed while the site is asked."""
    pretended.prepare()
    pretended.boot(pretended.node())
    ended = threading.Event()
    short = pretended.lineage[:8]
    domain = f"<domain type='test'><name>fleeting.{short}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    network = "<network><name>pragmaspec-vlan-99</name><bridge name='virbr9'/></network>"
    volume = f"<volume><name>fleeting.{short}.qcow2</name><capacity>1</capacity></volume>"

    def come_and_go() -> None:
        pool = by_hand.storagePoolLookupByName("default-pool")
        while not ended.is_set():
            for made in (
                by_hand.defineXML(domain),
                by_hand.networkDefineXML(network),
            ):
                made.undefine()
            pool.createXML(volume).delete()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(100):
            seen = pretended.observed()
            assert pretended.node().address in {node.address for node in seen.nodes}
            assert pretended.provider.inventory().cpus
    finally:
        ended.set()
        thread.join()


def test_other_stacks_and_other_peoples_machines_are_not_ours(pretended):
    pretended.prepare()
    pretended.boot(pretended.node())
    other = pretended.other()
    seen = other.observed()
    assert (seen.nodes, seen.allocations, seen.images) == ((), (), ())


@pytest.mark.hypervisor
def test_every_node_of_a_real_site_is_seen(lab):
    lab.prepare()
    for name in ("hello-frontend", "hello-compute-0", "hello-compute-1"):
        lab.boot(lab.node(name))
    assert len(lab.observed().nodes) == 3


@pytest.mark.hypervisor
def test_a_real_machine_undefined_while_it_runs_is_seen_and_repaired(lab, real_by_hand):
    lab.prepare()
    node = lab.node()
    lab.boot(node)
    domain = real_by_hand.lookupByName(f"{node.name}.{lab.lineage[:8]}")
    number = domain.ID()
    domain.undefine()
    assert [seen.status for seen in lab.observed().nodes] == ["undefined"]
    lab.boot(node)
    assert [seen.status for seen in lab.observed().nodes] == ["running"]
    assert real_by_hand.lookupByName(f"{node.name}.{lab.lineage[:8]}").ID() == number
    assert real_by_hand.lookupByName(f"{node.name}.{lab.lineage[:8]}").isPersistent()


@pytest.mark.hypervisor
def test_a_provider_goes_on_after_its_connection_broke(lab):
    assert lab.observed().nodes == ()
    with suppress(libvirt.libvirtError):
        host_of(lab).handle().close()
    assert lab.observed().nodes == ()


def test_an_answer_is_the_same_from_every_connection(pretended):
    pretended.prepare()
    second = LibvirtProvider(pretended.site)
    assert second.observe(pretended.lineage) == pretended.observed()
    second.close()
