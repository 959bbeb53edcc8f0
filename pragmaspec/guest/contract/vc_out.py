"""``/root/vc-out.xml``: the guest contract as PRAGMA's images read it (vc-out-parser, the Rocks dynip roll).

Two variants, told apart by their readers by ``compute/private``, which only a compute has. Attributes stand sorted and elements
are indented by two blanks, as the ancestor wrote them.
"""

import re
from ipaddress import IPv4Interface
from xml.etree import ElementTree as ET

from pragmaspec.errors import SpecError
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.members import fqdn, ordered_nics
from pragmaspec.resources import Nic, Node

_DECLARATION = '<?xml version="1.0" ?>\n'
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Everything that XML 1.0, section 2.2, has no way to write, escaped or not."""
_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def vc_out_text(node: Node, cluster: GuestCluster, authorized: str) -> str:
    """The document for ``node``. ``authorized`` holds the public keys that may log in, one a line.

    Raises SpecError when a value cannot be written in XML.
    """
    root = ET.Element("vc")
    if node.role == "frontend":
        _frontend(root, cluster)
    else:
        _compute(root, node, cluster)
    network = _child(root, "network")
    _child(network, "dns", {"domain": "", "ip": ",".join(_dns(node)), "search": cluster.domain})
    if authorized.strip():  # the reader cannot take an element without text
        _child(root, "key").text = _writable(authorized.strip())
    ET.indent(root, space="  ")
    # ElementTree puts a blank before the slash that closes an empty element, the ancestor did not; elsewhere ">" is escaped.
    return _DECLARATION + ET.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def _frontend(root: ET.Element, cluster: GuestCluster) -> None:
    frontend = cluster.frontend
    gateway = next((nic.gateway for nic in frontend.nics if nic.gateway), "")
    # The readers need the attribute even where there is no way out.
    element = _child(root, "frontend", {"fqdn": fqdn(frontend, cluster), "gw": gateway, "name": frontend.name})
    _interfaces(element, frontend)
    computes = [node for node in cluster.nodes if node.role == "compute"]
    group = _child(root, "compute", {"count": str(len(computes))})
    for node in computes:
        attributes = {"cpus": str(node.cpus), "gw": _inside_address(cluster), "name": node.name}
        _interfaces(_child(group, "node", attributes), node)


def _compute(root: ET.Element, node: Node, cluster: GuestCluster) -> None:
    _child(root, "frontend", {"fqdn": fqdn(cluster.frontend, cluster)})
    _interfaces(_child(root, "compute", {"gw": _inside_address(cluster), "name": node.name}), node)


def _interfaces(parent: ET.Element, node: Node) -> None:
    for nic in ordered_nics(node):
        _child(parent, nic.network, _interface(nic))


def _interface(nic: Nic) -> dict[str, str]:
    network = IPv4Interface(f"{nic.address}/{nic.prefix}").network
    return {
        "ip": nic.address,
        "mac": nic.mac.lower(),  # the reader looks for this very text in what `ip link` prints
        "mtu": str(nic.mtu),
        "netmask": str(network.netmask),
        "subnet": str(network.network_address),
    }


def _inside_address(cluster: GuestCluster) -> str:
    return next((nic.address for nic in cluster.frontend.nics if nic.network == "private"), "")


def _dns(node: Node) -> list[str]:
    return list(dict.fromkeys(server for nic in node.nics for server in nic.dns))


def _child(parent: ET.Element, tag: str, attributes: dict[str, str] | None = None) -> ET.Element:
    if not _ELEMENT_NAME.fullmatch(tag):
        detail = f"vc-out.xml has an element for each network, and {tag!r} cannot be its name. Begin it with a letter."
        raise SpecError("The name of a network cannot be written for the guest", detail)
    return ET.SubElement(parent, tag, {key: _writable(value) for key, value in sorted((attributes or {}).items())})


def _writable(value: str) -> str:
    found = _NOT_XML.search(value)
    if found:
        detail = (
            f"It holds the control character {found.group()!r}, which vc-out.xml has no way to hold: {value[:60]!r}. Remove it."
        )
        raise SpecError("A value cannot be written for the guest", detail)
    return value
