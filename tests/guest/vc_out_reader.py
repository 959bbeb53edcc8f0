"""PRAGMA's reader of ``vc-out.xml``: the order in which vc-out-parser (b07fd69) and the Rocks dynip roll take things out of it.

Written from their documented behaviour, peculiarities included. A node is a compute when ``compute/private`` exists. An interface
is the one on whose line of ``ip -o link show`` the MAC is found, letter by letter, and is left out when there is none. Names of
nodes end in ``local``, whatever the search domain. A missing attribute ends the reader.
"""

from dataclasses import dataclass, field
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Interface:
    """An interface as it is set up. ``gateway``: only on the way out."""

    address: str
    netmask: str
    mtu: str
    gateway: str | None = None


@dataclass
class SetUp:
    """The settings that the reader derives for a node."""

    keys: str = ""
    name_servers: list[str] = field(default_factory=list)
    hostname: str = ""
    interfaces: dict[str, Interface] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)
    """MACs without an interface."""
    hosts: list[tuple[str, ...]] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)


def read(document: str, links: str) -> SetUp:
    """``links`` is what ``ip -o link show`` prints on the node. Raises KeyError and AttributeError, as the reader does."""
    root = ET.fromstring(document)
    made = SetUp()
    for key in root.findall("key")[:1]:
        made.keys = key.text.strip()  # type: ignore[union-attr]  # an element without text ends the reader
    made.name_servers = root.find("network/dns").attrib["ip"].split(",")  # type: ignore[union-attr]  # as above
    if root.findall("compute/private"):
        _compute(root, links, made)
    else:
        _frontend(root, links, made)
    return made


def _compute(root: ET.Element, links: str, made: SetUp) -> None:
    compute, frontend = root.find("compute"), root.find("frontend")
    assert compute is not None
    assert frontend is not None
    name, gateway, fqdn = compute.attrib["name"], compute.attrib["gw"], frontend.attrib["fqdn"]
    made.hostname = f"{name}.local"
    _interfaces(compute, links, made, (name, ""), ("private", gateway))
    made.hosts.append((gateway, fqdn, fqdn.partition(".")[0]))


def _frontend(root: ET.Element, links: str, made: SetUp) -> None:
    frontend = root.find("frontend")
    assert frontend is not None
    fqdn, gateway, name = frontend.attrib["fqdn"], frontend.attrib["gw"], frontend.attrib["name"]
    made.hostname = fqdn
    _interfaces(frontend, links, made, (name, fqdn), ("public", gateway))
    for node in root.findall("compute/node"):
        made.hosts += [_host(interface, node.attrib["name"], "") for interface in node]
        made.machines += [node.attrib["name"]] * int(node.attrib["cpus"])


def _interfaces(node: ET.Element, links: str, made: SetUp, names: tuple[str, str], way_out: tuple[str, str]) -> None:
    for interface in node:
        address, netmask, mac = (interface.attrib[name] for name in ("ip", "netmask", "mac"))
        device = next((line.split(" ")[1].split(":")[0] for line in links.splitlines() if mac in line), None)
        if device is None:
            made.not_found.append(mac)
            continue
        gateway = way_out[1] if interface.tag == way_out[0] else None
        made.interfaces[device] = Interface(address, netmask, interface.attrib.get("mtu", "1500"), gateway)
        made.hosts.append(_host(interface, *names))


def _host(interface: ET.Element, name: str, fqdn: str) -> tuple[str, ...]:
    address = interface.attrib["ip"]
    if interface.tag == "private":
        return address, f"{name}.local", name
    return (address, fqdn) if interface.tag == "public" else (address, f"{name}.{interface.tag}")
