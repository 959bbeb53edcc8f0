"""Boots at a libvirt site beyond the shared contract: ownership of machines, kept and recreated files."""

from pathlib import Path
from uuid import uuid4

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import boot
from pragmaspec.providers.libvirt.domains.definition import memory_kib
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import NAMESPACE
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Nic, PublicGrant
from pragmaspec.site import LibvirtSite
from tests.providers.libvirt.conftest import host_of

FOREIGN = "<domain type='test'><name>{name}</name><memory>65536</memory><os><type>hvm</type></os></domain>"


def domain_of(stack, handle, node=None):
    node = node or stack.node()
    return handle.lookupByName(names.domain_name(node.name, stack.mark(node)))


def twin_of(stack):
    """Another stack whose lineage has the same first digits, so that its names are equal."""
    twin = stack.other()
    twin.lineage = stack.lineage[:8] + str(uuid4())[8:]
    return twin


def test_a_machine_of_another_stack_is_never_touched(fake_stack, virsh):
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    before = (domain_of(fake_stack, virsh).XMLDesc(), fake_stack.provider.inventory())
    twin = twin_of(fake_stack)
    node, mark = twin.node(), twin.mark(twin.node())
    with pytest.raises(SiteConflictError) as caught:
        twin.provider.boot(replace(twin.boot_request(node), allocation=fake_stack.allocation()))
    assert f"belongs to {node.address} of stack {fake_stack.lineage[:8]}" in str(caught.value)
    twin.provider.shutdown(node, mark, grace_s=0)
    twin.provider.clean(node, mark)
    assert twin.provider.diagnostics(node, mark).domain == "not defined"
    assert twin.observed().nodes == ()
    assert (domain_of(fake_stack, virsh).XMLDesc(), fake_stack.provider.inventory()) == before


def test_an_unmarked_machine_is_never_touched(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    theirs = virsh.defineXML(FOREIGN.format(name=names.domain_name(node.name, fake_stack.mark(node))))
    with pytest.raises(SiteConflictError, match="carries no mark"):
        fake_stack.boot(node)
    fake_stack.provider.clean(node, fake_stack.mark(node))
    theirs.undefine()


def test_another_generation_is_not_overwritten(fake_stack):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node, generation=1)
    for generation in (0, 2):
        with pytest.raises(SiteConflictError, match="generation 1"):
            fake_stack.boot(node, generation=generation)
    assert fake_stack.observed().nodes[0].generation == 1
    fake_stack.provider.clean(node, fake_stack.mark(node))
    assert fake_stack.observed().nodes[0].generation == 1, "cleaning an earlier generation keeps the later one"
    fake_stack.provider.clean(node, fake_stack.mark(node, 1))


def test_a_node_undefined_while_running_is_defined_again(fake_stack, virsh):
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    domain_of(fake_stack, virsh).undefine()
    assert [node.status for node in fake_stack.observed().nodes] == ["undefined"]
    number = domain_of(fake_stack, virsh).ID()
    fake_stack.boot(fake_stack.node())
    assert [node.status for node in fake_stack.observed().nodes] == ["running"]
    assert domain_of(fake_stack, virsh).ID() == number


def test_a_node_undefined_while_off_is_observed_and_keeps_its_disk(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    fake_stack.provider.shutdown(node, fake_stack.mark(node), grace_s=0)
    domain_of(fake_stack, virsh).undefine()
    (observed,) = fake_stack.observed().nodes
    assert (observed.address, observed.status, observed.disk) == (node.address, "undefined", True)
    fake_stack.boot(node)
    assert [node.status for node in fake_stack.observed().nodes] == ["running"]


def test_boot_resumes_a_paused_node(fake_stack, virsh):
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    domain_of(fake_stack, virsh).suspend()
    fake_stack.boot(fake_stack.node())
    assert domain_of(fake_stack, virsh).state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_a_failed_start_with_required_kvm_has_advice():
    broken = libvirt.libvirtError("Assertion failed")
    broken.err = (libvirt.VIR_ERR_INTERNAL_ERROR, 10, "process exited: Assertion failed", 2, "", "", "", 0, 0)
    demanding, probing = (Host(LibvirtSite(name="lab", virt_type=word)) for word in ("kvm", None))
    with (
        pytest.raises(SiteError, match="remove the option to have it probed, or write `virt_type: qemu`"),
        boot._kvm_advice(demanding, "hello-frontend"),
    ):
        raise broken
    with pytest.raises(libvirt.libvirtError), boot._kvm_advice(probing, "hello-frontend"):
        raise broken


def test_resume_ignores_an_absent_machine(fake_stack):
    fake_stack.provider.resume(fake_stack.node(), fake_stack.mark(fake_stack.node()))


@pytest.mark.parametrize(("virt_type", "prefers"), [("qemu", True), ("kvm", False)])
def test_only_emulated_machines_prefer_a_paused_boot(virt_type, prefers):
    assert LibvirtProvider(LibvirtSite(name="lab", virt_type=virt_type)).prefers_paused_boot() is prefers


@pytest.mark.hypervisor
def test_resume_starts_a_machine_that_was_booted_paused(real_stack, real_virsh):
    real_stack.prepare()
    node = real_stack.node()
    real_stack.provider.boot(replace(real_stack.boot_request(node), paused=True))
    assert domain_of(real_stack, real_virsh).state()[0] == libvirt.VIR_DOMAIN_PAUSED
    for _ in range(2):
        real_stack.provider.resume(node, real_stack.mark(node))
        assert domain_of(real_stack, real_virsh).state()[0] == libvirt.VIR_DOMAIN_RUNNING
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    real_stack.provider.resume(node, real_stack.mark(node))
    assert [observed.status for observed in real_stack.observed().nodes] == ["off"]


@pytest.mark.hypervisor
def test_the_next_boot_resumes_a_machine_left_paused(real_stack, real_virsh):
    real_stack.prepare()
    real_stack.provider.boot(replace(real_stack.boot_request(real_stack.node()), paused=True))
    real_stack.boot(real_stack.node())
    assert domain_of(real_stack, real_virsh).state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_a_changed_definition_of_a_running_node_is_for_its_next_start(fake_stack, virsh):
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    number = domain_of(fake_stack, virsh).ID()
    fake_stack.boot(fake_stack.node(memory_mib=256))
    assert (domain_of(fake_stack, virsh).ID(), fake_stack.observed().nodes[0].memory_mib) == (number, 128)
    defined = domain_of(fake_stack, virsh).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    assert memory_kib(parse(defined).find("memory")) == 256 * 1024


def test_every_interface_is_attached_to_its_network(fake_stack, virsh):
    allocation = fake_stack.allocation()
    grant = PublicGrant(node="hello-frontend", address="192.168.122.50", prefix=24, network="default")
    allocation = replace(allocation, public=(grant,))
    fake_stack.allocate(allocation)
    fake_stack.stage()
    node = fake_stack.node()
    node = replace(node, nics=(*node.nics, Nic(network="public", mac="52:54:00:00:00:02", address="192.168.122.50", prefix=24)))
    fake_stack.provider.boot(replace(fake_stack.boot_request(node), allocation=allocation))
    xml = domain_of(fake_stack, virsh).XMLDesc()
    assert "<source network='pragmaspec-vlan-20'/>" in xml
    assert "<source network='default'/>" in xml


def test_an_interface_is_attached_to_a_public_bridge(fake_stack, virsh):
    allocation = replace(
        fake_stack.allocation(), public=(PublicGrant(node="hello-frontend", address="192.0.2.9", prefix=24, bridge="br0"),)
    )
    fake_stack.allocate(allocation)
    fake_stack.stage()
    node = fake_stack.node()
    node = replace(node, nics=(*node.nics, Nic(network="public", mac="52:54:00:00:00:02", address="192.0.2.9", prefix=24)))
    fake_stack.provider.boot(replace(fake_stack.boot_request(node), allocation=allocation))
    assert "<source bridge='br0'/>" in domain_of(fake_stack, virsh).XMLDesc()


def test_a_network_outside_the_allocation_is_named(fake_stack):
    fake_stack.prepare()
    node = replace(fake_stack.node(), nics=(Nic(network="storage", mac="52:54:00:00:00:03", address="10.9.0.2", prefix=16),))
    with pytest.raises(SiteError, match="interface on network storage"):
        fake_stack.boot(node)


@pytest.mark.hypervisor
def test_volumes_of_a_node_are_private(real_stack, real_virsh):
    real_stack.prepare()
    node = real_stack.node()
    real_stack.boot(node)
    pool = real_virsh.storagePoolLookupByName(real_stack.site.pool)
    for name in pool.listVolumes():
        if names.parse_node_volume(name):
            assert "<mode>0600</mode>" in pool.storageVolLookupByName(name).XMLDesc()


@pytest.mark.hypervisor
def test_a_seed_is_replaced_only_while_off(real_stack):
    real_stack.prepare()
    node, host = real_stack.node(), host_of(real_stack)
    name = names.seed_volume(node.name, real_stack.mark(node))
    real_stack.boot(node)
    changed = replace(real_stack.boot_request(node), seed=b"another and shorter".ljust(512, b"\0"))
    real_stack.provider.boot(changed)
    assert volumes.read_tail(host, name, 2**20) == real_stack.boot_request(node).seed
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    real_stack.provider.boot(changed)
    assert volumes.read_tail(host, name, 2**20) == changed.seed
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    unknown = replace(changed, seed=b"")
    real_stack.provider.boot(unknown)
    assert volumes.read_tail(host, name, 2**20) == changed.seed
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    volumes.remove(host, name)
    with pytest.raises(SiteError, match=r"no longer contains the contents of .* first seed"):
        real_stack.provider.boot(unknown)


@pytest.mark.hypervisor
def test_a_disk_of_another_image_is_not_changed(real_stack, real_virsh):
    real_stack.prepare()
    node = real_stack.node()
    real_stack.boot(node)
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    pool = real_virsh.storagePoolLookupByName(real_stack.site.pool)
    name = names.disk_volume(node.name, real_stack.mark(node))
    pool.storageVolLookupByName(name).delete()
    pool.createXML(f"<volume><name>{name}</name><capacity>1048576</capacity><target><format type='qcow2'/></target></volume>")
    with pytest.raises(SiteConflictError, match="is based on no image"):
        real_stack.boot(node)


@pytest.mark.hypervisor
def test_a_removed_disk_file_is_observed(real_stack):
    real_stack.prepare()
    node = real_stack.node()
    real_stack.boot(node)
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    assert real_stack.observed().nodes[0].disk
    Path(host_of(real_stack).path(names.disk_volume(node.name, real_stack.mark(node)))).unlink()
    assert not real_stack.observed().nodes[0].disk
    assert real_stack.held()[2] == 0


@pytest.mark.hypervisor
def test_no_machine_owns_the_shared_image(real_stack, real_virsh):
    real_stack.prepare()
    real_stack.boot(real_stack.node())
    base = real_virsh.storageVolLookupByPath(host_of(real_stack).path(names.image_volumes(real_stack.image)["disk"]))
    assert "<owner>0</owner>" in base.XMLDesc()
    assert "<mode>0644</mode>" in base.XMLDesc()


def test_shutdown_asks_the_guest_first(fake_stack, virsh):
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    fake_stack.provider.shutdown(fake_stack.node(), fake_stack.mark(fake_stack.node()), grace_s=30)
    assert domain_of(fake_stack, virsh).state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN]


@pytest.mark.hypervisor
def test_boot_adds_a_claim_to_the_running_dhcp_server(real_stack, real_virsh):
    wanted = real_stack.allocation(public=True)
    grant = wanted.public[0]
    public = real_virsh.networkLookupByName(grant.network)

    def containing_definitions():
        kinds = {"defined": libvirt.VIR_NETWORK_XML_INACTIVE, "running": 0}
        return {kind for kind, flag in kinds.items() if f"ip='{grant.address}'/>" in public.XMLDesc(flag)}

    real_stack.allocate(wanted)
    real_stack.stage()
    assert containing_definitions() == {"defined"}
    assert real_stack.observed().allocations[0].public == (grant.address,)
    real_stack.provider.boot(replace(real_stack.boot_request(real_stack.node()), allocation=wanted))
    assert containing_definitions() == {"defined", "running"}
    real_stack.clean_all()
    assert containing_definitions() == set()


def test_a_removed_mark_is_restored_by_uuid(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    domain = domain_of(fake_stack, virsh)
    number = domain.ID()
    both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "pragmaspec", NAMESPACE, both)
    assert [(observed.address, observed.status) for observed in fake_stack.observed().nodes] == [(node.address, "undefined")]
    fake_stack.boot(node)
    assert [(observed.address, observed.status) for observed in fake_stack.observed().nodes] == [(node.address, "running")]
    assert domain_of(fake_stack, virsh).ID() == number, "it keeps running"


def test_boot_restores_the_name_of_a_renamed_machine(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    domain_of(fake_stack, virsh).destroy()
    domain_of(fake_stack, virsh).rename("mine-now", 0)
    assert [(observed.address, observed.status) for observed in fake_stack.observed().nodes] == [(node.address, "undefined")]
    fake_stack.boot(node)
    assert domain_of(fake_stack, virsh).isActive()
    assert "mine-now" not in {domain.name() for domain in virsh.listAllDomains()}


def test_a_running_renamed_machine_is_refused_by_boot_and_removed_by_clean(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    domain_of(fake_stack, virsh).destroy()
    domain_of(fake_stack, virsh).rename("mine-now", 0)
    virsh.lookupByName("mine-now").create()
    with pytest.raises(
        SiteConflictError,
        match=r"is named mine-now at .* cannot be renamed back .*virsh .*shutdown mine-now",
    ):
        fake_stack.boot(node)
    fake_stack.provider.clean(node, fake_stack.mark(node))
    assert "mine-now" not in {domain.name() for domain in virsh.listAllDomains()}
