"""Ports of nodes: the claims of their private addresses and MACs, which Neutron grants to one port only."""

from collections.abc import Collection, Sequence
from threading import Lock

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.direct_ports import (
    ALLOCATION_SUFFIX,
    FORWARDED,
    forwards,
    list_direct_ports,
)
from pragmaspec.providers.openstack.grants import granted_to
from pragmaspec.providers.openstack.listings import PORTS
from pragmaspec.providers.openstack.marks import Label, description_of, includes, label_from_description, node_tag
from pragmaspec.providers.openstack.network_parts import Parts, list_networks, oldest_by_part
from pragmaspec.providers.openstack.objects import Port
from pragmaspec.resources import Mark, Nic

_TAKEN = frozenset({"IpAddressAlreadyAllocated", "MacAddressInUse"})


class ClusterNetworks:
    """Ids of the networks and the security group of clusters, looked up once. Thread-safe."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = Lock()
        self._found: dict[tuple[str, str], tuple[dict[str, str], str]] = {}

    def ids(self, request: BootRequest) -> tuple[dict[str, str], str]:
        """Return the ids of the networks by name, and that of the security group. Raises SiteError if one is missing."""
        mark = request.allocation_mark
        key = (mark.lineage, mark.address)
        with self._lock:
            if key not in self._found:
                self._found[key] = _ids(list_networks(self._cloud).of(mark))
            networks, group = self._found[key]
            lost = [nic.network for nic in request.node.interfaces if nic.network not in ("public", *networks)]
            if lost or not group:
                del self._found[key]
                raise SiteError(
                    "An object is missing at the site",
                    f"{request.node.name} needs {'network ' + ', '.join(lost) if lost else 'its security group'} of "
                    f"{mark.address}, which {self._cloud.title} does not have. Plan again.",
                )
            return networks, group

    def learn(self, mark: Mark, here: Parts) -> None:
        """Remember the parts of the allocation of ``mark``, which were just listed."""
        with self._lock:
            self._found[mark.lineage, mark.address] = _ids(here)

    def forget(self) -> None:
        """Look everything up again: something has changed."""
        with self._lock:
            self._found.clear()


def _ids(here: Parts) -> tuple[dict[str, str], str]:
    networks, _ = oldest_by_part(here.networks)
    groups, _ = oldest_by_part(here.groups)
    with_subnet = {name: each.id for name, each in networks.items() if here.subnet_of(each.id) is not None}
    return with_subnet, next((group.id for group in groups.values()), "")


def ports_of(cloud: Cloud, mark: Mark) -> tuple[Port, ...]:
    """Return the ports of the node at the address of ``mark``, of any generation."""
    return cloud.client.list(PORTS, name=node_tag(mark))


def port_mark(port: Port) -> Label | None:
    """Return the mark of a port and the network that it is for."""
    return label_from_description(port.description)


def network_of(port: Port) -> str:
    """Return the network of a node that ``port`` is for, as its record calls it; empty: it has no mark."""
    label = port_mark(port)
    return "" if label is None else "public" if label.mark.address.endswith(ALLOCATION_SUFFIX) else label.part


def is_for(port: Port, mark: Mark, network: str) -> bool:
    """True if ``port`` belongs to this generation of the node, and to the network."""
    label = port_mark(port)
    return label is not None and label.part == network and label.mark.generation == mark.generation


def claim(cloud: Cloud, networks: ClusterNetworks, request: BootRequest, only: Collection[str] | None = None) -> list[Port]:
    """Return the ports for the interfaces of a machine, in their order; ``only``: those in networks of these names.

    Raises SiteConflictError if one is taken.
    """
    ids, group = networks.ids(request)
    wanted = [nic for nic in request.node.interfaces if only is None or nic.network in only]
    return [
        _public_port(cloud, request) if nic.network == "public" else _claimed(cloud, request, nic, ids[nic.network], group)
        for nic in wanted
    ]


def remove_ports(cloud: Cloud, mark: Mark, gone: Sequence[str] = ()) -> None:
    """Remove the ports of the node's machines that a removal for ``mark`` includes; ``gone``: ids of its deleted servers."""
    for port in ports_of(cloud, mark):
        label = port_mark(port)
        if label is not None and includes(mark, label.mark) and port.device_id in ("", *gone):
            cloud.client.remove("network", f"/ports/{port.id}")
            reach("openstack.port.removed")


def _claimed(cloud: Cloud, request: BootRequest, nic: Nic, network: str, group: str) -> Port:
    body: dict[str, object] = {
        "name": node_tag(request.mark),
        "network_id": network,
        "fixed_ips": [{"ip_address": nic.address}],
        "security_groups": [group],
        "description": description_of(Label(mark=request.mark, part=nic.network)),
    }
    if nic.mac:
        body["mac_address"] = nic.mac
    if nic.network == "private" and forwards(request.node, request.allocation):
        body["allowed_address_pairs"] = [{"ip_address": each} for each in FORWARDED]
    try:
        made = cloud.client.send("network", "POST", "/ports", {"port": body}, "port", Port)
    except CallError as error:
        if error.kind not in _TAKEN:
            raise
        return _own(cloud, request, nic, network, error)
    reach("openstack.port.made")
    return made


def _public_port(cloud: Cloud, request: BootRequest) -> Port:
    """Return the node's port on the shared network, which is part of the allocation."""
    grant = next((each for each in request.allocation.public if each.node == request.node.name), None)
    found = granted_to(grant, list_direct_ports(cloud), request.allocation_mark) if grant is not None else []
    if not found:
        raise SiteError(
            "An object is missing at the site",
            f"The public port of {request.node.name} is gone at {cloud.title}. Plan again.",
        )
    return found[0]


def _own(cloud: Cloud, request: BootRequest, nic: Nic, network: str, refusal: CallError) -> Port:
    """Return the node's own port with the address that was refused: an earlier request has made it."""
    address = f"ip_address={nic.address}"
    there = cloud.client.list(PORTS, network_id=network, fixed_ips=address)
    found = next(iter(there), None)
    label = port_mark(found) if found is not None else None
    if found is None or label is None or not label.mark.is_for(request.mark):
        holder = "another port" if label is None else label.mark.owner
        raise SiteConflictError(
            "Another owner holds this at the site",
            f"{nic.address} or {nic.mac} of {request.node.name} is held by {holder}: {refusal.message} Plan again.",
        )
    if label.mark == request.mark:
        return found
    described = description_of(Label(mark=request.mark, part=nic.network))
    body = {"port": {"description": described, "security_groups": list(found.security_groups)}}
    return cloud.client.send("network", "PUT", f"/ports/{found.id}", body, "port", Port)
