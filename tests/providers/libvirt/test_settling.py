"""Machines that people changed by hand, at libvirt's own test driver: what is seen of them, and what a boot and a clean do."""

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.observed import Difference
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.definition import kib
from pragmaspec.providers.libvirt.markup import parsed
from pragmaspec.recorded import Record, State
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


def seen(stack, **changed):
    """The node as it is observed, compared with a record of it that is ``changed``."""
    records = (Record(resource=stack.allocation()), Record(resource=stack.image), Record(resource=stack.node(**changed)))
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
    assert [each.detail for each in seen(booted).differences] == ["its mark in <metadata> is not the one that it was given"]
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


def test_a_paused_machine_says_why(booted, by_hand):
    domain_of(booted, by_hand).suspend()
    assert (seen(booted).status, seen(booted).why) == ("paused", "by a user")
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
    larger = booted.order(booted.node(memory_mib=256))
    with pytest.raises(SiteConflictError, match=r"writes to file .*\.s1"):
        booted.provider.boot(larger)
    assert kib(parsed(domain_of(booted, by_hand).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("memory")) == 128 * 1024
    booted.provider.boot(replace(larger, loses_layers=True))
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
