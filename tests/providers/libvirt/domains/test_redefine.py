"""Manually changed machines at libvirt's test driver: observed differences, boots and cleans."""

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.observed import Difference
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.definition import memory_kib
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.state_model import Record, State
from tests.providers.libvirt.conftest import host_of

FOREIGN_DISK = "<disk type='file'><source file='/theirs.img'/><target dev='vdc' bus='virtio'/></disk></devices>"


@pytest.fixture
def booted(fake_stack):
    """A stack with one running node."""
    fake_stack.prepare()
    fake_stack.boot(fake_stack.node())
    return fake_stack


def domain_of(stack, handle):
    return handle.lookupByName(names.domain_name(stack.node().name, stack.mark(stack.node())))


def observe_node(stack, status="ready", **changed):
    """Observe the node, compared with a record with the values ``changed``."""
    node = Record(resource=stack.node(**changed), status=status)
    records = (Record(resource=stack.allocation()), Record(resource=stack.image), node)
    state = State(lineage=stack.lineage, records=tuple(sorted(records, key=lambda record: record.address)))
    (node,) = stack.provider.observe(stack.lineage, state).nodes
    return node


def defined_as(stack, handle, *changes):
    """Redefine the node's domain with text replacements."""
    document = domain_of(stack, handle).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    for before, after in changes:
        assert before in document
        document = document.replace(before, after)
    handle.defineXML(document)


def test_an_unchanged_machine_has_no_differences(booted):
    found = observe_node(booted)
    assert (found.status, found.differences, found.layers, found.additions, found.passing) == ("running", (), (), (), ())


def test_a_node_without_recorded_networks_is_not_compared(booted):
    state = State(lineage=booted.lineage, records=(Record(resource=booted.node(memory_mib=256)),))
    (node,) = booted.provider.observe(booted.lineage, state).nodes
    assert node.differences == ()


def test_a_redefinition_keeps_manual_additions(booted, virsh):
    number = domain_of(booted, virsh).ID()
    defined_as(booted, virsh, ("1</vcpu>", "2</vcpu>"), ("</devices>", FOREIGN_DISK))
    found = observe_node(booted)
    assert found.differences == (Difference("cpus is 2 in its definition, recorded 1"),)
    assert found.additions == ("disk vdc /theirs.img",)
    booted.boot(booted.node())
    found = observe_node(booted)
    assert (found.differences, found.additions) == ((), ("disk vdc /theirs.img",))
    assert domain_of(booted, virsh).ID() == number


@pytest.mark.parametrize("mark", ["lineage", "address"])
def test_a_changed_mark_is_restored_by_uuid(booted, virsh, mark):
    value = booted.lineage if mark == "lineage" else booted.node().address
    defined_as(booted, virsh, (f'{mark}="{value}"', f'{mark}="another"'))
    assert [each.detail for each in observe_node(booted).differences] == ["its mark in <metadata> was changed"]
    booted.boot(booted.node())
    assert observe_node(booted).differences == ()


def test_a_renamed_running_machine_is_a_difference(booted, virsh):
    domain = domain_of(booted, virsh)
    domain.destroy()
    domain.rename("mine", 0)
    virsh.lookupByName("mine").create()
    found = observe_node(booted)
    assert (found.status, found.differences[0].repair) == ("running", "restart")
    assert found.differences[0].detail.startswith("name is mine, recorded hello-frontend.")


def test_a_machine_undefined_while_running_is_defined_again(booted, virsh):
    domain_of(booted, virsh).undefine()
    found = observe_node(booted)
    assert found.status == "running"
    assert [each.detail for each in found.differences] == ["it is no longer defined, and will be gone once it is off"]
    number = domain_of(booted, virsh).ID()
    booted.boot(booted.node())
    assert (observe_node(booted).differences, domain_of(booted, virsh).ID()) == ((), number)


def test_a_paused_machine_has_a_reason(booted, virsh):
    domain_of(booted, virsh).suspend()
    assert (observe_node(booted).status, observe_node(booted).why) == ("paused", "by a user")
    assert (observe_node(booted, "pending").status, observe_node(booted, "pending").why) == ("paused", "being booted")
    booted.boot(booted.node())
    assert observe_node(booted).status == "running"


@pytest.mark.parametrize("running", [True, False])
def test_a_layer_is_discarded_only_if_the_request_allows_it(booted, virsh, *, running):
    disk = host_of(booted).path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    above = f"{disk.removesuffix('.qcow2')}.s1"
    if not running:
        domain_of(booted, virsh).destroy()
    source = f"<source file='{disk}'/>"
    below = f"<source file='{above}'/><backingStore type='file'><format type='qcow2'/>{source}"
    defined_as(
        booted,
        virsh,
        (source, below),
        ("<backingStore/>\n      </backingStore>", "<backingStore/></backingStore></backingStore>"),
    )
    assert [(layer.file, layer.above, layer.stays) for layer in observe_node(booted).layers] == [(above, True, False)]
    if not running:
        booted.boot(booted.node())
        assert domain_of(booted, virsh).isActive()
        domain_of(booted, virsh).destroy()
    larger = booted.boot_request(booted.node(memory_mib=256))
    with pytest.raises(SiteConflictError, match=r"writes to file .*\.s1"):
        booted.provider.boot(larger)
    assert memory_kib(parse(domain_of(booted, virsh).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("memory")) == 128 * 1024
    booted.provider.boot(replace(larger, discard_layers=True))
    assert observe_node(booted, memory_mib=256).layers == ()


def test_a_disk_used_by_a_foreign_machine_is_not_removed(booted, virsh):
    disk = host_of(booted).path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    rescue = virsh.defineXML(
        "<domain type='test'><name>rescue</name><memory>1024</memory><os><type>hvm</type></os><devices>"
        f"<disk type='file'><source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    with pytest.raises(SiteConflictError, match="machine rescue"):
        booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert observe_node(booted).status == "running"
    rescue.undefine()
    booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert booted.observed().nodes == ()


def test_a_disk_attached_to_another_node_is_not_removed(booted, virsh):
    disk = host_of(booted).path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    other = booted.node("hello-compute-0")
    booted.boot(other)
    name = names.domain_name(other.name, booted.mark(other))
    document = virsh.lookupByName(name).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    virsh.defineXML(document.replace("</devices>", FOREIGN_DISK.replace("/theirs.img", disk)))
    with pytest.raises(SiteConflictError, match=f"machine {name}"):
        booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert domain_of(booted, virsh).isActive()
    booted.provider.clean(other, booted.mark(other))
    booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert booted.observed().nodes == ()


@pytest.mark.parametrize("name", ["hello-frontend.{short}.s1", "theirs.qcow2"])
def test_files_based_on_the_disk_of_an_undefined_machine_are_layers(booted, virsh, name):
    """The definition that contained them is gone, so only the pool shows them."""
    host = host_of(booted)
    disk = host.path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    above = name.format(short=booted.lineage[:8])
    host.pool().createXML(
        f"<volume><name>{above}</name><capacity>1</capacity><target><format type='qcow2'/></target>"
        f"<backingStore><path>{disk}</path><format type='qcow2'/></backingStore></volume>"
    )
    domain_of(booted, virsh).destroy()
    domain_of(booted, virsh).undefine()
    found = observe_node(booted)
    assert (found.status, found.disk, [layer.file for layer in found.layers]) == ("undefined", True, [host.path(above)])
    assert found.remedy == f"qemu-img commit {host.path(above)} && rm {host.path(above)} (on the host)"
    if "theirs" in above:
        host.pool().storageVolLookupByName(above).delete()


def test_clean_removes_a_snapshot_file_without_its_disk(booted):
    host = host_of(booted)
    disk = names.disk_volume(booted.node().name, booted.mark(booted.node()))
    above = f"{disk.removesuffix('.qcow2')}.s1"
    host.pool().createXML(
        f"<volume><name>{above}</name><capacity>1</capacity><target><format type='qcow2'/></target>"
        f"<backingStore><path>{host.path(disk)}</path><format type='qcow2'/></backingStore></volume>"
    )
    host.pool().storageVolLookupByName(disk).delete()
    booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert above not in host.pool().listVolumes()
