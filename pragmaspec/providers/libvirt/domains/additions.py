"""Additions made to a domain by hand: described, and merged into the definition that replaces the one they were made to. Pure.

An addition is neither declared by us nor a default of libvirt: devices, sections such as ``<cputune>``, metadata of other
programs. libvirt adds its defaults (controllers, the console that mirrors the serial port, the PS/2 devices) again by itself.
"""

from collections.abc import Iterator
from copy import deepcopy
from xml.etree.ElementTree import Element, SubElement

from pragmaspec.providers.libvirt.domains.definition import OWN_DISKS, attribute, disk_target, interface_mac, own_macs, source_of
from pragmaspec.providers.libvirt.metadata import is_owner

_SIZE = frozenset(("memory", "currentMemory", "maxMemory", "vcpu", "cpu"))
_DECLARED = _SIZE | frozenset(("name", "uuid", "title", "metadata", "os", "features", "clock", "devices"))
_EVENTS = frozenset(("on_poweroff", "on_reboot", "on_crash"))
_DERIVED = frozenset(("vcpus", "resource"))
"""Sections that libvirt derives from others."""
_SILENT = frozenset(("description", "genid", "perf", "iothreadids"))
"""Sections that are kept but not reported: text for people, and settings that do not shape the machine."""
_FILLED_CONTROLLERS = frozenset(("pci", "sata", "ide", "fdc", "isa", "virtio-serial", "ccid"))
_DISK_KNOWN = frozenset(("driver", "source", "backingStore", "target", "readonly", "alias", "address", "boot", "mirror"))
_INTERFACE_KNOWN = frozenset(
    ("mac", "source", "model", "mtu", "rom", "target", "alias", "address", "link", "boot", "virtualport")
)
_FEATURES = frozenset(("acpi", "apic", "gic"))
_NAMED: dict[str, str] = {
    "hostdev": "host device",
    "redirdev": "redirected device",
    "memballoon": "memory balloon",
    "rng": "random number generator",
}


def additions(wanted: Element, defined: Element) -> tuple[str, ...]:
    """Additions of ``defined`` to ``wanted``, in words, each once."""
    return tuple(dict.fromkeys(_added_words(wanted, defined)))


def passing_additions(wanted: Element, defined: Element, active: Element) -> tuple[str, ...]:
    """Additions to the running machine that its definition lacks: the next start removes them."""
    known = set(additions(wanted, defined))
    return tuple(dict.fromkeys(words for words in _added_words(wanted, active, sections=False) if words not in known))


def with_additions(wanted: Element, found: Element) -> Element:
    """``wanted`` with all additions made by hand to the definition ``found``."""
    domain = deepcopy(wanted)
    devices = domain.find("devices")
    for device in _added_devices(domain, found):
        if devices is not None:
            devices.append(deepcopy(device))
    for ours, theirs in _own_devices(domain, found):
        ours.extend(deepcopy(each) for each in _extras(theirs))
    domain.extend(deepcopy(section) for section in _sections(found))
    features = domain.find("features")
    for feature in _features(found):
        features = SubElement(domain, "features") if features is None else features
        features.append(deepcopy(feature))
    _keep_emulator(domain, found)
    _keep_metadata(domain, found)
    return domain


def _added_words(wanted: Element, found: Element, *, sections: bool = True) -> Iterator[str]:
    yield from map(_device_words, _told_devices(wanted, found))
    for _, theirs in _own_devices(wanted, found):
        for extra in _extras(theirs):
            name = f"disk {disk_target(theirs)}" if theirs.tag == "disk" else f"interface {interface_mac(theirs)}"
            yield f"{extra.tag} of {name}"
    if sections:
        yield from (f"section {_local(section.tag)}" for section in _sections(found) if section.tag not in _SILENT)
        yield from (f"feature {feature.tag}" for feature in _features(found))


def _told_devices(wanted: Element, found: Element) -> Iterator[Element]:
    """A controller comes along with what is plugged into it."""
    return (device for device in _added_devices(wanted, found) if device.tag != "controller")


def _added_devices(wanted: Element, found: Element) -> Iterator[Element]:
    macs = own_macs(wanted)
    seen: set[str] = set()
    for device in found.findall("devices/*"):
        first = device.tag not in seen
        seen.add(device.tag)
        if not _is_ours(device, macs, first=first) and not _is_filled(device):
            yield device


def _is_ours(device: Element, macs: frozenset[str], *, first: bool) -> bool:
    match device.tag:
        case "disk":
            return disk_target(device) in OWN_DISKS
        case "interface":
            return interface_mac(device) in macs
        case "serial" | "rng" | "memballoon":
            return first
        case "memory":
            return True  # Counts as memory, which is declared.
        case _:
            return False


def _is_filled(device: Element) -> bool:
    """True if libvirt adds the device to every such definition by itself."""
    match device.tag:
        case "emulator":
            return True
        case "controller":
            return device.get("type") in _FILLED_CONTROLLERS or (device.get("type"), device.get("model")) == ("usb", "none")
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
    """Each disk and interface that is wanted, with the one of ``found`` that it stands for."""
    there = {_identity(device): device for device in (*found.findall("devices/disk"), *found.findall("devices/interface"))}
    for device in (*wanted.findall("devices/disk"), *wanted.findall("devices/interface")):
        if _identity(device) in there:
            yield device, there[_identity(device)]


def _identity(device: Element) -> tuple[str, str]:
    return device.tag, disk_target(device) if device.tag == "disk" else interface_mac(device)


def _extras(device: Element) -> list[Element]:
    """Children of our disk or interface that we do not declare: limits, filters."""
    known = _DISK_KNOWN if device.tag == "disk" else _INTERFACE_KNOWN
    return [child for child in device if child.tag not in known]


def _sections(found: Element) -> list[Element]:
    return [
        section
        for section in found
        if section.tag not in _DECLARED | _EVENTS | _DERIVED
        and not (section.tag == "seclabel" and section.get("type") == "dynamic")
    ]


def _features(found: Element) -> list[Element]:
    return [feature for feature in found.findall("features/*") if feature.tag not in _FEATURES]


def _keep_emulator(domain: Element, found: Element) -> None:
    """An emulator chosen by hand cannot be told from libvirt's choice."""
    emulator, devices = found.find("devices/emulator"), domain.find("devices")
    if emulator is not None and devices is not None and domain.get("type") == found.get("type"):
        devices.insert(0, deepcopy(emulator))


def _keep_metadata(domain: Element, found: Element) -> None:
    metadata = domain.find("metadata")
    if metadata is not None:
        metadata.extend(deepcopy(each) for each in found.findall("metadata/*") if not is_owner(each))


def _device_words(device: Element) -> str:
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
            return " ".join(filter(None, (_NAMED.get(device.tag, device.tag), kind)))


def _local(tag: str) -> str:
    """``{http://libvirt.org/schemas/domain/qemu/1.0}commandline`` → ``commandline``."""
    return tag.rpartition("}")[2]
