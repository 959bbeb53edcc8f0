"""Manual additions to a domain: described, and merged into a new definition. Pure.

An addition is neither declared by pragmaspec nor a default of libvirt: devices, sections such as ``<cputune>``, metadata of other
programs. libvirt adds its defaults (controllers, the console that mirrors the serial port, the PS/2 devices) again by itself.
"""

from collections.abc import Iterator
from copy import deepcopy
from xml.etree.ElementTree import Element, SubElement

from pragmaspec.providers.libvirt.domains.definition import (
    attribute,
    disk_label,
    disk_target,
    interface_mac,
    is_extra_disk,
    is_own_disk,
    own_macs,
    source_of,
)
from pragmaspec.providers.libvirt.domains.host_devices import is_own_host_device, used_devices
from pragmaspec.providers.libvirt.domains.pinning import add_section, is_pinned, manual_part
from pragmaspec.providers.libvirt.metadata import is_owner

_SIZE = frozenset(("memory", "currentMemory", "maxMemory", "vcpu", "cpu"))
_DECLARED = _SIZE | frozenset(("name", "uuid", "title", "metadata", "os", "features", "clock", "devices"))
_EVENTS = frozenset(("on_poweroff", "on_reboot", "on_crash"))
_DERIVED = frozenset(("vcpus", "resource"))
"""Sections that libvirt derives from others."""
_UNREPORTED = frozenset(("description", "genid", "perf", "iothreadids"))
"""Sections that are kept but not reported: descriptions, and settings without effect on the machine."""
_DEFAULT_CONTROLLERS = frozenset(("pci", "sata", "ide", "fdc", "isa", "virtio-serial", "ccid"))
_DISK_DECLARED = frozenset(("driver", "source", "backingStore", "target", "readonly", "alias", "address", "boot", "mirror"))
_INTERFACE_DECLARED = frozenset(
    ("mac", "source", "model", "mtu", "rom", "target", "alias", "address", "link", "boot", "virtualport")
)
_FEATURES = frozenset(("acpi", "apic", "gic"))
_DEVICE_NAMES: dict[str, str] = {
    "hostdev": "host device",
    "redirdev": "redirected device",
    "memballoon": "memory balloon",
    "rng": "random number generator",
}


def additions(wanted: Element, defined: Element) -> tuple[str, ...]:
    """Return descriptions of the additions of ``defined`` to ``wanted``, without duplicates."""
    return tuple(dict.fromkeys(_describe_additions(wanted, defined)))


def transient_additions(wanted: Element, defined: Element, active: Element) -> tuple[str, ...]:
    """Return descriptions of additions to the running machine only, which are lost at its next start."""
    known = set(additions(wanted, defined))
    return tuple(dict.fromkeys(each for each in _describe_additions(wanted, active, sections=False) if each not in known))


def with_additions(wanted: Element, found: Element) -> Element:
    """Return ``wanted`` with all additions to the definition ``found``."""
    domain = deepcopy(wanted)
    devices = domain.find("devices")
    for device in _added_devices(domain, found):
        if devices is not None:
            devices.append(deepcopy(device))
    for declared, existing in _own_devices(domain, found):
        declared.extend(deepcopy(each) for each in _extras(existing))
    for section in _sections(wanted, found):
        add_section(domain, section)
    features = domain.find("features")
    for feature in _features(found):
        features = SubElement(domain, "features") if features is None else features
        features.append(deepcopy(feature))
    _keep_emulator(domain, found)
    _keep_metadata(domain, found)
    return domain


def _describe_additions(wanted: Element, found: Element, *, sections: bool = True) -> Iterator[str]:
    yield from map(_describe_device, _reported_devices(wanted, found))
    for _, existing in _own_devices(wanted, found):
        for extra in _extras(existing):
            name = f"disk {disk_target(existing)}" if existing.tag == "disk" else f"interface {interface_mac(existing)}"
            yield f"{extra.tag} of {name}"
    if sections:
        yield from (
            f"section {_local_name(section.tag)}" for section in _sections(wanted, found) if section.tag not in _UNREPORTED
        )
        yield from (f"feature {feature.tag}" for feature in _features(found))


def _reported_devices(wanted: Element, found: Element) -> Iterator[Element]:
    """The added devices without controllers, which are implied by the devices attached to them."""
    return (device for device in _added_devices(wanted, found) if device.tag != "controller")


def _added_devices(wanted: Element, found: Element) -> Iterator[Element]:
    macs, own = own_macs(wanted), used_devices(wanted)
    seen: set[str] = set()
    for device in found.findall("devices/*"):
        first = device.tag not in seen
        seen.add(device.tag)
        if not _is_own(device, macs, first=first) and not is_own_host_device(device, own) and not _is_default(device):
            yield device


def _is_own(device: Element, macs: frozenset[str], *, first: bool) -> bool:
    match device.tag:
        case "disk":
            return is_own_disk(device)
        case "interface":
            return interface_mac(device) in macs
        case "serial" | "rng" | "memballoon":
            return first
        case "memory":
            return True  # Part of the memory size, which is declared.
        case _:
            return False


def _is_default(device: Element) -> bool:
    """True if libvirt adds the device to every such definition by itself."""
    match device.tag:
        case "emulator":
            return True
        case "controller":
            return device.get("type") in _DEFAULT_CONTROLLERS or (device.get("type"), device.get("model")) == ("usb", "none")
        case "input":
            return device.get("bus") in ("ps2", "xen")
        case "console":
            return attribute(device, "target", "type") in ("serial", "")
        case "audio":
            return device.get("type") == "none"
        case "watchdog":
            return device.get("model") == "itco"
        case _:
            return False


def _own_devices(wanted: Element, found: Element) -> Iterator[tuple[Element, Element]]:
    """Each wanted disk and interface, with its counterpart in ``found``."""
    existing = {_identity(device): device for device in (*found.findall("devices/disk"), *found.findall("devices/interface"))}
    for device in (*wanted.findall("devices/disk"), *wanted.findall("devices/interface")):
        if _identity(device) in existing:
            yield device, existing[_identity(device)]


def _identity(device: Element) -> tuple[str, str]:
    return device.tag, disk_label(device) if device.tag == "disk" else interface_mac(device)


def _extras(device: Element) -> list[Element]:
    """Undeclared children of a node's own disk or interface: limits, filters."""
    declared = _DISK_DECLARED if device.tag == "disk" else _INTERFACE_DECLARED
    if device.tag == "disk" and is_extra_disk(device):
        declared |= {"serial"}
    return [child for child in device if child.tag not in declared]


def _sections(wanted: Element, found: Element) -> list[Element]:
    pinned = is_pinned(wanted) or is_pinned(found)
    return [
        part
        for section in found
        if (part := manual_part(section, pinned=pinned)) is not None
        and section.tag not in _DECLARED | _EVENTS | _DERIVED
        and not (section.tag == "seclabel" and section.get("type") == "dynamic")
    ]


def _features(found: Element) -> list[Element]:
    return [feature for feature in found.findall("features/*") if feature.tag not in _FEATURES]


def _keep_emulator(domain: Element, found: Element) -> None:
    """Keep the emulator: one chosen by hand cannot be distinguished from libvirt's choice."""
    emulator, devices = found.find("devices/emulator"), domain.find("devices")
    if emulator is not None and devices is not None and domain.get("type") == found.get("type"):
        devices.insert(0, deepcopy(emulator))


def _keep_metadata(domain: Element, found: Element) -> None:
    metadata = domain.find("metadata")
    if metadata is not None:
        metadata.extend(deepcopy(each) for each in found.findall("metadata/*") if not is_owner(each))


def _describe_device(device: Element) -> str:
    """``disk vdc /x/y.qcow2``, ``interface 52:54:… on network default``, ``channel org.qemu.guest_agent.0``."""
    match device.tag:
        case "disk":
            return " ".join(filter(None, ("disk", disk_target(device), source_of(device))))
        case "interface":
            return f"interface {interface_mac(device)} on {source_of(device) or device.get('type')}"
        case "hostdev":
            address = device.find("source/address")
            where = ":".join(address.attrib.values()) if address is not None else ""
            return " ".join(filter(None, ("host device", device.get("type"), where)))
        case "filesystem":
            return f"filesystem {attribute(device, 'target', 'dir')} of {attribute(device, 'source', 'dir')}"
        case "channel":
            return f"channel {attribute(device, 'target', 'name') or device.get('type')}"
        case _:
            kind = device.get("model") or device.get("type") or attribute(device, "model", "type") or device.get("bus", "")
            return " ".join(filter(None, (_DEVICE_NAMES.get(device.tag, device.tag), kind)))


def _local_name(tag: str) -> str:
    """``{http://libvirt.org/schemas/domain/qemu/1.0}commandline`` → ``commandline``."""
    return tag.rpartition("}")[2]
