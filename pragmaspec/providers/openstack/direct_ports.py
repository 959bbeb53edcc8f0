"""Public addresses without translation: ports on a network that the cloud shares with its projects, whose addresses are public.

The port is part of the allocation, so that an address stays with its cluster when a node is made anew. The cloud chooses address
and MAC. The frontend forwards for its computes, so its private port may send packets with the addresses of others.
"""

from pragmaspec.errors import SiteError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import PORTS
from pragmaspec.providers.openstack.marks import Label, description_of, node_tag
from pragmaspec.providers.openstack.objects import Port
from pragmaspec.resources import Allocation, Mark, Node

ALLOCATION_SUFFIX = "/allocation"
FORWARDED = ("0.0.0.0/1", "128.0.0.0/1")
"""Every address, in two parts: some drivers refuse a prefix of 0 bits."""


def list_direct_ports(cloud: Cloud) -> tuple[Port, ...]:
    """Return the project's ports on the shared network that the site names; none if it names none."""
    network = cloud.shared_network
    return () if network is None else cloud.client.list(PORTS, network_id=network.id, project_id=cloud.project)


def new_direct_port(cloud: Cloud, node: str, mark: Mark, group: str) -> Port:
    """Create the public port of ``node``. Its address is known at once."""
    network = cloud.shared_network
    if network is None:
        raise TypeError(node)
    body = {
        "name": node_tag(mark),
        "network_id": network.id,
        "security_groups": [group],
        "description": description_of(Label(mark=mark, part=node)),
    }
    port = cloud.client.send("network", "POST", "/ports", {"port": body}, "port", Port)
    if not port.fixed_ips:
        cloud.client.remove("network", f"/ports/{port.id}")
        raise SiteError(
            "The site has no public addresses",
            f"Network {network.name} of {cloud.title} gave no address to {node}: it has no IPv4 subnet. Name another `network`.",
        )
    return port


def forwards(node: Node, allocation: Allocation) -> bool:
    """True if ``node`` is the gateway of its private network."""
    public = node.nic("public")
    return node.role == "frontend" and public is not None and not public.translated and allocation.private.gateway is None
