"""PCI devices of a hypervisor host: their inventory, their use by nodes, and the comparison of definitions."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import fromstring

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.planning.observed import HostDevice, ObservedNode
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.host_devices import host_device, used_devices
from pragmaspec.providers.libvirt.errors import as_site_error
from pragmaspec.providers.libvirt.host_devices import GONE, NO_IOMMU
from pragmaspec.resources import Node, NodeDevice
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import Record, State
from pragmaspec.testing.subject import Subject
from tests.providers.libvirt.conftest import host_of
from tests.providers.libvirt.test_errors import failure

PCI = """<device><name>pci_0000_{bus}_00_{function}</name><parent>computer</parent><capability type='pci'><domain>0</domain>
<bus>{number}</bus><slot>0</slot><function>{function}</function><product id='0x{product}'>{title}</product>
<vendor id='0x10de'>NVIDIA</vendor>{group}</capability></device>"""
GROUP = "<iommuGroup number='7'><address domain='0x0000' bus='0x41' slot='0x00' function='0x0'/></iommuGroup>"
HOSTDEV = """<hostdev mode='subsystem' type='pci' managed='yes'><source>
<address domain='0x0000' bus='0x{bus}' slot='0x00' function='0x0'/></source></hostdev>"""
FOREIGN = """<domain type='test'><name>by-hand</name><memory>65536</memory><os><type>hvm</type></os><devices>
{devices}</devices></domain>"""
GPU, SECOND, VANISHED = (NodeDevice(alias="gpu", address=f"0000:{bus}:00.0") for bus in ("41", "42", "45"))


def pci(bus: str, product: str = "20b0", function: int = 0, group: str = GROUP) -> str:
    return PCI.format(bus=bus, number=int(bus, 16), function=function, product=product, group=group, title=f"GPU {product}")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Subject]:
    """A stack at a test driver of its own, with four PCI devices."""
    node = tmp_path / "node.xml"
    devices = pci("41") + pci("42") + pci("43", group="") + pci("44", "1eb8") + pci("44", "ffff", 1)
    node.write_text(f"""<node>{devices}
<pool type='dir'><name>default-pool</name><target><path>/default-pool</path></target></pool>
<network><name>default</name><forward mode='nat'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network></node>""")
    options = (("gpu", ("10de:20b0", "0000:45:00.0")), ("t4", ("10de:1eb8",)), ("any", ("0000:42:00.0",)))
    subject = Subject.at(LibvirtSite(name="lab", uri=f"test://{node}", devices=options), tmp_path)
    yield subject
    subject.clean_all()
    subject.provider.close()


def domain_of(stack: Subject, name: str = "hello-frontend") -> libvirt.virDomain:
    return host_of(stack).handle().lookupByName(names.domain_name(name, stack.mark(stack.node(name))))


def definition(stack: Subject) -> str:
    return domain_of(stack).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


def attach_by_hand(stack: Subject, bus: str) -> None:
    changed = definition(stack).replace("</devices>", f"{HOSTDEV.format(bus=bus)}</devices>")
    host_of(stack).handle().defineXML(changed)


def recorded_node(stack: Subject, node: Node) -> ObservedNode:
    """Return the observed machine, compared with the record of ``node``."""
    records = [Record(resource=each, status="ready") for each in (stack.allocation(), stack.image, node)]
    state = State(lineage=stack.lineage).with_records(records)
    (seen,) = stack.provider.observe(stack.lineage, state).nodes
    return seen


def recorded(stack: Subject, *devices: NodeDevice) -> ObservedNode:
    """Return the observed machine, compared with a record of ``devices``."""
    return recorded_node(stack, stack.node(devices=devices))


def test_the_inventory_lists_the_devices_that_the_site_names(stack):
    host_of(stack).handle().defineXML(FOREIGN.format(devices=HOSTDEV.format(bus="42")))
    inventory = stack.provider.inventory()
    assert inventory.device_aliases == ("gpu", "t4", "any")
    assert inventory.host_devices == (
        HostDevice(address="0000:41:00.0", aliases=("gpu",), description="NVIDIA GPU 20b0"),
        HostDevice(address="0000:42:00.0", aliases=("gpu", "any"), description="NVIDIA GPU 20b0"),
        HostDevice(address="0000:43:00.0", aliases=("gpu",), description="NVIDIA GPU 20b0", problem=NO_IOMMU),
        HostDevice(address="0000:44:00.0", aliases=("t4",), description="NVIDIA GPU 1eb8"),
        HostDevice(address="0000:45:00.0", aliases=("gpu",), problem=GONE),
    )
    (use,) = inventory.device_uses
    assert (use.value, use.owner, use.lineage, use.running) == ("0000:42:00.0", "machine by-hand", None, False)


def test_a_node_has_its_devices_in_its_definition_and_does_not_differ(stack):
    stack.prepare()
    stack.boot(stack.node(devices=(GPU, SECOND)))
    assert used_devices(fromstring(definition(stack))) == {GPU.address, SECOND.address}
    seen = recorded(stack, GPU, SECOND)
    assert (seen.differences, seen.additions, seen.passing) == ((), (), ())
    uses = stack.provider.inventory().device_uses
    assert [(use.value, use.address, use.running) for use in uses] == [
        (device.address, stack.node().address, True) for device in (GPU, SECOND)
    ]


def test_another_device_replaces_one_of_an_earlier_record_and_keeps_those_by_hand(stack):
    stack.prepare()
    stack.boot(stack.node(devices=(GPU,)))
    stack.provider.shutdown(stack.node(), stack.mark(stack.node()), grace_s=0)
    attach_by_hand(stack, "44")
    seen = recorded(stack, SECOND)
    assert [(each.detail, each.repair) for each in seen.differences] == [
        ("device 0000:41:00.0 is left in its definition", "define"),
        ("device 0000:42:00.0 is missing in its definition", "define"),
    ]
    assert seen.additions == ("host device pci 0x0000:0x44:0x00:0x0",)
    stack.boot(stack.node(devices=(SECOND,)))
    assert used_devices(fromstring(definition(stack))) == {SECOND.address, "0000:44:00.0"}
    stack.boot(stack.node(devices=()))
    assert used_devices(fromstring(definition(stack))) == {"0000:44:00.0"}


def test_a_device_attached_by_hand_is_adopted(stack):
    stack.prepare()
    stack.boot(stack.node())
    stack.provider.shutdown(stack.node(), stack.mark(stack.node()), grace_s=0)
    attach_by_hand(stack, "42")
    assert recorded(stack, SECOND).differences == ()
    stack.boot(stack.node(devices=(SECOND,)))
    assert definition(stack).count("<hostdev") == 1


def test_a_device_detached_by_hand_is_attached_again(stack):
    stack.prepare()
    node = stack.node(devices=(GPU,))
    stack.boot(node)
    before, _, rest = definition(stack).partition("<hostdev")
    host_of(stack).handle().defineXML(before + rest.partition("</hostdev>")[2])
    (found,) = recorded(stack, GPU).differences
    assert (found.detail, found.defined) == ("device 0000:41:00.0 is missing in its definition", True)
    stack.provider.shutdown(node, stack.mark(node), grace_s=0)
    stack.boot(node)
    assert recorded(stack, GPU).differences == ()


def test_a_running_machine_without_its_device_is_restarted(stack):
    stack.prepare()
    stack.boot(stack.node())
    (found,) = recorded(stack, GPU).differences
    assert (found.detail, found.repair) == ("device 0000:41:00.0 is missing", "restart")


def test_a_device_that_vanished_is_drift_and_prevents_a_start(stack):
    stack.prepare()
    node = stack.node(devices=(VANISHED,))
    with pytest.raises(SiteConflictError, match=r"0000:45:00\.0, which the host of site lab no longer has"):
        stack.boot(node)
    stack.boot(stack.node())
    assert f"device gpu 0000:45:00.0 {GONE}" in [each.detail for each in recorded(stack, VANISHED).differences]


def test_a_start_with_a_device_of_a_running_machine_is_refused(stack):
    stack.prepare()
    foreign = host_of(stack).handle().defineXML(FOREIGN.format(devices=HOSTDEV.format(bus="41")))
    node = stack.node(devices=(GPU,))
    stack.provider.check_boot(stack.boot_request(node))
    foreign.create()
    for refused in (stack.provider.check_boot, stack.provider.boot):
        with pytest.raises(SiteConflictError, match=r"0000:41:00\.0 of site lab, which machine by-hand has\. Plan"):
            refused(stack.boot_request(node))
    foreign.destroy()
    stack.boot(node)


def test_a_rebuild_may_use_the_device_of_the_machine_that_it_replaces(stack):
    stack.prepare()
    node = stack.node(devices=(GPU,))
    stack.boot(node)
    stack.provider.check_boot(stack.boot_request(node, generation=1))


@pytest.mark.parametrize(
    ("xml", "address"),
    [
        (HOSTDEV.format(bus="41"), "0000:41:00.0"),
        ("<interface type='hostdev'><source><address type='pci' domain='0' bus='2' slot='3' function='1'/></source></interface>",
         "0000:02:03.1"),
        ("<interface type='network'><source network='default'/></interface>", ""),
        ("<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>", ""),
        ("<hostdev mode='subsystem' type='pci'><source><address bus='many'/></source></hostdev>", ""),
        ("<hostdev mode='subsystem' type='pci'/>", ""),
        ("<disk/>", ""),
    ],
)  # fmt: skip
def test_addresses_of_devices_in_definitions(xml, address):
    assert host_device(fromstring(xml)) == address


@pytest.mark.parametrize(
    ("message", "summary", "kind"),
    [
        ("PCI device 0000:41:00.0 is in use by driver QEMU, domain by-hand", "Device in use", SiteConflictError),
        ("PCI device 0000:41:00.0 is in use", "Device in use", SiteConflictError),
        ("Device 0000:41:00.0 not found: could not access /sys/bus/pci/devices/0000:41:00.0/config", "The device is gone",
         SiteConflictError),
        ("unsupported configuration: host doesn't support passthrough of host PCI devices",
         "The host cannot pass devices through", SiteError),
        ("qemu: vfio 0000:41:00.0: group 7 is not viable", "The device's neighbours are in use", SiteError),
    ],
)  # fmt: skip
def test_failures_of_devices_have_advice(message, summary, kind):
    error = as_site_error(failure(libvirt.VIR_ERR_OPERATION_INVALID, message=message), "boot hello-gpu-0")
    assert (type(error), error.problems[0].summary) == (kind, summary)


@pytest.mark.hypervisor
def test_real_hosts_report_devices_and_refuse_them_without_an_iommu(real_stack, real_virsh):
    """This machine has no IOMMU: its devices are listed as unusable, and a start that ignores that fails with advice."""
    every = real_virsh.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV)
    address = max(device.name().removeprefix("pci_").replace("_", ":", 2).replace("_", ".") for device in every)
    host = host_of(real_stack)
    host.site = replace(host.site, devices=(("any", (address,)),))
    (found,) = real_stack.provider.inventory().host_devices
    assert (found.address, found.aliases, found.problem) == (address, ("any",), NO_IOMMU)
    real_stack.prepare()
    node = real_stack.node(devices=(NodeDevice(alias="any", address=address),))
    with pytest.raises(SiteError, match="Enable the IOMMU") as caught:
        real_stack.boot(node)
    assert caught.value.problems[0].summary == "The host cannot pass devices through"
    seen = recorded(real_stack, *node.devices)
    assert (seen.status, seen.differences, seen.additions) == ("off", (), ())
    (use,) = real_stack.provider.inventory().device_uses
    assert (use.value, use.address, use.running) == (address, node.address, False)
