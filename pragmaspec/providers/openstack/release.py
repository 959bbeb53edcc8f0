"""Removal of allocations, in the order that Neutron demands: addresses, ports, router, networks, security groups."""

from collections.abc import Iterable

from pragmaspec.errors import SiteInUseError
from pragmaspec.failpoints import reach
from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.providers.openstack.addresses import release
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import PORTS
from pragmaspec.providers.openstack.marks import label_from_description
from pragmaspec.providers.openstack.network_parts import Parts, list_parts
from pragmaspec.providers.openstack.objects import NeutronNetwork
from pragmaspec.resources import Mark
from pragmaspec.text import joined

_COMPUTE = "compute:"
_ROUTER_INTERFACE = "network:router_interface"
_NOT_FOUND = 404
_NAMED = 5


def clean_allocation(cloud: Cloud, mark: Mark) -> None:
    """Remove the allocation. Raises SiteInUseError, before any change, while other machines use one of its networks."""
    here = list_parts(cloud).of(mark)
    refuse_foreign(cloud, here.networks, mark.lineage)
    remove_parts(cloud, here)


def remove_parts(cloud: Cloud, parts: Parts) -> None:
    """Remove ``parts``, and the ports of nodes that are gone."""
    for address in parts.addresses:
        release(cloud, address)
        reach("openstack.address.released")
    for port in parts.ports:
        cloud.client.remove("network", f"/ports/{port.id}")
    for router in parts.routers:
        delete_router(cloud.client, router.id)
    for network in parts.networks:
        delete_network(cloud.client, network.id)
    for group in parts.groups:
        cloud.client.remove("network", f"/security-groups/{group.id}")
        reach("openstack.group.removed")


def delete_router(client: Client, router_id: str) -> None:
    """Remove a router with its interfaces. Absent: no error."""
    for port in client.list(PORTS, device_id=router_id, device_owner=_ROUTER_INTERFACE):
        try:
            client.call("network", "PUT", f"/routers/{router_id}/remove_router_interface", body={"port_id": port.id})
            reach("openstack.router.disconnected")
        except CallError as error:
            if error.status != _NOT_FOUND:
                raise
    client.remove("network", f"/routers/{router_id}")
    reach("openstack.router.removed")


def delete_network(client: Client, network_id: str) -> None:
    """Remove a network with its subnets, and the ports that no machine has. Absent: no error."""
    for port in client.list(PORTS, network_id=network_id):
        if not port.device_id and not port.device_owner:
            client.remove("network", f"/ports/{port.id}")
    client.remove("network", f"/networks/{network_id}")
    reach("openstack.network.removed")


def machines_on(cloud: Cloud, networks: Iterable[NeutronNetwork]) -> tuple[AttachedMachine, ...]:
    """Return the machines of any owner that have a port on one of ``networks``."""
    found = []
    for network in networks:
        for port in cloud.client.list(PORTS, network_id=network.id):
            if port.device_id and port.device_owner.startswith(_COMPUTE):
                label = label_from_description(port.description)
                mark = label.mark if label is not None else None
                found.append(
                    AttachedMachine(
                        machine=f"server {port.device_id}" if mark is None else mark.address,
                        network=network.name,
                        lineage=mark.lineage if mark is not None else "",
                        address=mark.address if mark is not None else "",
                    )
                )
    return tuple(sorted(found, key=lambda each: (each.network, each.machine)))


def refuse_foreign(cloud: Cloud, networks: Iterable[NeutronNetwork], lineage: str) -> None:
    """Raise SiteInUseError if machines of others have ports on ``networks``."""
    foreign = [each for each in machines_on(cloud, networks) if each.lineage != lineage]
    if foreign:
        names = joined([f"{each.machine} on {each.network}" for each in foreign], _NAMED)
        raise SiteInUseError(
            "A network to remove is used by other machines",
            f"{names} would lose their network. Detach them, then apply again. Nothing was removed.",
        )
