"""The XML of storage volumes. Pure. Format: https://libvirt.org/formatstorage.html."""

from typing import Literal
from xml.etree.ElementTree import Element, SubElement

from pragmaspec.providers.libvirt.markup import text

PRIVATE = "0600"
"""Only the hypervisor: disks, seeds (private keys) and consoles."""
SHARED = "0644"
"""Staged images: nobody but the daemon writes them."""


def overlay_xml(name: str, capacity_bytes: int, base: str, base_format: Literal["qcow2", "raw"]) -> str:
    """A qcow2 overlay on ``base``, whose format is said, not probed."""
    volume = _volume(name, capacity_bytes, "qcow2", PRIVATE)
    backing = SubElement(volume, "backingStore")
    SubElement(backing, "path").text = base
    SubElement(backing, "format", {"type": base_format})
    return text(volume)


def raw_xml(name: str, capacity_bytes: int, mode: str) -> str:
    """A sparse file of ``capacity_bytes`` zeros, to be filled by an upload."""
    return text(_volume(name, capacity_bytes, "raw", mode))


def _volume(name: str, capacity_bytes: int, kind: str, mode: str) -> Element:
    volume = Element("volume")
    SubElement(volume, "name").text = name
    SubElement(volume, "capacity", {"unit": "bytes"}).text = str(capacity_bytes)
    SubElement(volume, "allocation", {"unit": "bytes"}).text = "0"
    target = SubElement(volume, "target")
    SubElement(target, "format", {"type": kind})
    SubElement(SubElement(target, "permissions"), "mode").text = mode
    return volume
