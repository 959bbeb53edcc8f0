"""Ownership marks of objects at the site, by which they are found again without the state. Pure.

Domains: ``<metadata>`` with an ``owner`` element of our namespace. Networks: libvirt has metadata for them only since 9.7.0, so
``<portgroup>`` elements, which have no effect without VLAN tags or bandwidth limits, carry owner, name and op.
"""

from xml.etree.ElementTree import Element, SubElement

from pragmaspec.resources import Mark

NAMESPACE = "urn:pragmaspec:owner:1"
_OWNER = f"{{{NAMESPACE}}}owner"
_OWNER_GROUP = "owner:"
_NAME_GROUP = "network:"
_OP_GROUP = "op:"


def add_domain_owner(domain: Element, mark: Mark) -> None:
    """Write the mark into a domain's ``<metadata>``."""
    owner = SubElement(SubElement(domain, "metadata"), _OWNER)
    owner.set("lineage", mark.lineage)
    owner.set("address", mark.address)
    owner.set("generation", str(mark.generation))
    if mark.op:
        owner.set("op", mark.op)


def is_owner(element: Element) -> bool:
    """True if a child of ``<metadata>`` is our mark."""
    return element.tag == _OWNER


def domain_owner(domain: Element) -> Mark | None:
    """The owner of a domain; None when it carries no mark."""
    found = domain.find(f"./metadata/{_OWNER}")
    if found is None:
        return None
    generation = found.get("generation", "0")
    return Mark(
        lineage=found.get("lineage", ""),
        address=found.get("address", ""),
        generation=int(generation) if generation.isdecimal() else 0,
        op=found.get("op", ""),
    )


def add_network_owner(network: Element, mark: Mark, name: str) -> None:
    """Write the mark and the name within the cluster into a network."""
    SubElement(network, "portgroup", {"name": f"{_OWNER_GROUP}{mark.lineage}:{mark.address}"})
    SubElement(network, "portgroup", {"name": f"{_NAME_GROUP}{name}"})
    if mark.op:
        SubElement(network, "portgroup", {"name": f"{_OP_GROUP}{mark.op}"})


def network_owner(network: Element) -> Mark | None:
    """The owner of a network; None when it carries no mark."""
    words = _group(network, _OWNER_GROUP)
    if words is None:
        return None
    lineage, _, address = words.partition(":")
    return Mark(lineage=lineage, address=address, op=_group(network, _OP_GROUP) or "")


def network_name(network: Element) -> str:
    """The network's name within its cluster: "private" or the name of an extra one."""
    return _group(network, _NAME_GROUP) or ""


def _group(network: Element, prefix: str) -> str | None:
    for group in network.findall("portgroup"):
        name = group.get("name", "")
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return None
