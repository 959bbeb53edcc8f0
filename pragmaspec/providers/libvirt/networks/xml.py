"""The XML of the libvirt networks that stand for an allocation's claims. Pure. Format: https://libvirt.org/formatnetwork.html."""

from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from pragmaspec.frozen import Frozen
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.metadata import add_network_owner
from pragmaspec.providers.libvirt.xml import text
from pragmaspec.resources import Allocation, Mark, Network

STANDARD_MTU = 1500


class NetworkConfig(Frozen, frozen=True):
    """One libvirt network as it shall be. ``bridge``: an existing host bridge it stands on; None: one made for it."""

    name: str
    uuid: str
    mark: Mark
    called: str
    """What the cluster calls it: "private" or the name of an extra one; empty for the claim of an address."""
    bridge: str | None = None
    mtu: int = STANDARD_MTU
    started: bool = True


class Attachment(NamedTuple):
    """How a network of an allocation is reached: a libvirt network of ours, or a host bridge that needs no claim."""

    network: str | None
    bridge: str | None


def attachment(allocation: Allocation, network: Network, mark: Mark) -> Attachment:
    """Where a node's interface on ``network`` is plugged in."""
    if network.vlan is not None:
        return Attachment(names.vlan_network(network.vlan), None)
    if network.bridge is not None:
        return Attachment(None, network.bridge)
    return Attachment(names.plain_network(allocation.cluster, network.name, mark), None)


def network_parts(allocation: Allocation, network: Network, mark: Mark) -> NetworkConfig | None:
    """The libvirt network to make for ``network``; None when it is an existing bridge without a number."""
    name = attachment(allocation, network, mark).network
    if name is None:
        return None
    return NetworkConfig(
        name=name, uuid=object_uuid(mark, name), mark=mark, called=network.name, bridge=network.bridge, mtu=network.mtu
    )


def address_parts(address: str, mark: Mark) -> NetworkConfig:
    """The never started network that claims a public address."""
    name = names.address_network(address)
    return NetworkConfig(name=name, uuid=object_uuid(mark, name), mark=mark, called="", started=False)


def object_uuid(mark: Mark, name: str) -> str:
    """UUID of a network of the allocation: another name is another object, so a cluster can change its VLAN in one go."""
    return Mark(lineage=mark.lineage, address=f"{mark.address}/{name}", generation=mark.generation).uuid


def bridge_name(uuid: str) -> str:
    """``ps`` and 10 digits of the UUID: within the 15 characters that Linux allows, and no other object's."""
    return f"ps{uuid.replace('-', '')[-10:]}"


def network_xml(parts: NetworkConfig) -> str:
    """The network's XML. An isolated one has no address and no DHCP: its frontend is the only router that a cluster knows."""
    network = Element("network")
    SubElement(network, "name").text = parts.name
    SubElement(network, "uuid").text = parts.uuid
    if parts.bridge is not None:
        SubElement(network, "forward", {"mode": "bridge"})
        SubElement(network, "bridge", {"name": parts.bridge})
    else:
        # No spanning tree: its 30 s of learning would be the first thing a booting guest waits for.
        SubElement(network, "bridge", {"name": bridge_name(parts.uuid), "stp": "off", "delay": "0"})
        if parts.mtu != STANDARD_MTU:
            SubElement(network, "mtu", {"size": str(parts.mtu)})
    add_network_owner(network, parts.mark, parts.called)
    return text(network)


def dhcp_host_xml(name: str, address: str) -> str:
    """An ``ip-dhcp-host`` entry: dnsmasq gives the address to nobody else, and libvirt refuses a second entry for it."""
    host = Element("host", {"name": name, "ip": address})
    return text(host)
