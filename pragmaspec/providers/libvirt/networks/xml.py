"""The XML of the libvirt networks of an allocation. Pure. Format: https://libvirt.org/formatnetwork.html."""

from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement

from pragmaspec.frozen import Frozen
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.metadata import add_network_owner
from pragmaspec.providers.libvirt.xml import to_text
from pragmaspec.resources import STANDARD_MTU, Allocation, Mark, Network


class NetworkConfig(Frozen, frozen=True):
    """The configuration of one libvirt network. ``bridge``: an existing host bridge that it uses; None: a bridge of its own."""

    name: str
    uuid: str
    mark: Mark
    label: str
    """Its name within the cluster: "private" or the name of an extra one; empty for the claim of an address."""
    bridge: str | None = None
    mtu: int = STANDARD_MTU
    started: bool = True


class Attachment(NamedTuple):
    """The attachment of interfaces on a network of an allocation: a libvirt network, or a host bridge that needs no claim."""

    network: str | None
    bridge: str | None


def attachment(allocation: Allocation, network: Network, mark: Mark) -> Attachment:
    """The attachment of a node's interface on ``network``."""
    if network.vlan is not None:
        return Attachment(names.vlan_network(network.vlan), None)
    if network.bridge is not None:
        return Attachment(None, network.bridge)
    return Attachment(names.unnumbered_network(allocation.cluster, network.name, mark), None)


def network_config(allocation: Allocation, network: Network, mark: Mark) -> NetworkConfig | None:
    """The libvirt network of ``network``; None for an existing bridge without a VLAN."""
    name = attachment(allocation, network, mark).network
    if name is None:
        return None
    return NetworkConfig(
        name=name, uuid=network_uuid(mark, name), mark=mark, label=network.name, bridge=network.bridge, mtu=network.mtu
    )


def address_claim_config(address: str, mark: Mark) -> NetworkConfig:
    """The network, never started, that claims a public address."""
    name = names.address_network(address)
    return NetworkConfig(name=name, uuid=network_uuid(mark, name), mark=mark, label="", started=False)


def network_uuid(mark: Mark, name: str) -> str:
    """The UUID of a network of the allocation. It depends on the name, so that a cluster can change its VLAN in one step."""
    return Mark(lineage=mark.lineage, address=f"{mark.address}/{name}", generation=mark.generation).uuid


def bridge_name(uuid: str) -> str:
    """``ps`` and 10 digits of the UUID: unique, and within the 15 characters that Linux allows."""
    return f"ps{uuid.replace('-', '')[-10:]}"


def network_xml(config: NetworkConfig) -> str:
    """The network's XML. An isolated one has neither address nor DHCP: the frontend is the cluster's only router."""
    network = Element("network")
    SubElement(network, "name").text = config.name
    SubElement(network, "uuid").text = config.uuid
    if config.bridge is not None:
        SubElement(network, "forward", {"mode": "bridge"})
        SubElement(network, "bridge", {"name": config.bridge})
    else:
        # No spanning tree: a booting guest would wait for its 30 s of learning.
        SubElement(network, "bridge", {"name": bridge_name(config.uuid), "stp": "off", "delay": "0"})
        if config.mtu != STANDARD_MTU:
            SubElement(network, "mtu", {"size": str(config.mtu)})
    add_network_owner(network, config.mark, config.label)
    return to_text(network)


def dhcp_host_xml(name: str, address: str) -> str:
    """An ``ip-dhcp-host`` entry: dnsmasq reserves the address, and libvirt refuses a second entry for it."""
    host = Element("host", {"name": name, "ip": address})
    return to_text(host)
