"""``/root/vc-out.xml``: the guest contract in the format of PRAGMA's images (vc-out-parser, the Rocks dynip roll).

There are two variants: readers identify a compute's by the element ``compute/private``. Attributes are sorted and elements
indented by two spaces, as in the files of pragma_boot, the predecessor.
"""

import re
from ipaddress import IPv4Interface, IPv4Network
from xml.etree import ElementTree as ET

from pragmaspec.errors import SpecError
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.members import fqdn, ordered_nics
from pragmaspec.resources import Nic, Node

_DECLARATION = '<?xml version="1.0" ?>\n'
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that XML 1.0, section 2.2, cannot represent, not even escaped."""
_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def vc_out_text(node: Node, cluster: GuestCluster, authorized: str) -> str:
    """Return the document for ``node``. ``authorized`` contains the authorized public keys, one per line.

    Raises SpecError if a value cannot be represented in XML.
    """
    root = ET.Element("vc")
    if node.role == "frontend":
        _frontend(root, cluster)
    else:
        _compute(root, node, cluster)
    network = _child(root, "network")
    _child(network, "dns", {"domain": "", "ip": ",".join(_dns(node)), "search": cluster.domain})
    if authorized.strip():  # readers fail on an element without text
        _child(root, "key").text = _checked(authorized.strip())
    ET.indent(root, space="  ")
    # Unlike the predecessor, ElementTree writes a space before "/>" of an empty element; elsewhere ">" is escaped.
    return _DECLARATION + ET.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def _frontend(root: ET.Element, cluster: GuestCluster) -> None:
    frontend = cluster.frontend
    gateway = next((nic.gateway for nic in frontend.interfaces if nic.gateway), "")
    # Readers require the attribute even without a gateway.
    element = _child(root, "frontend", {"fqdn": fqdn(frontend, cluster), "gw": gateway, "name": frontend.name})
    _interfaces(element, frontend)
    computes = [node for node in cluster.nodes if node.role == "compute"]
    group = _child(root, "compute", {"count": str(len(computes))})
    for node in computes:
        attributes = {"cpus": str(node.cpus), "gw": _private_gateway(cluster), "name": node.name}
        attributes |= {"group": node.group} if node.group else {}
        _interfaces(_child(group, "node", attributes), node)


def _compute(root: ET.Element, node: Node, cluster: GuestCluster) -> None:
    _child(root, "frontend", {"fqdn": fqdn(cluster.frontend, cluster)})
    _interfaces(_child(root, "compute", {"gw": _private_gateway(cluster), "name": node.name}), node)


def _interfaces(parent: ET.Element, node: Node) -> None:
    for nic in ordered_nics(node):
        if not nic.translated:  # readers would give the address to the private interface, which has its MAC
            _child(parent, nic.network, _interface(nic))


def _interface(nic: Nic) -> dict[str, str]:
    """Return the attributes of an interface, empty where the site has yet to choose them."""
    network = IPv4Interface(f"{nic.address}/{nic.prefix}").network if nic.address else IPv4Network((0, nic.prefix))
    return {
        "ip": nic.address,
        "mac": nic.mac.lower(),  # readers search the output of `ip link` for exactly this text
        "mtu": str(nic.mtu),
        "netmask": str(network.netmask),
        "subnet": str(network.network_address) if nic.address else "",
    }


def _private_gateway(cluster: GuestCluster) -> str:
    """Return the address of the router of the private network, which is the frontend if the site has none."""
    frontend = cluster.frontend.nic("private")
    return cluster.allocation.private.gateway or (frontend.address if frontend is not None else "")


def _dns(node: Node) -> list[str]:
    return list(dict.fromkeys(server for nic in node.nics for server in nic.dns))


def _child(parent: ET.Element, tag: str, attributes: dict[str, str] | None = None) -> ET.Element:
    if not _ELEMENT_NAME.fullmatch(tag):
        detail = f"{tag!r} cannot be the name of an element of vc-out.xml, as each network's must be. Begin it with a letter."
        raise SpecError("Network name not valid in XML", detail)
    return ET.SubElement(parent, tag, {key: _checked(value) for key, value in sorted((attributes or {}).items())})


def _checked(value: str) -> str:
    """Return ``value``. Raises SpecError if XML cannot represent it."""
    found = _NOT_XML.search(value)
    if found:
        detail = f"The control character {found.group()!r} is not allowed in vc-out.xml: {value[:60]!r}. Remove it."
        raise SpecError("Value not valid in XML", detail)
    return value
