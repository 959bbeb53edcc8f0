"""PCI devices of the host in the XML of a domain: the node's own, and those of any domain. Pure.

An own device carries an alias of ours, so that one that the record no longer names is removed, and manual additions are kept.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from xml.etree.ElementTree import Element, SubElement

from pragmaspec.planning.observed import Difference
from pragmaspec.providers.libvirt.domains.definition import attribute
from pragmaspec.resources import Node

_ALIAS = "ua-pragmaspec-device-"
"""libvirt keeps aliases that begin with "ua-" in definitions."""
_PARTS = ("domain", "bus", "slot", "function")
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


def add_host_devices(devices: Element, node: Node) -> None:
    """Add the node's devices, which libvirt takes from their drivers at each start and gives back after it."""
    for index, device in enumerate(each for each in node.devices if each.address):
        hostdev = SubElement(devices, "hostdev", {"mode": "subsystem", "type": "pci", "managed": "yes"})
        source = SubElement(hostdev, "source")
        SubElement(source, "address", _xml_address(device.address))
        SubElement(hostdev, "alias", {"name": f"{_ALIAS}{index}"})


def pci_address(element: Element | None) -> str:
    """Return ``0000:41:00.0`` for the XML of a PCI address; empty if it is none."""
    if element is None:
        return ""
    try:
        domain, bus, slot, function = (int(element.get(name, ""), 0) for name in _PARTS)
    except ValueError:
        return ""
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def host_device(device: Element) -> str:
    """Return the PCI address of the host's device that ``device`` passes through; empty if it passes none through."""
    if device.tag == "hostdev" and device.get("type") != "pci":
        return ""
    if device.tag not in ("hostdev", "interface") or (device.tag == "interface" and device.get("type") != "hostdev"):
        return ""
    return pci_address(device.find("source/address"))


def used_devices(domain: Element) -> frozenset[str]:
    """Return the PCI addresses of all devices of the host that a domain has."""
    return frozenset(filter(None, map(host_device, domain.findall("devices/*"))))


def is_own_host_device(device: Element, own: AbstractSet[str]) -> bool:
    """True if the device is one of ``own``, the addresses of the recorded ones, or was added for an earlier record."""
    return device.tag == "hostdev" and (attribute(device, "alias", "name").startswith(_ALIAS) or host_device(device) in own)


def device_differences(wanted: Element, defined: Element, active: Element | None) -> Iterator[Difference]:
    """Yield the differences of the node's own devices from ``wanted``: missing ones, and those of an earlier record."""
    own = used_devices(wanted)
    has, runs = (frozenset() if each is None else _own_addresses(each, own) for each in (defined, active))
    for address in sorted(own | has | runs):
        recorded = address in own
        where = [recorded != (address in has), active is not None and recorded != (address in runs)]
        state = f"device {address} is {'missing' if recorded else 'left'}"
        if all(where):
            yield Difference(state, "restart")
        elif where[0]:
            yield Difference(f"{state} in its definition")
        elif where[1]:
            yield Difference(f"{state} while it runs", "restart", defined=False)


def _own_addresses(domain: Element, own: AbstractSet[str]) -> frozenset[str]:
    return frozenset(host_device(each) for each in domain.findall("devices/hostdev") if is_own_host_device(each, own))


def _xml_address(address: str) -> dict[str, str]:
    found = _ADDRESS.fullmatch(address)
    return {name: f"0x{part}" for name, part in zip(_PARTS, found.groups() if found else (), strict=False)}
