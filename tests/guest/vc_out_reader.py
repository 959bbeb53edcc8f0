"""A reader of ``vc-out.xml`` that behaves like PRAGMA's vc-out-parser (b07fd69) and the Rocks dynip roll.

It was written from their documented behaviour, including their quirks. A node is a compute if ``compute/private`` exists. An
interface is matched by searching the output of ``ip -o link show`` for the exact MAC address, and ignored if it is not found.
Host names end in ``local``, regardless of the search domain. A missing attribute is a fatal error.
"""

from dataclasses import dataclass, field
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Interface:
    """The configuration of an interface. ``gateway`` is set on the interface of the default route only."""

    address: str
    netmask: str
    mtu: str
    gateway: str | None = None


@dataclass
class Configuration:
    """The settings that the reader derives for a node."""

    keys: str = ""
    name_servers: list[str] = field(default_factory=list)
    hostname: str = ""
    interfaces: dict[str, Interface] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)
    """MAC addresses without an interface."""
    hosts: list[tuple[str, ...]] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)


def read(document: str, links: str) -> Configuration:
    """Parse ``document``; ``links`` is the node's output of ``ip -o link show``. Raises KeyError and AttributeError."""
    root = ET.fromstring(document)
    found = Configuration()
    for key in root.findall("key")[:1]:
        found.keys = key.text.strip()  # type: ignore[union-attr]  # an element without text is a fatal error
    found.name_servers = root.find("network/dns").attrib["ip"].split(",")  # type: ignore[union-attr]  # as above
    if root.findall("compute/private"):
        _compute(root, links, found)
    else:
        _frontend(root, links, found)
    return found


def _compute(root: ET.Element, links: str, found: Configuration) -> None:
    compute, frontend = root.find("compute"), root.find("frontend")
    assert compute is not None
    assert frontend is not None
    name, gateway, fqdn = compute.attrib["name"], compute.attrib["gw"], frontend.attrib["fqdn"]
    found.hostname = f"{name}.local"
    _interfaces(compute, links, found, (name, ""), ("private", gateway))
    found.hosts.append((gateway, fqdn, fqdn.partition(".")[0]))


def _frontend(root: ET.Element, links: str, found: Configuration) -> None:
    frontend = root.find("frontend")
    assert frontend is not None
    fqdn, gateway, name = frontend.attrib["fqdn"], frontend.attrib["gw"], frontend.attrib["name"]
    found.hostname = fqdn
    _interfaces(frontend, links, found, (name, fqdn), ("public", gateway))
    for node in root.findall("compute/node"):
        found.hosts += [_host(interface, node.attrib["name"], "") for interface in node]
        found.machines += [node.attrib["name"]] * int(node.attrib["cpus"])


def _interfaces(
    node: ET.Element, links: str, found: Configuration, names: tuple[str, str], default_route: tuple[str, str]
) -> None:
    for interface in node:
        address, netmask, mac = (interface.attrib[name] for name in ("ip", "netmask", "mac"))
        device = next((line.split(" ")[1].split(":")[0] for line in links.splitlines() if mac in line), None)
        if device is None:
            found.not_found.append(mac)
            continue
        gateway = default_route[1] if interface.tag == default_route[0] else None
        found.interfaces[device] = Interface(address, netmask, interface.attrib.get("mtu", "1500"), gateway)
        found.hosts.append(_host(interface, *names))


def _host(interface: ET.Element, name: str, fqdn: str) -> tuple[str, ...]:
    address = interface.attrib["ip"]
    if interface.tag == "private":
        return address, f"{name}.local", name
    return (address, fqdn) if interface.tag == "public" else (address, f"{name}.{interface.tag}")
