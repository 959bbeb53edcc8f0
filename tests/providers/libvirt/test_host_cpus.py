"""Pinned CPUs at a hypervisor host: the inventory, definitions, their comparison and repair."""

import re
from pathlib import Path
from xml.etree.ElementTree import fromstring

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.observed import HostCpu
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.pinning import cpu_set, used_cpus
from pragmaspec.resources import UNCHOSEN
from pragmaspec.site import Reserve
from tests.providers.libvirt.conftest import host_of
from tests.providers.libvirt.test_host_devices import recorded_node

FOREIGN = """<domain type='test'><name>by-hand</name><memory>65536</memory><vcpu>2</vcpu><os><type>hvm</type></os>
<cputune><vcpupin vcpu='0' cpuset='3'/><vcpupin vcpu='1' cpuset='0-15'/></cputune></domain>"""


def domain_of(stack, handle):
    return handle.lookupByName(names.domain_name(stack.node().name, stack.mark(stack.node())))


def definition(stack, handle):
    return domain_of(stack, handle).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


def pinned(stack, *cpus):
    return replace(stack.node(cpus=len(cpus)), pinned=cpus)


def found(stack, node):
    return [(each.detail, each.repair, each.defined) for each in recorded_node(stack, node).differences]


def test_the_inventory_has_the_cpus_of_the_host_and_their_users(fake_stack, virsh):
    theirs = virsh.defineXML(FOREIGN)
    fake_stack.prepare()
    node = pinned(fake_stack, 4, 5)
    fake_stack.boot(node)
    inventory = fake_stack.provider.inventory()
    assert inventory.host_cpus == tuple(HostCpu(id=cpu, core=cpu, cell=cpu // 8) for cpu in range(16))
    assert [(use.value, use.owner, use.address, use.running) for use in inventory.cpu_uses] == [
        ("3", "machine by-hand", None, False),
        *((cpu, f"{node.address} of stack {fake_stack.lineage[:8]}", node.address, True) for cpu in ("4", "5")),
    ]
    theirs.undefine()


def test_a_pinned_node_has_its_cpus_in_its_definition_and_does_not_differ(fake_stack, virsh):
    fake_stack.prepare()
    node = pinned(fake_stack, 9, 8)
    fake_stack.boot(node)
    root = fromstring(definition(fake_stack, virsh))
    assert [(pin.get("vcpu"), pin.get("cpuset")) for pin in root.findall("cputune/vcpupin")] == [("0", "9"), ("1", "8")]
    assert root.find("cputune/emulatorpin").get("cpuset") == "0-7,10-15"
    assert root.find("numatune/memory").attrib == {"mode": "strict", "nodeset": "1"}
    seen = recorded_node(fake_stack, node)
    assert (seen.differences, seen.additions, seen.passing) == ((), (), ())


def test_other_threads_run_on_the_reserve_of_the_host(fake_stack, virsh):
    host = host_of(fake_stack)
    host.site = replace(host.site, reserve=Reserve(cpus=2))
    fake_stack.prepare()
    fake_stack.boot(pinned(fake_stack, 2))
    assert "<emulatorpin cpuset='0-1'/>" in definition(fake_stack, virsh)


def test_a_node_with_every_cpu_has_no_others_for_its_threads(fake_stack, virsh):
    fake_stack.prepare()
    node = pinned(fake_stack, *range(16))
    fake_stack.boot(node)
    text = definition(fake_stack, virsh)
    assert "emulatorpin" not in text
    assert "numatune" not in text, "it has CPUs of both NUMA nodes"
    assert found(fake_stack, node) == []


def test_pins_are_removed_with_the_record_and_limits_by_hand_are_kept(fake_stack, virsh):
    fake_stack.prepare()
    node = pinned(fake_stack, 4)
    fake_stack.boot(node)
    fake_stack.provider.shutdown(node, fake_stack.mark(node), grace_s=0)
    virsh.defineXML(definition(fake_stack, virsh).replace("<cputune>", "<cputune><shares>2048</shares>"))
    seen = recorded_node(fake_stack, node)
    assert (seen.differences, seen.additions) == ((), ("section cputune",))
    fake_stack.boot(pinned(fake_stack, 6))
    assert re.findall("shares>2048|vcpu='0' cpuset='.'", definition(fake_stack, virsh)) == [
        "shares>2048",
        "vcpu='0' cpuset='6'",
    ]
    unpinned = fake_stack.node()
    fake_stack.provider.shutdown(unpinned, fake_stack.mark(unpinned), grace_s=0)
    assert ("virtual CPU 0 is pinned to 6 in its definition, recorded none", "define", True) in found(fake_stack, unpinned)
    fake_stack.boot(unpinned)
    text = definition(fake_stack, virsh)
    assert "shares" in text
    assert not re.search("vcpupin|emulatorpin|numatune", text)
    assert found(fake_stack, unpinned) == []


def test_pins_by_hand_of_a_node_without_any_are_kept_until_it_is_pinned(fake_stack, virsh):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    fake_stack.provider.shutdown(node, fake_stack.mark(node), grace_s=0)
    by_hand = "<cputune><vcpupin vcpu='0' cpuset='7'/></cputune></domain>"
    virsh.defineXML(definition(fake_stack, virsh).replace("</domain>", by_hand))
    assert recorded_node(fake_stack, node).additions == ("section cputune",)
    fake_stack.boot(replace(node, memory_mib=160))
    assert "cpuset='7'" in definition(fake_stack, virsh)
    fake_stack.provider.shutdown(node, fake_stack.mark(node), grace_s=0)
    fake_stack.boot(pinned(fake_stack, 2))
    assert used_cpus(fromstring(definition(fake_stack, virsh)), frozenset(range(16))) == {2}


def test_other_pins_in_the_definition_are_drift(fake_stack, virsh):
    fake_stack.prepare()
    node = pinned(fake_stack, 4, 5)
    fake_stack.boot(node)
    fake_stack.provider.shutdown(node, fake_stack.mark(node), grace_s=0)
    changed = definition(fake_stack, virsh).replace("vcpu='1' cpuset='5'", "vcpu='1' cpuset='6-7'").replace("'0'/>", "'1'/>")
    virsh.defineXML(changed.replace("nodeset='0'", "nodeset='1'"))
    assert found(fake_stack, node)[0] == ("virtual CPU 1 is pinned to 6-7 in its definition, recorded 5", "define", True)
    fake_stack.boot(node)
    assert found(fake_stack, node) == []


def test_a_start_on_cpus_of_a_running_machine_is_refused(fake_stack, virsh):
    theirs = virsh.defineXML(FOREIGN)
    fake_stack.prepare()
    node = pinned(fake_stack, 3)
    fake_stack.provider.check_boot(fake_stack.boot_request(node))
    theirs.create()
    with pytest.raises(SiteConflictError, match="needs the CPU 3 of site pretended, which machine by-hand has"):
        fake_stack.boot(node)
    theirs.destroy()
    theirs.undefine()
    fake_stack.boot(node)
    fake_stack.provider.check_boot(fake_stack.boot_request(node, generation=1))


def test_cpus_that_vanished_are_drift(fake_stack):
    fake_stack.prepare()
    fake_stack.boot(pinned(fake_stack, 3))
    details = [detail for detail, *_ in found(fake_stack, pinned(fake_stack, 77))]
    assert "the host no longer has its CPUs 77" in details


def test_cpus_that_are_not_chosen_yet_are_not_pinned(fake_stack, virsh):
    fake_stack.prepare()
    fake_stack.boot(pinned(fake_stack, UNCHOSEN))
    assert "vcpupin" not in definition(fake_stack, virsh)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0-3,8", {0, 1, 2, 3, 8}), ("0-3,^2", {0, 1, 3}), ("5", {5}), ("", set()), ("a-b,1", {1})],
)
def test_sets_of_cpus(text, cpus):
    assert cpu_set(text) == cpus


@pytest.mark.hypervisor
def test_threads_of_a_real_machine_run_on_their_cpus_and_are_repaired(real_stack, real_virsh):
    every = {cpu.id for cpu in real_stack.provider.inventory().host_cpus}
    last, rest = max(every), every - {max(every)}
    real_stack.prepare()
    node = pinned(real_stack, last)
    real_stack.boot(node)
    assert found(real_stack, node) == []
    domain = domain_of(real_stack, real_virsh)
    process = next(Path("/run/libvirt/qemu").glob(f"{domain.name()}.pid")).read_text()
    assert allowed(process, "CPU 0/") == {last}
    assert allowed(process, "qemu-system") == rest
    domain.pinVcpuFlags(0, tuple(cpu in every for cpu in range(last + 1)), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert allowed(process, "CPU 0/") == every
    assert found(real_stack, node) == [(f"virtual CPU 0 is pinned to 0-{last} while it runs, recorded {last}", "live", False)]
    real_stack.boot(node)
    assert allowed(process, "CPU 0/") == {last}
    assert found(real_stack, node) == []


def allowed(process, thread):
    """Return the CPUs on which a thread of QEMU may run, by the beginning of its name."""
    for task in Path(f"/proc/{process}/task").iterdir():
        if (task / "comm").read_text().startswith(thread):
            (text,) = re.findall(r"^Cpus_allowed_list:\s*(\S+)$", (task / "status").read_text(), re.MULTILINE)
            return cpu_set(text)
    raise AssertionError(f"no thread {thread}")


def test_a_renamed_node_may_use_the_cpus_of_the_machine_that_it_replaces(fake_stack):
    fake_stack.prepare()
    node = pinned(fake_stack, 3)
    fake_stack.boot(node)
    anew = fake_stack.boot_request(replace(node, name="world-frontend"), generation=1)
    with pytest.raises(SiteConflictError, match="needs the CPU 3"):
        fake_stack.provider.check_boot(anew)
    fake_stack.provider.check_boot(replace(anew, present=fake_stack.boot_request(node).mark))
