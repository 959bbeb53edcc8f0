"""Desired resources: the expanded spec with all addresses, MACs and digests, given the allocations."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from hashlib import blake2b
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.guest.contract.cluster import GuestSettings, first_boot_digest, keys_digest, peers_digest, user_digests
from pragmaspec.planning.allocation.allocator import node_name
from pragmaspec.planning.allocation.device_requests import requested_devices
from pragmaspec.planning.allocation.flavors import SizeChooser
from pragmaspec.planning.allocation.node_addresses import NodeAddresses
from pragmaspec.planning.allocation.pin_requests import requested_cpus
from pragmaspec.planning.impact import FIELD_IMPACT, node_impact
from pragmaspec.planning.late.members import members_digest
from pragmaspec.planning.late.nodes import rebuilt, with_recorded_values
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.storage.disks import node_disks, with_kept_formats
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedImage, WantedNodes
from pragmaspec.resources import (
    Allocation,
    Network,
    Nic,
    Node,
    PublicGrant,
    Readiness,
    Resource,
    StagedImage,
    image_fields,
)
from pragmaspec.state_model import Record, State

_NOTHING: Mapping[str, Record] = MappingProxyType({})
MAC_FIRST_OCTET = 0x52
"""Locally administered, unicast (IEEE 802, bits 1 and 0 of the first octet); 40 bits are left to distinguish nodes."""


class Desired(NamedTuple):
    """A desired resource and its line of the spec."""

    resource: Resource
    where: Where | None


class RecordedCluster(NamedTuple):
    """The recorded nodes of a cluster, and the records of those that have moved, by address."""

    lineage: str
    nodes: Sequence[Node] = ()
    moved: Mapping[str, Record] = _NOTHING
    made_anew: Container[str] = frozenset()
    """Addresses of recorded nodes that get a new machine in any case."""


def recorded_clusters(
    state: State, replaced: frozenset[str] = frozenset(), made_anew: frozenset[str] = frozenset()
) -> dict[tuple[str, str], RecordedCluster]:
    """Return the recorded clusters by site and name. Nodes at ``replaced`` addresses are rebuilt, and so not moved.

    ``made_anew``: addresses of nodes that get a new machine.
    """
    nodes: defaultdict[tuple[str, str], list[Node]] = defaultdict(list)
    moved: defaultdict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for record in state.records:
        node = record.resource
        if isinstance(node, Node):
            nodes[node.site, node.cluster].append(node)
            if record.origin and record.address not in replaced:
                moved[node.site, node.cluster][record.address] = record
    return {key: RecordedCluster(state.lineage, found, moved.get(key, _NOTHING), made_anew) for key, found in nodes.items()}


def with_macs(node: Node, lineage: str, address: str) -> Node:
    """Return ``node`` with the MACs of the node that was made at ``address``."""
    return replace(
        node,
        nics=tuple(
            replace(nic, mac=mac_address(lineage, address, "private" if nic.translated else nic.network)) for nic in node.nics
        ),
    )


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
    return StagedImage(
        site=site,
        digest=image.digest,
        name=image.name,
        site_image=image.site_image,
        site_name=image.site_name,
        checksum=image.checksum,
        **image_fields(image),
    )


def desired_nodes(
    wanted: Wanted,
    cluster: WantedCluster,
    allocation: Allocation,
    running: bool,
    recorded: RecordedCluster,
    sizes: SizeChooser | None = None,
) -> list[Desired]:
    """Return the nodes of one cluster: the frontend, the computes, the groups. Raises PlanError without a free address.

    ``sizes``: the chooser of the cluster's site; None: all sizes are free.
    """
    factory = _NodeFactory(wanted, cluster, allocation, running, recorded, sizes or SizeChooser(cluster.site, None))
    found = [
        (factory.node(name, settings, index), settings.where)
        for name, nodes in cluster.sets
        for index in range(nodes.count)
        for settings in (nodes.at(index) if nodes.overrides else nodes,)
    ]
    if sizes is not None and sizes.may_replace:
        found = [(factory.rebuilt(node), where) for node, where in found]
    if factory.late:
        found = [(factory.with_late_values(node), where) for node, where in found]
    if recorded.moved and "macs" not in factory.late:
        found = [(_with_recorded_macs(node, recorded.moved.get(node.address), recorded.lineage), where) for node, where in found]
    digest = members_digest if factory.late else peers_digest
    peers = digest(allocation, [node for node, _ in found], cluster.domain)
    # Most nodes are the recorded objects themselves, which costs neither time nor memory.
    return [Desired(node if node.peers == peers else replace(node, peers=peers), where) for node, where in found]


def _with_recorded_macs(node: Node, record: Record | None, lineage: str) -> Node:
    """Return ``node`` with the MACs of its moved machine, unless it is rebuilt: a rebuild takes the identity of its address."""
    if record is None or not isinstance(record.resource, Node):
        return node
    kept = with_macs(node, lineage, record.original_address)
    before = record.resource
    fields = tuple(name for name in kept.__struct_fields__ if name != "peers" and getattr(before, name) != getattr(kept, name))
    return node if node_impact(before, kept, fields) == "rebuild" else kept


class _NodeFactory:
    """Creates the nodes of a cluster. Shared values are computed once: a cluster can have 100,000 nodes."""

    def __init__(
        self,
        wanted: Wanted,
        cluster: WantedCluster,
        allocation: Allocation,
        running: bool,
        recorded: RecordedCluster,
        sizes: SizeChooser,
    ) -> None:
        self._sizes = sizes
        self._wanted = wanted
        self._cluster = cluster
        self._lineage = recorded.lineage
        self._made_anew = recorded.made_anew
        self._running = running
        site = wanted.site(cluster.site)
        self.late = site.late_values if site is not None else ()
        """The values that only the site chooses."""
        self._keys = keys_digest(cluster.ssh_keys)
        self._users = user_digests(cluster.users)
        self._public = allocation.public[0] if allocation.public else None
        self._mtu = allocation.private.mtu
        offset = site.networking.frontend_offset if site is not None else 1
        self._frontend_address = str(IPv4Network(allocation.private.cidr, strict=False).network_address + offset)
        self._dns = site.public.dns if site is not None and site.public is not None else ()
        self._recorded = {(node.group_name, node.index): node for node in recorded.nodes}
        self._addresses = {each.name: NodeAddresses(cluster, each, recorded.nodes, offset) for each in allocation.networks}
        self._segments = {each.name: _segment(each.vlan, each.bridge, each.name) for each in allocation.networks}
        asked = {network.name: network.roles for network in cluster.networks}
        self._networks = {
            name: tuple(each for each in allocation.networks if name in asked.get(each.name, (name,))) for name, _ in cluster.sets
        }
        self._templates: dict[int, tuple[Node, WantedImage]] = {}

    def node(self, group: str, nodes: WantedNodes, index: int) -> Node:
        """Return node ``index`` of the set of nodes called ``group``: the recorded object if nothing but its peers can differ."""
        cluster = self._cluster
        name = node_name(cluster.name, group, index)
        address = f"{cluster.site}/{cluster.name}/node/{name}"
        nics = [self._nic(network, group, index, address) for network in self._networks[group]]
        if group == "frontend" and self._public:
            nics.append(self._public_nic(self._public, address))
        template, image = self._template(group, nodes)
        recorded = self._recorded.get((group, index))
        peers, cpu = (recorded.peers, nodes.cpu or recorded.cpu) if recorded is not None else ("", nodes.cpu)
        if self.late:
            nics = [self._late_nic(nic, recorded, address) for nic in nics]
        node = replace(template, name=name, index=index, nics=tuple(nics), peers=peers, cpu=cpu)
        if nodes.flavor or not self._sizes.is_free:
            node = replace(node, **self._sizes.size(name, address, nodes, image)._asdict())
        if nodes.disks:
            disks = node_disks(nodes.disks, name, None if group == "frontend" else index)
            node = replace(node, disks=with_kept_formats(disks, None if address in self._made_anew else recorded))
        if nodes.devices:
            node = replace(node, devices=requested_devices(nodes, recorded))
        if nodes.pin:
            node = replace(node, pinned=requested_cpus(node.cpus, recorded))
        return recorded if recorded == node else node

    def rebuilt(self, node: Node) -> Node:
        """Return ``node``; if its flavor is no longer offered and its boot needs it, with another one.

        An unfinished node may not have its recorded flavor yet; a rebuilt one is a new machine.
        """
        before, nodes = self._sizes.recorded(node.address), self._cluster.settings_of(node)
        if before is None or nodes is None or self._sizes.is_offered(node.flavor):
            return node
        fields = tuple(name for name in FIELD_IMPACT if name != "peers" and getattr(before, name) != getattr(node, name))
        is_rebuilt = node_impact(before, node, fields) == "rebuild"
        if not is_rebuilt and not self._sizes.is_unfinished(node.address):
            return node
        image = self._wanted.image(nodes.image, node.site)
        size = self._sizes.size_anew(node.name, nodes, image, 0 if is_rebuilt else before.disk_bytes)
        return replace(node, **size._asdict())

    def with_late_values(self, node: Node) -> Node:
        """Return ``node``, without the values of its machine if the site makes another one."""
        return rebuilt(node, self._recorded.get((node.group_name, node.index)), self.late)

    def _late_nic(self, nic: Nic, recorded: Node | None, address: str) -> Nic:
        before = None if recorded is None or address in self._made_anew else recorded
        earlier = before.nic(nic.network) if before is not None else None
        inside = earlier is not None and (nic.network == "public" or self._addresses[nic.network].contains(earlier.address))
        return with_recorded_values(nic, before, self.late, inside=inside)

    def _template(self, group: str, nodes: WantedNodes) -> tuple[Node, WantedImage]:
        """Return a node with everything that the nodes with these settings have in common, and their image."""
        found = self._templates.get(id(nodes))
        if found is None:
            image = self._wanted.image(nodes.image, self._cluster.site)
            template = Node(
                site=self._cluster.site,
                cluster=self._cluster.name,
                name="",
                role="frontend" if group == "frontend" else "compute",
                index=0,
                cpus=nodes.cpus,
                memory_mib=nodes.memory_mib,
                disk_bytes=nodes.disk_bytes or image.virtual_size_bytes,
                image=image.digest,
                nics=(),
                running=self._running,
                protect=self._cluster.protect,
                autostart=self._cluster.autostart and self._running,
                readiness=_readiness(nodes.readiness or self._cluster.readiness, image),
                cloud_init=image.cloud_init,
                firmware=image.firmware,
                first_boot=first_boot_digest(GuestSettings(packages=nodes.packages, user_data=nodes.user_data)),
                keys=self._keys,
                users=self._users,
                group=nodes.group,
                machinefile=nodes.machinefile,
            )
            found = self._templates[id(nodes)] = template, image
        return found

    def _nic(self, network: Network, group: str, index: int, address: str) -> Nic:
        addresses = self._addresses[network.name]
        # Name servers of the site's router do not depend on the public address, so that it can come and go.
        gateway, dns = network.gateway, self._dns if network.gateway else ()
        # A site that chooses addresses gives the route along with them.
        given = "private" in self.late
        if group != "frontend" and network.name == "private" and self._public is not None and not (given or gateway):
            gateway, dns = self._frontend_address, self._public.dns
        return Nic(
            network=network.name,
            mac=mac_address(self._lineage, address, network.name),
            address="" if given else addresses.address(group, index),
            prefix=addresses.prefix,
            gateway=gateway,
            dns=dns,
            mtu=network.mtu,
            segment=self._segments[network.name],
        )

    def _public_nic(self, grant: PublicGrant, address: str) -> Nic:
        if grant.translated:
            mac = mac_address(self._lineage, address, "private")
            nic = Nic(network="public", mac=mac, address=grant.address, prefix=grant.prefix, dns=grant.dns, translated=True)
            return replace(nic, mtu=self._mtu)
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
