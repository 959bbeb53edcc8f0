"""Listings at a libvirt site, also during concurrent changes and after a broken connection."""

import threading
from contextlib import suppress

import libvirt
import pytest

from pragmaspec.providers.libvirt.provider import LibvirtProvider
from tests.providers.libvirt.conftest import host_of


def test_listings_tolerate_concurrent_changes(fake_stack, virsh):
    """Domains, networks and volumes with names like those of the stack are created and removed during listings."""
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    ended = threading.Event()
    short = fake_stack.lineage[:8]
    domain = f"<domain type='test'><name>fleeting.{short}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    network = "<network><name>pragmaspec-vlan-99</name><bridge name='virbr9'/></network>"
    volume = f"<volume><name>fleeting.{short}.qcow2</name><capacity>1</capacity></volume>"

    def create_and_remove() -> None:
        pool = virsh.storagePoolLookupByName("default-pool")
        while not ended.is_set():
            for made in (
                virsh.defineXML(domain),
                virsh.networkDefineXML(network),
            ):
                made.undefine()
            pool.createXML(volume).delete()

    thread = threading.Thread(target=create_and_remove)
    thread.start()
    try:
        for _ in range(100):
            observed = fake_stack.observed()
            assert fake_stack.node().address in {node.address for node in observed.nodes}
            assert fake_stack.provider.inventory().cpus
    finally:
        ended.set()
        thread.join()


def test_observations_contain_only_the_own_stack(fake_stack):
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    other = fake_stack.other()
    observed = other.observed()
    assert (observed.nodes, observed.allocations, observed.images) == ((), (), ())


@pytest.mark.hypervisor
def test_every_node_of_a_real_site_is_observed(real_stack):
    real_stack.prepare()
    for name in ("hello-frontend", "hello-compute-0", "hello-compute-1"):
        real_stack.boot(real_stack.node(name))
    assert len(real_stack.observed().nodes) == 3


@pytest.mark.hypervisor
def test_a_real_machine_undefined_while_running_is_defined_again(real_stack, real_virsh):
    real_stack.prepare()
    node = real_stack.node()
    real_stack.boot(node)
    domain = real_virsh.lookupByName(f"{node.name}.{real_stack.lineage[:8]}")
    number = domain.ID()
    domain.undefine()
    assert [observed.status for observed in real_stack.observed().nodes] == ["undefined"]
    real_stack.boot(node)
    assert [observed.status for observed in real_stack.observed().nodes] == ["running"]
    assert real_virsh.lookupByName(f"{node.name}.{real_stack.lineage[:8]}").ID() == number
    assert real_virsh.lookupByName(f"{node.name}.{real_stack.lineage[:8]}").isPersistent()


@pytest.mark.hypervisor
def test_a_broken_connection_is_reopened(real_stack):
    assert real_stack.observed().nodes == ()
    with suppress(libvirt.libvirtError):
        host_of(real_stack).handle().close()
    assert real_stack.observed().nodes == ()


def test_every_connection_observes_the_same(fake_stack):
    fake_stack.prepare()
    second = LibvirtProvider(fake_stack.site)
    assert second.observe(fake_stack.lineage) == fake_stack.observed()
    second.close()
