"""Machines that people changed by hand, at libvirt's own test driver: what is seen of them, and what a boot and a clean do."""

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

THEIRS = "<disk type='file'><source file='/theirs.img'/><target dev='vdc' bus='virtio'/></disk></devices>"


@pytest.fixture
def booted(pretended):
    """A stack with one node that runs."""
    pretended.prepare()
    pretended.boot(pretended.node())
    return pretended


def domain_of(stack, handle):
    return handle.lookupByName(names.domain_name(stack.node().name, stack.mark(stack.node())))


def seen(stack, status="ready", **changed):
    """The node as it is observed, compared with a record of it that is ``changed``."""
    node = Record(resource=stack.node(**changed), status=status)
    records = (Record(resource=stack.allocation()), Record(resource=stack.image), node)
    state = State(lineage=stack.lineage, records=tuple(sorted(records, key=lambda record: record.address)))
    (node,) = stack.provider.observe(stack.lineage, state).nodes
    return node


def defined_as(stack, handle, *changes):
    """Define the node's machine with each first text replaced by the second."""
    document = domain_of(stack, handle).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    for before, after in changes:
        assert before in document
        document = document.replace(before, after)
    handle.defineXML(document)


def test_a_machine_as_we_made_it_has_no_differences(booted):
    found = seen(booted)
    assert (found.status, found.differences, found.layers, found.additions, found.passing) == ("running", (), (), (), ())


def test_a_node_whose_networks_are_not_recorded_is_not_compared(booted):
    state = State(lineage=booted.lineage, records=(Record(resource=booted.node(memory_mib=256)),))
    (node,) = booted.provider.observe(booted.lineage, state).nodes
    assert node.differences == ()


def test_a_changed_definition_is_written_anew_with_what_people_added(booted, by_hand):
    number = domain_of(booted, by_hand).ID()
    defined_as(booted, by_hand, ("1</vcpu>", "2</vcpu>"), ("</devices>", THEIRS))
    found = seen(booted)
    assert found.differences == (Difference("cpus is 2 in its definition, recorded 1"),)
    assert found.additions == ("disk vdc /theirs.img",)
    booted.boot(booted.node())
    found = seen(booted)
    assert (found.differences, found.additions) == ((), ("disk vdc /theirs.img",))
    assert domain_of(booted, by_hand).ID() == number


@pytest.mark.parametrize("mark", ["lineage", "address"])
def test_a_machine_whose_mark_was_changed_is_known_by_its_uuid_and_marked_again(booted, by_hand, mark):
    value = booted.lineage if mark == "lineage" else booted.node().address
    defined_as(booted, by_hand, (f'{mark}="{value}"', f'{mark}="another"'))
    assert [each.detail for each in seen(booted).differences] == ["its mark in <metadata> was changed"]
    booted.boot(booted.node())
    assert seen(booted).differences == ()


def test_a_machine_that_runs_under_another_name_is_seen(booted, by_hand):
    domain = domain_of(booted, by_hand)
    domain.destroy()
    domain.rename("mine", 0)
    by_hand.lookupByName("mine").create()
    found = seen(booted)
    assert (found.status, found.differences[0].repair) == ("running", "restart")
    assert found.differences[0].detail.startswith("name is mine, recorded hello-frontend.")


def test_a_machine_that_was_undefined_while_it_runs_is_defined_again_and_runs_on(booted, by_hand):
    domain_of(booted, by_hand).undefine()
    found = seen(booted)
    assert found.status == "running"
    assert [each.detail for each in found.differences] == ["it is no longer defined, and will be gone once it is off"]
    number = domain_of(booted, by_hand).ID()
    booted.boot(booted.node())
    assert (seen(booted).differences, domain_of(booted, by_hand).ID()) == ((), number)


def test_a_paused_machine_says_why(booted, by_hand):
    domain_of(booted, by_hand).suspend()
    assert (seen(booted).status, seen(booted).why) == ("paused", "by a user")
    assert (seen(booted, "pending").status, seen(booted, "pending").why) == ("paused", "being booted")
    booted.boot(booted.node())
    assert seen(booted).status == "running"


@pytest.mark.parametrize("running", [True, False])
def test_a_layer_is_started_from_and_left_out_only_where_the_order_allows_it(booted, by_hand, *, running):
    disk = host_of(booted).path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    above = f"{disk.removesuffix('.qcow2')}.s1"
    if not running:
        domain_of(booted, by_hand).destroy()
    source = f"<source file='{disk}'/>"
    below = f"<source file='{above}'/><backingStore type='file'><format type='qcow2'/>{source}"
    defined_as(
        booted,
        by_hand,
        (source, below),
        ("<backingStore/>\n      </backingStore>", "<backingStore/></backingStore></backingStore>"),
    )
    assert [(layer.file, layer.above, layer.stays) for layer in seen(booted).layers] == [(above, True, False)]
    if not running:
        booted.boot(booted.node())
        assert domain_of(booted, by_hand).isActive()
        domain_of(booted, by_hand).destroy()
    larger = booted.boot_request(booted.node(memory_mib=256))
    with pytest.raises(SiteConflictError, match=r"writes to file .*\.s1"):
        booted.provider.boot(larger)
    assert memory_kib(parse(domain_of(booted, by_hand).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("memory")) == 128 * 1024
    booted.provider.boot(replace(larger, discard_layers=True))
    assert seen(booted, memory_mib=256).layers == ()


def test_a_disk_that_another_machine_stands_on_is_not_removed(booted, by_hand):
    disk = host_of(booted).path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    rescue = by_hand.defineXML(
        "<domain type='test'><name>rescue</name><memory>1024</memory><os><type>hvm</type></os><devices>"
        f"<disk type='file'><source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    with pytest.raises(SiteConflictError, match="machine rescue"):
        booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert seen(booted).status == "running"
    rescue.undefine()
    booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert booted.observed().nodes == ()


def test_a_disk_that_another_node_was_given_by_hand_is_not_removed(booted, by_hand):
    disk = host_of(booted).path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    other = booted.node("hello-compute-0")
    booted.boot(other)
    name = names.domain_name(other.name, booted.mark(other))
    document = by_hand.lookupByName(name).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    by_hand.defineXML(document.replace("</devices>", THEIRS.replace("/theirs.img", disk)))
    with pytest.raises(SiteConflictError, match=f"machine {name}"):
        booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert domain_of(booted, by_hand).isActive()
    booted.provider.clean(other, booted.mark(other))
    booted.provider.clean(booted.node(), booted.mark(booted.node()))
    assert booted.observed().nodes == ()


@pytest.mark.parametrize("name", ["hello-frontend.{short}.s1", "theirs.qcow2"])
def test_files_above_the_disk_of_a_machine_that_was_undefined_are_its_layers(booted, by_hand, name):
    """The definition that named them is gone, so nothing but the pool tells."""
    host = host_of(booted)
    disk = host.path(names.disk_volume(booted.node().name, booted.mark(booted.node())))
    above = name.format(short=booted.lineage[:8])
    host.pool().createXML(
        f"<volume><name>{above}</name><capacity>1</capacity><target><format type='qcow2'/></target>"
        f"<backingStore><path>{disk}</path><format type='qcow2'/></backingStore></volume>"
    )
    domain_of(booted, by_hand).destroy()
    domain_of(booted, by_hand).undefine()
    found = seen(booted)
    assert (found.status, found.disk, [layer.file for layer in found.layers]) == ("undefined", True, [host.path(above)])
    assert found.remedy == f"qemu-img commit {host.path(above)} && rm {host.path(above)} (on the host)"
    if "theirs" in above:
        host.pool().storageVolLookupByName(above).delete()


def test_a_file_called_after_a_node_goes_with_it_when_the_disk_below_is_gone_already(booted):
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
