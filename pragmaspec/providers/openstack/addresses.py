"""Floating addresses: granted to the nodes of clusters, attached to their ports, and released.

The site chooses an address, unless the cluster names one that the project has already: such a reserved address stays in the
project when it is released, which its description notes.
"""

from collections.abc import Iterable

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.grants import RESERVED, granted_node
from pragmaspec.providers.openstack.marks import Label, description_of, label_from_description
from pragmaspec.providers.openstack.objects import FloatingIp, NeutronNetwork
from pragmaspec.resources import Mark, PublicGrant


def new_address(cloud: Cloud, grant: PublicGrant, mark: Mark) -> FloatingIp:
    """Create a floating address for ``grant``."""
    body = {"floating_network_id": external_network(cloud).id, "description": description_of(Label(mark=mark, part=grant.node))}
    return cloud.client.send("network", "POST", "/floatingips", {"floatingip": body}, "floatingip", FloatingIp)


def reserved_address(cloud: Cloud, grant: PublicGrant, mark: Mark, present: Iterable[FloatingIp]) -> FloatingIp:
    """Mark the floating address of the project that ``grant`` names. Raises SiteConflictError if it is in use."""
    found = next((each for each in present if each.floating_ip_address == grant.address), None)
    if found is None:
        raise SiteError(
            "A reserved address is missing",
            f"The project of {cloud.title} has no floating address {grant.address}. Create one there, and name the address that "
            "it gets.",
        )
    if found.port_id or granted_node(found):
        raise SiteConflictError(
            "Another owner holds this at the site",
            f"The floating address {grant.address} is held by {holder(found)}. Plan again.",
        )
    described = description_of(Label(mark=mark, part=f"{grant.node}{RESERVED}"))
    return _changed(cloud, found, {"description": described})


def release(cloud: Cloud, address: FloatingIp) -> None:
    """Delete ``address``; a reserved one is only detached, and loses its mark."""
    label = label_from_description(address.description)
    if label is not None and label.part.endswith(RESERVED):
        _changed(cloud, address, {"port_id": None, "description": ""})
    else:
        cloud.client.remove("network", f"/floatingips/{address.id}")


def attach(cloud: Cloud, address: FloatingIp, port_id: str) -> None:
    """Let ``address`` lead to the port, wherever it leads now."""
    if address.port_id != port_id:
        _changed(cloud, address, {"port_id": port_id})
        reach("openstack.address.attached")


def holder(address: FloatingIp) -> str:
    """Return the holder of ``address`` for people."""
    label = label_from_description(address.description)
    if label is not None:
        return label.mark.owner
    return f"port {address.port_id}" if address.port_id else "this project, unused"


def external_network(cloud: Cloud) -> NeutronNetwork:
    """Return the network of floating addresses. Raises SiteError if there is none, or the site has to name one."""
    network = cloud.external_network
    if network is None:
        raise SiteError(
            "No network of floating addresses",
            f"{cloud.title} has no external network of this name, or several: write one as the site's `public: {{network: …}}`.",
        )
    return network


def _changed(cloud: Cloud, address: FloatingIp, fields: dict[str, object]) -> FloatingIp:
    path = f"/floatingips/{address.id}"
    return cloud.client.send("network", "PUT", path, {"floatingip": fields}, "floatingip", FloatingIp)
