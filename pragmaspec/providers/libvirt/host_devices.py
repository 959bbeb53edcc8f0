"""PCI devices of a hypervisor host that nodes may have for themselves, and their users."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import libvirt

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.planning.observed import Difference, ExclusiveUse, HostDevice
from pragmaspec.providers.libvirt.domains.host_devices import used_devices
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.exclusive_uses import conflicts, exclusive_uses, in_use_problem
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Mark, Node

NO_IOMMU = "cannot be passed through: it has no IOMMU group (is the IOMMU enabled in the host's firmware and kernel?)"
GONE = "is gone from the host"


class _PciDevice(NamedTuple):
    """A PCI device of the host. ``kind``: vendor and product, such as ``10de:20b0``."""

    address: str
    kind: str
    description: str
    has_group: bool


class DeviceInventory(NamedTuple):
    """Devices of a host, with the names of fields of :class:`~pragmaspec.planning.observed.Inventory`."""

    device_aliases: tuple[str, ...] = ()
    host_devices: tuple[HostDevice, ...] = ()
    device_uses: tuple[ExclusiveUse, ...] = ()


def device_inventory(host: Host, machines: Iterable[ObservedDomain]) -> DeviceInventory:
    """Take the inventory of the devices that the site's options name, and that machines with marks have."""
    uses = tuple(sorted(exclusive_uses(machines, used_devices), key=lambda use: (use.value, use.owner)))
    ours = {use.value for use in uses if use.lineage}
    if not host.site.devices and not ours:
        return DeviceInventory(device_uses=uses)
    found = {device.address: device for device in _pci_devices(host)}
    aliases = {address: _aliases(host, device) for address, device in found.items()}
    named = {name for _, names in host.site.devices for name in names if "." in name}
    shown = sorted(ours | named | {address for address, own in aliases.items() if own})
    return DeviceInventory(
        device_aliases=tuple(alias for alias, _ in host.site.devices),
        host_devices=tuple(
            _offer(found[address], aliases[address])
            if address in found
            else HostDevice(address=address, aliases=_named_by(host, address), problem=GONE)
            for address in shown
        ),
        device_uses=uses,
    )


def vanished_devices(host: Host, node: Node) -> Iterator[Difference]:
    """Yield a difference per device of ``node`` that the host no longer has. Its next start would fail."""
    for device in node.devices:
        if device.address and not _exists(host, device.address):
            yield Difference(f"device {device.alias} {device.address} {GONE}", "restart")


def require_devices(host: Host, node: Node, own_marks: Iterable[Mark]) -> None:
    """Raise SiteConflictError when the host lacks a device of ``node``, or a machine without an own mark runs with it."""
    own = {device.address for device in node.devices if device.address}
    if not own:
        return
    problems = [
        Problem(
            summary="The device is gone",
            detail=f"{node.name} needs the device {address}, which the host of site {host.site.name} no longer has. Plan again "
            "to choose another.",
        )
        for address in sorted(own)
        if not _exists(host, address)
    ]
    problems += (in_use_problem(host, node, "device", use) for use in conflicts(host, used_devices, own, own_marks))
    if problems:
        raise SiteConflictError.of(problems)


def _exists(host: Host, address: str) -> bool:
    with ignoring(libvirt.VIR_ERR_NO_NODE_DEVICE):
        host.handle().nodeDeviceLookupByName(f"pci_{address.replace(':', '_').replace('.', '_')}")
        return True
    return False


def _pci_devices(host: Host) -> Iterator[_PciDevice]:
    for device in host.handle().listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV):
        with ignoring(libvirt.VIR_ERR_NO_NODE_DEVICE):
            root = parse(device.XMLDesc(0))
            pci = root.find("capability[@type='pci']")
            if pci is None:
                continue
            parts = (pci.find("vendor"), pci.find("product"))
            ids = [part.get("id", "").removeprefix("0x") for part in parts if part is not None]
            names = [part.text.strip() for part in parts if part is not None and part.text]
            address = "{:04x}:{:02x}:{:02x}.{:x}".format(
                *(int(pci.findtext(name, "0"), 0) for name in ("domain", "bus", "slot", "function"))
            )
            yield _PciDevice(address, ":".join(ids), " ".join(names), pci.find("iommuGroup") is not None)


def _offer(device: _PciDevice, aliases: tuple[str, ...]) -> HostDevice:
    problem = "" if device.has_group else NO_IOMMU
    return HostDevice(address=device.address, aliases=aliases, description=device.description, problem=problem)


def _aliases(host: Host, device: _PciDevice) -> tuple[str, ...]:
    return tuple(alias for alias, names in host.site.devices if device.address in names or device.kind in names)


def _named_by(host: Host, address: str) -> tuple[str, ...]:
    return tuple(alias for alias, names in host.site.devices if address in names)
