"""Desired resources: the expanded spec with all addresses, MACs and digests, given the allocations."""

from collections.abc import Mapping
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.guest.contract.cluster import GuestSettings, first_boot_digest, keys_digest, peers_digest
from pragmaspec.planning.allocation.allocator import FIRST_COMPUTE, frontend_name
from pragmaspec.planning.impact import node_impact
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedImage, WantedNodes
from pragmaspec.resources import (
    Allocation,
    Network,
    Nic,
    Node,
    PublicGrant,
    Readiness,
    Resource,
    Role,
    StagedImage,
    image_fields,
)
from pragmaspec.state_model import Record

_NOTHING: Mapping[str, Record] = MappingProxyType({})
MAC_FIRST_OCTET = 0x52
"""Locally administered, unicast (IEEE 802, bits 1 and 0 of the first octet); 40 bits are left to distinguish nodes."""


class Desired(NamedTuple):
    """A desired resource and its line of the spec."""

    resource: Resource
    where: Where | None


def mac_address(lineage: str, address: str, network: str) -> str:
    """Return the MAC of one interface, a function of its arguments."""
    digest = blake2b(f"{lineage} {address} {network}".encode(), digest_size=5).digest().hex(":")
    return f"{MAC_FIRST_OCTET:02x}:{digest}"


def desired_images(wanted: Wanted, request: PlanRequest) -> list[Desired]:
    """Return every known image that a cluster boots from, once per site and digest; of two names the first cluster's."""
    found: dict[str, Desired] = {}
    for cluster in sorted(wanted.clusters, key=lambda cluster: cluster.name):
        if cluster.name in request.drop:
            continue
        for image in wanted.images_of(cluster):
            if not image.digest:
                continue
            staged = staged_image(image, cluster.site)
            found.setdefault(staged.address, Desired(staged, image.where))
    return list(found.values())


def staged_image(image: WantedImage, site: str) -> StagedImage:
    """Return ``image`` as a resource of ``site``."""
    return StagedImage(site=site, digest=image.digest, name=image.name, **image_fields(image))


def desired_nodes(
    wanted: Wanted,
    cluster: WantedCluster,
    allocation: Allocation,
    lineage: str,
    running: bool,
    moved: Mapping[str, Record] = _NOTHING,
) -> list[Desired]:
    """Return the nodes of one cluster, the frontend first. ``moved``: records with an origin, by address."""
    factory = _NodeFactory(wanted, cluster, allocation, lineage, running)
    nodes = [factory.node("frontend", cluster.frontend, 0)]
    nodes += (factory.node("compute", cluster.computes, index) for index in range(cluster.computes.count))
    if moved:
        nodes = [_with_recorded_macs(node, moved.get(node.address), lineage) for node in nodes]
    peers = peers_digest(allocation, tuple(nodes), cluster.domain)
    return [
        Desired(replace(node, peers=peers), (cluster.frontend if node.role == "frontend" else cluster.computes).where)
        for node in nodes
    ]


def _with_recorded_macs(node: Node, record: Record | None, lineage: str) -> Node:
    """Return ``node`` with the MACs of its moved machine, unless it is rebuilt: a rebuild takes the identity of its address."""
    if record is None or not isinstance(record.resource, Node):
        return node
    kept = replace(
        node, nics=tuple(replace(nic, mac=mac_address(lineage, record.original_address, nic.network)) for nic in node.nics)
    )
    before = record.resource
    fields = tuple(name for name in kept.__struct_fields__ if name != "peers" and getattr(before, name) != getattr(kept, name))
    return node if node_impact(before, kept, fields) == "rebuild" else kept


class _NodeFactory:
    """Creates the nodes of a cluster. Shared values are computed once: a cluster can have 10,000 nodes."""

    def __init__(self, wanted: Wanted, cluster: WantedCluster, allocation: Allocation, lineage: str, running: bool) -> None:
        self._cluster = cluster
        self._allocation = allocation
        self._lineage = lineage
        self._running = running
        self._keys = keys_digest(cluster.ssh_keys)
        self._public = allocation.public[0] if allocation.public else None
        private = IPv4Network(allocation.private.cidr, strict=False)
        self._frontend_address = str(private.network_address + 1)
        self._bases = {
            network.name: (int(parsed.network_address), parsed.prefixlen)
            for network in allocation.networks
            for parsed in (IPv4Network(network.cidr, strict=False),)
        }
        self._images = {
            role: wanted.image(nodes.image) for role, nodes in (("frontend", cluster.frontend), ("compute", cluster.computes))
        }
        self._first_boot = {
            role: first_boot_digest(GuestSettings(packages=nodes.packages, user_data=nodes.user_data))
            for role, nodes in (("frontend", cluster.frontend), ("compute", cluster.computes))
        }
        self._extra = {
            role: tuple(
                network for network, asked in zip(allocation.networks[1:], cluster.networks, strict=True) if role in asked.roles
            )
            for role in ("frontend", "compute")
        }

    def node(self, role: Role, nodes: WantedNodes, index: int) -> Node:
        """Return one node of the cluster."""
        cluster = self._cluster
        name = frontend_name(cluster.name) if role == "frontend" else f"{cluster.name}-compute-{index}"
        image = self._images[role]
        address = f"{cluster.site}/{cluster.name}/node/{name}"
        nics = [self._nic(network, role, index, address) for network in (self._allocation.private, *self._extra[role])]
        if role == "frontend" and self._public:
            nics.append(self._public_nic(self._public, address))
        return Node(
            site=cluster.site,
            cluster=cluster.name,
            name=name,
            role=role,
            index=index,
            cpus=nodes.cpus,
            memory_mib=nodes.memory_mib,
            disk_bytes=nodes.disk_bytes or image.virtual_size_bytes,
            image=image.digest,
            nics=tuple(nics),
            running=self._running,
            protect=cluster.protect,
            autostart=cluster.autostart and self._running,
            readiness=_readiness(cluster.readiness, image),
            cloud_init=image.cloud_init,
            firmware=image.firmware,
            first_boot=self._first_boot[role],
            keys=self._keys,
        )

    def _nic(self, network: Network, role: Role, index: int, address: str) -> Nic:
        base, prefix = self._bases[network.name]
        offset = 1 if role == "frontend" else FIRST_COMPUTE + index
        through_frontend = role == "compute" and network.name == "private" and self._public is not None
        return Nic(
            network=network.name,
            mac=mac_address(self._lineage, address, network.name),
            address=str(IPv4Address(base + offset)),
            prefix=prefix,
            gateway=self._frontend_address if through_frontend else None,
            dns=self._public.dns if through_frontend and self._public else (),
            mtu=network.mtu,
            segment=_segment(network.vlan, network.bridge),
        )

    def _public_nic(self, grant: PublicGrant, address: str) -> Nic:
        nic = Nic(
            network="public",
            mac=mac_address(self._lineage, address, "public"),
            address=grant.address,
            prefix=grant.prefix,
            gateway=grant.gateway,
            dns=grant.dns,
            segment=_segment(None, grant.bridge, grant.network),
        )
        return nic if grant.mtu is None else replace(nic, mtu=grant.mtu)


def _readiness(asked: Readiness, image: WantedImage) -> Readiness:
    """Return ``asked``; without cloud-init a node is ready once ssh logs in."""
    return asked if image.cloud_init or asked.when != "cloud-init" else replace(asked, when="ssh")


def _segment(vlan: int | None, bridge: str | None, network: str | None = None) -> str:
    if bridge is not None:
        return f"bridge {bridge}"
    return f"vlan {vlan}" if vlan is not None else f"network {network}" if network is not None else ""
