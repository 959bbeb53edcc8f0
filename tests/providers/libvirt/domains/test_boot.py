"""Booting at a libvirt site beyond the shared contract: whose machine it is, what is kept, what is made anew."""

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
    """Another stack whose lineage begins alike, so that its names are the same."""
    twin = stack.other()
    twin.lineage = stack.lineage[:8] + str(uuid4())[8:]
    return twin


def test_a_machine_of_another_stack_with_the_same_name_is_never_touched(pretended, by_hand):
    pretended.prepare()
    pretended.boot(pretended.node())
    before = (domain_of(pretended, by_hand).XMLDesc(), pretended.provider.inventory())
    twin = twin_of(pretended)
    node, mark = twin.node(), twin.mark(twin.node())
    with pytest.raises(SiteConflictError) as caught:
        twin.provider.boot(replace(twin.boot_request(node), allocation=pretended.allocation()))
    assert f"belongs to {node.address} of stack {pretended.lineage[:8]}" in str(caught.value)
    twin.provider.shutdown(node, mark, grace_s=0)
    twin.provider.clean(node, mark)
    assert twin.provider.diagnostics(node, mark).domain == "not defined"
    assert twin.observed().nodes == ()
    assert (domain_of(pretended, by_hand).XMLDesc(), pretended.provider.inventory()) == before


def test_a_machine_that_carries_no_mark_is_never_touched(pretended, by_hand):
    pretended.prepare()
    node = pretended.node()
    theirs = by_hand.defineXML(FOREIGN.format(name=names.domain_name(node.name, pretended.mark(node))))
    with pytest.raises(SiteConflictError, match="carries no mark"):
        pretended.boot(node)
    pretended.provider.clean(node, pretended.mark(node))
    theirs.undefine()


def test_another_build_of_the_node_is_not_overwritten(pretended):
    pretended.prepare()
    node = pretended.node()
    pretended.boot(node, generation=1)
    for generation in (0, 2):
        with pytest.raises(SiteConflictError, match="build number 1"):
            pretended.boot(node, generation=generation)
    assert pretended.observed().nodes[0].generation == 1
    pretended.provider.clean(node, pretended.mark(node))
    assert pretended.observed().nodes[0].generation == 1, "cleaning an earlier build leaves the later one"
    pretended.provider.clean(node, pretended.mark(node, 1))


def test_a_node_undefined_while_it_ran_is_defined_again_and_runs_on(pretended, by_hand):
    pretended.prepare()
    pretended.boot(pretended.node())
    domain_of(pretended, by_hand).undefine()
    assert [node.status for node in pretended.observed().nodes] == ["undefined"]
    number = domain_of(pretended, by_hand).ID()
    pretended.boot(pretended.node())
    assert [node.status for node in pretended.observed().nodes] == ["running"]
    assert domain_of(pretended, by_hand).ID() == number


def test_a_node_undefined_while_off_is_seen_by_its_disk_and_keeps_it(pretended, by_hand):
    pretended.prepare()
    node = pretended.node()
    pretended.boot(node)
    pretended.provider.shutdown(node, pretended.mark(node), grace_s=0)
    domain_of(pretended, by_hand).undefine()
    (seen,) = pretended.observed().nodes
    assert (seen.address, seen.status, seen.disk) == (node.address, "undefined", True)
    pretended.boot(node)
    assert [node.status for node in pretended.observed().nodes] == ["running"]


def test_a_paused_node_goes_on(pretended, by_hand):
    pretended.prepare()
    pretended.boot(pretended.node())
    domain_of(pretended, by_hand).suspend()
    pretended.boot(pretended.node())
    assert domain_of(pretended, by_hand).state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_a_start_that_fails_with_kvm_by_demand_says_how_to_do_without():
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


def test_resume_ignores_an_absent_machine(pretended):
    pretended.provider.resume(pretended.node(), pretended.mark(pretended.node()))


@pytest.mark.parametrize(("virt_type", "prefers"), [("qemu", True), ("kvm", False)])
def test_only_emulated_machines_prefer_a_paused_boot(virt_type, prefers):
    assert LibvirtProvider(LibvirtSite(name="lab", virt_type=virt_type)).prefers_paused_boot() is prefers


@pytest.mark.hypervisor
def test_resume_starts_a_machine_that_was_booted_paused(lab, real_by_hand):
    lab.prepare()
    node = lab.node()
    lab.provider.boot(replace(lab.boot_request(node), paused=True))
    assert domain_of(lab, real_by_hand).state()[0] == libvirt.VIR_DOMAIN_PAUSED
    for _ in range(2):
        lab.provider.resume(node, lab.mark(node))
        assert domain_of(lab, real_by_hand).state()[0] == libvirt.VIR_DOMAIN_RUNNING
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    lab.provider.resume(node, lab.mark(node))
    assert [seen.status for seen in lab.observed().nodes] == ["off"]


@pytest.mark.hypervisor
def test_the_next_boot_resumes_a_machine_left_paused(lab, real_by_hand):
    lab.prepare()
    lab.provider.boot(replace(lab.boot_request(lab.node()), paused=True))
    lab.boot(lab.node())
    assert domain_of(lab, real_by_hand).state()[0] == libvirt.VIR_DOMAIN_RUNNING


def test_a_running_node_gets_a_changed_definition_for_its_next_start(pretended, by_hand):
    pretended.prepare()
    pretended.boot(pretended.node())
    number = domain_of(pretended, by_hand).ID()
    pretended.boot(pretended.node(memory_mib=256))
    assert (domain_of(pretended, by_hand).ID(), pretended.observed().nodes[0].memory_mib) == (number, 128)
    defined = domain_of(pretended, by_hand).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    assert memory_kib(parse(defined).find("memory")) == 256 * 1024


def test_every_interface_is_plugged_where_its_network_is(pretended, by_hand):
    allocation = pretended.allocation()
    grant = PublicGrant(node="hello-frontend", address="192.168.122.50", prefix=24, network="default")
    allocation = replace(allocation, public=(grant,))
    pretended.allocate(allocation)
    pretended.stage()
    node = pretended.node()
    node = replace(node, nics=(*node.nics, Nic(network="public", mac="52:54:00:00:00:02", address="192.168.122.50", prefix=24)))
    pretended.provider.boot(replace(pretended.boot_request(node), allocation=allocation))
    xml = domain_of(pretended, by_hand).XMLDesc()
    assert "<source network='pragmaspec-vlan-20'/>" in xml
    assert "<source network='default'/>" in xml


def test_an_interface_on_a_public_bridge(pretended, by_hand):
    allocation = replace(
        pretended.allocation(), public=(PublicGrant(node="hello-frontend", address="192.0.2.9", prefix=24, bridge="br0"),)
    )
    pretended.allocate(allocation)
    pretended.stage()
    node = pretended.node()
    node = replace(node, nics=(*node.nics, Nic(network="public", mac="52:54:00:00:00:02", address="192.0.2.9", prefix=24)))
    pretended.provider.boot(replace(pretended.boot_request(node), allocation=allocation))
    assert "<source bridge='br0'/>" in domain_of(pretended, by_hand).XMLDesc()


def test_a_network_that_was_not_granted_is_named(pretended):
    pretended.prepare()
    node = replace(pretended.node(), nics=(Nic(network="storage", mac="52:54:00:00:00:03", address="10.9.0.2", prefix=16),))
    with pytest.raises(SiteError, match="interface on network storage"):
        pretended.boot(node)


@pytest.mark.hypervisor
def test_a_node_s_volumes_are_for_the_hypervisor_alone(lab, real_by_hand):
    lab.prepare()
    node = lab.node()
    lab.boot(node)
    pool = real_by_hand.storagePoolLookupByName(lab.site.pool)
    for name in pool.listVolumes():
        if names.parse_node_volume(name):
            assert "<mode>0600</mode>" in pool.storageVolLookupByName(name).XMLDesc()


@pytest.mark.hypervisor
def test_a_seed_is_replaced_only_while_the_node_is_off(lab):
    lab.prepare()
    node, host = lab.node(), host_of(lab)
    name = names.seed_volume(node.name, lab.mark(node))
    lab.boot(node)
    changed = replace(lab.boot_request(node), seed=b"another and shorter".ljust(512, b"\0"))
    lab.provider.boot(changed)
    assert volumes.read_tail(host, name, 2**20) == lab.boot_request(node).seed
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    lab.provider.boot(changed)
    assert volumes.read_tail(host, name, 2**20) == changed.seed
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    unknown = replace(changed, seed=b"")
    lab.provider.boot(unknown)
    assert volumes.read_tail(host, name, 2**20) == changed.seed
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    volumes.remove(host, name)
    with pytest.raises(SiteError, match=r"no longer contains the contents of .* first seed"):
        lab.provider.boot(unknown)


@pytest.mark.hypervisor
def test_a_disk_that_stands_on_another_image_is_not_touched(lab, real_by_hand):
    lab.prepare()
    node = lab.node()
    lab.boot(node)
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    pool = real_by_hand.storagePoolLookupByName(lab.site.pool)
    name = names.disk_volume(node.name, lab.mark(node))
    pool.storageVolLookupByName(name).delete()
    pool.createXML(f"<volume><name>{name}</name><capacity>1048576</capacity><target><format type='qcow2'/></target></volume>")
    with pytest.raises(SiteConflictError, match="is based on no image"):
        lab.boot(node)


@pytest.mark.hypervisor
def test_a_disk_file_removed_by_hand_is_seen(lab):
    lab.prepare()
    node = lab.node()
    lab.boot(node)
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    assert lab.observed().nodes[0].disk
    Path(host_of(lab).path(names.disk_volume(node.name, lab.mark(node)))).unlink()
    assert not lab.observed().nodes[0].disk
    assert lab.held()[2] == 0


@pytest.mark.hypervisor
def test_no_machine_owns_the_image_that_all_stand_on(lab, real_by_hand):
    lab.prepare()
    lab.boot(lab.node())
    base = real_by_hand.storageVolLookupByPath(host_of(lab).path(names.image_volumes(lab.image)["disk"]))
    assert "<owner>0</owner>" in base.XMLDesc()
    assert "<mode>0644</mode>" in base.XMLDesc()


def test_a_guest_is_asked_before_its_power_goes(pretended, by_hand):
    pretended.prepare()
    pretended.boot(pretended.node())
    pretended.provider.shutdown(pretended.node(), pretended.mark(pretended.node()), grace_s=30)
    assert domain_of(pretended, by_hand).state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN]


@pytest.mark.hypervisor
def test_the_running_dhcp_server_learns_of_a_claim_when_its_node_boots(lab, real_by_hand):
    wanted = lab.allocation(public=True)
    grant = wanted.public[0]
    public = real_by_hand.networkLookupByName(grant.network)

    def where_it_stands():
        kinds = {"defined": libvirt.VIR_NETWORK_XML_INACTIVE, "running": 0}
        return {kind for kind, flag in kinds.items() if f"ip='{grant.address}'/>" in public.XMLDesc(flag)}

    lab.allocate(wanted)
    lab.stage()
    assert where_it_stands() == {"defined"}
    assert lab.observed().allocations[0].public == (grant.address,)
    lab.provider.boot(replace(lab.boot_request(lab.node()), allocation=wanted))
    assert where_it_stands() == {"defined", "running"}
    lab.clean_all()
    assert where_it_stands() == set()


def test_a_machine_whose_mark_somebody_removed_is_known_by_its_uuid_and_marked_again(pretended, by_hand):
    pretended.prepare()
    node = pretended.node()
    pretended.boot(node)
    domain = domain_of(pretended, by_hand)
    number = domain.ID()
    both = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "pragmaspec", NAMESPACE, both)
    assert [(seen.address, seen.status) for seen in pretended.observed().nodes] == [(node.address, "undefined")]
    pretended.boot(node)
    assert [(seen.address, seen.status) for seen in pretended.observed().nodes] == [(node.address, "running")]
    assert domain_of(pretended, by_hand).ID() == number, "it ran on"


def test_a_machine_that_somebody_renamed_has_its_name_back(pretended, by_hand):
    pretended.prepare()
    node = pretended.node()
    pretended.boot(node)
    domain_of(pretended, by_hand).destroy()
    domain_of(pretended, by_hand).rename("mine-now", 0)
    assert [(seen.address, seen.status) for seen in pretended.observed().nodes] == [(node.address, "undefined")]
    pretended.boot(node)
    assert domain_of(pretended, by_hand).isActive()
    assert "mine-now" not in {domain.name() for domain in by_hand.listAllDomains()}


def test_a_renamed_machine_that_runs_is_not_touched_by_a_boot_and_goes_with_a_clean(pretended, by_hand):
    pretended.prepare()
    node = pretended.node()
    pretended.boot(node)
    domain_of(pretended, by_hand).destroy()
    domain_of(pretended, by_hand).rename("mine-now", 0)
    by_hand.lookupByName("mine-now").create()
    with pytest.raises(
        SiteConflictError,
        match=r"is named mine-now at .* cannot be renamed back .*virsh .*shutdown mine-now",
    ):
        pretended.boot(node)
    pretended.provider.clean(node, pretended.mark(node))
    assert "mine-now" not in {domain.name() for domain in by_hand.listAllDomains()}
