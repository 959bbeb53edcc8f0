"""Observation of one stack's objects at the site, from one listing per kind of object."""

from collections import defaultdict
from collections.abc import Mapping

import libvirt
from msgspec.structs import replace

from pragmaspec.planning.observed import (
    Layer,
    Observations,
    ObservedAllocation,
    ObservedDisk,
    ObservedImage,
    ObservedNode,
    ObservedVolume,
)
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.compare import Comparison, compare_domain, power_status
from pragmaspec.providers.libvirt.domains.disk_chain import own_chain
from pragmaspec.providers.libvirt.domains.expected import recorded_config
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, list_domains, owner_of
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork, list_networks, public_bridge, site_network
from pragmaspec.providers.libvirt.networks.ports import interfaces_without_port
from pragmaspec.providers.libvirt.networks.public_addresses import dhcp_entries
from pragmaspec.resources import Mark, Node
from pragmaspec.state_model import Record, State

_Volumes = dict[str, libvirt.virStorageVol]


def observe(host: Host, lineage: str, recorded: State | None = None) -> Observations:
    """Everything of the stack ``lineage``, sorted by address, its machines compared with ``recorded``."""
    identity = host.identity()
    undefined = _is_undefined(host, recorded)
    if undefined:
        volumes.refresh(host)  # The domain no longer lists the files that are based on its disk.
    disks, networks = _disks(host), list(list_networks(host))
    nodes = _Nodes(host, lineage, disks, recorded, all_layers=undefined).observed()
    return Observations(
        site=host.site.name,
        identity=identity,
        nodes=_with_detached(lineage, nodes, interfaces_without_port(host, lineage, networks)),
        allocations=_allocations(host, lineage, networks),
        images=names.complete_images_of(set(disks), lineage),
        image_parts=tuple(_image(host, digest, disks) for digest in names.images_of(set(disks), lineage)),
        store=f"pool {host.site.pool}",
        warnings=host.warnings,
        site_networks=tuple(site_network(host, each) for each in networks if each.owner is None),
        public_bridge=public_bridge(host),
        volumes=_volumes(host, lineage, disks),
    )


def _image(host: Host, digest: str, found: _Volumes) -> ObservedImage:
    sizes = {part: volumes.listed_size(host, found[name]) for part, name in names.image_parts(found, digest).items()}
    return ObservedImage(
        digest=digest,
        whole=names.complete_marker(digest) in found,
        parts=tuple((part, size) for part, size in sorted(sizes.items()) if size != volumes.MISSING_FILE),
    )


def _volumes(host: Host, lineage: str, disks: _Volumes) -> tuple[ObservedVolume, ...]:
    kept = {name: parts for name in disks if (parts := names.parse_kept(name)) is not None and parts[1] == lineage}
    return tuple(
        ObservedVolume(address=names.volume_address(host.site.name, parts[0]), size_bytes=volumes.capacity_bytes(disks[name]))
        for name, parts in sorted(kept.items())
        if _exists(disks[name])
    )


def _disks(host: Host) -> _Volumes:
    return {volume.name(): volume for volume in host.pool().listAllVolumes(0)}


def _with_detached(
    lineage: str, nodes: tuple[ObservedNode, ...], detached: dict[str, tuple[str, ...]]
) -> tuple[ObservedNode, ...]:
    """Return ``nodes`` with their interfaces that have no port."""
    if not detached:
        return nodes
    name = {node.address: names.domain_name("", Mark(lineage=lineage, address=node.address)) for node in nodes}
    return tuple(replace(node, unplugged=detached.get(name[node.address], ())) for node in nodes)


class _Nodes:
    """The machines of one stack, and remains of machines, from one listing of domains and one of volumes."""

    def __init__(self, host: Host, lineage: str, disks: _Volumes, recorded: State | None, *, all_layers: bool) -> None:
        """``all_layers``: files based on a node's disk count whatever their name."""
        self._host = host
        self._lineage = lineage
        self._disks = disks
        self._recorded = recorded
        self._records = _by_uuid(recorded, host.site.name)
        self._generations = _orphaned(host, lineage, disks)
        self._extra = _extra_disks(lineage, disks)
        self._layers = _layers(host, lineage, disks, all_layers=all_layers)

    def observed(self) -> tuple[ObservedNode, ...]:
        """One node per address, sorted."""
        found: dict[str, ObservedNode] = {}
        foreign = set()
        for domain in list_domains(self._host, self._is_ours):
            record = self._records.get(domain.uuid)
            owner = domain.owner
            if record is not None:
                owner = owner_of(domain.uuid, owner, record.mark(self._lineage))
            if owner is None or owner.lineage != self._lineage:
                # A stack with the same first digits of its lineage, or a machine without a mark: its disk is foreign too.
                if owner is not None or not self._is_unmarked(domain):
                    foreign.add(domain.name)
                continue
            found[owner.address] = self._node(domain, owner, record)
        for address, generation in {**dict.fromkeys(self._layers, 0), **self._generations}.items():
            if names.domain_name(address.rpartition("/")[2], Mark(lineage=self._lineage, address=address)) not in foreign:
                found.setdefault(address, self._remains(address, generation))
        return tuple(found[address] for address in sorted(found))

    def _is_ours(self, domain: libvirt.virDomain) -> bool:
        """True by its name, or, if it was renamed, by its UUID."""
        return _short(domain.name()) == self._lineage[:8] or (bool(self._records) and domain.UUIDString() in self._records)

    def _node(self, domain: ObservedDomain, owner: Mark, record: Record | None) -> ObservedNode:
        node = owner.name
        disk = names.disk_volume(node, owner)
        active_file = own_chain(domain.definition)[:1]
        running = record is not None and isinstance(record.resource, Node) and record.resource.running
        booting = running and record is not None and record.status == "pending"
        status, why = power_status(domain, query_reason=running, booting=booting)
        comparison = self._compare(domain, record)
        known = domain.defined or bool(comparison.differences)  # One difference is that it is not defined.
        return ObservedNode(
            address=owner.address,
            generation=owner.generation,
            status=status if known else "undefined",
            why=why if known else "",
            cpus=domain.cpus,
            memory_mib=domain.memory_mib,
            disk=(disk in self._disks and _exists(self._disks[disk]))
            or bool(active_file and active_file[0] != self._host.path(disk)),
            saved=domain.saved,
            autostart=domain.autostart,
            op=owner.op,
            disks=self._extra.get((node, owner.generation), ()),
            **comparison._asdict(),
        )

    def _compare(self, domain: ObservedDomain, record: Record | None) -> Comparison:
        if record is None or self._recorded is None:
            return Comparison()
        config = recorded_config(self._host, self._recorded, record, domain.definition.get("type", ""))
        return compare_domain(self._host, domain, config) if config is not None else Comparison()

    def _remains(self, address: str, generation: int) -> ObservedNode:
        """The remains of a node without a domain: its disk, and files based on it."""
        layers = self._layers.get(address, ())
        return ObservedNode(
            address=address,
            generation=generation,
            status="undefined",
            disk=address in self._generations,
            layers=layers,
            disks=self._extra.get((address.rpartition("/")[2], generation), ()),
            remedy=f"qemu-img commit {layers[0].file} && rm {layers[0].file} (on the host)" if len(layers) == 1 else "",
        )

    def _is_unmarked(self, domain: ObservedDomain) -> bool:
        """True if ``domain`` is the stack's own by its UUID but has no mark. It counts as undefined, and is defined anew."""
        address = names.node_address(self._host.site.name, names.parse_domain(domain.name) or names.NO_NODE)
        return domain.uuid == Mark(lineage=self._lineage, address=address, generation=self._generations.get(address, 0)).uuid


def _short(name: str) -> str:
    return (names.parse_domain(name) or names.NO_NODE).short


def _by_uuid(recorded: State | None, site: str) -> dict[str, Record]:
    """The records of the nodes at ``site`` by the UUID of their domain."""
    if recorded is None:
        return {}
    nodes = (record for record in recorded.records if isinstance(record.resource, Node) and record.resource.site == site)
    return {record.mark(recorded.lineage).uuid: record for record in nodes}


def _extra_disks(lineage: str, disks: _Volumes) -> dict[tuple[str, int], tuple[ObservedDisk, ...]]:
    """The further disks of nodes, by the node's name at its creation and generation."""
    found: dict[tuple[str, int], tuple[ObservedDisk, ...]] = defaultdict(tuple)
    for name, volume in sorted(disks.items()):
        extra = names.parse_extra_disk(name)
        if extra is not None and extra[0].short == lineage[:8] and _exists(volume):
            disk = ObservedDisk(name=extra[1], size_bytes=volumes.capacity_bytes(volume))
            found[extra[0].node, extra[0].generation] += (disk,)
    return found


def _orphaned(host: Host, lineage: str, disks: _Volumes) -> dict[str, int]:
    """The latest generation of each node with a disk, with or without a domain, by address."""
    found: dict[str, int] = {}
    for name in disks:
        disk = names.parse_disk(name)
        if disk is not None and disk.short == lineage[:8]:
            address = names.node_address(host.site.name, disk)
            found[address] = max(disk.generation, found.get(address, 0))
    return found


def _is_undefined(host: Host, recorded: State | None) -> bool:
    """True if a node that is recorded as created has no domain."""
    made = {uuid for uuid, record in _by_uuid(recorded, host.site.name).items() if record.status != "pending"}
    return bool(made) and not made <= {domain.UUIDString() for domain in host.handle().listAllDomains(0)}


def _layers(host: Host, lineage: str, disks: _Volumes, *, all_layers: bool) -> dict[str, tuple[Layer, ...]]:
    """Files in the pool based on the disk of a node: those named after it, or with ``all_layers`` any others too."""
    candidates = [name for name in disks if _may_be_layer(name, lineage, all_layers=all_layers)]
    bases = {name: volumes.backing_volume(host, disks[name]) for name in candidates}
    found: dict[str, tuple[Layer, ...]] = defaultdict(tuple)
    for name in candidates:
        node = _node_below(name, bases)
        if node is not None and node.short == lineage[:8]:
            found[names.node_address(host.site.name, node)] += (Layer(file=host.path(name)),)
    return found


def _may_be_layer(name: str, lineage: str, *, all_layers: bool) -> bool:
    layer = names.parse_layer(name)
    if layer is not None and layer.short == lineage[:8]:
        return True
    return all_layers and not (names.parse_node_volume(name) or names.is_marker(name) or names.is_image_part(name))


def _node_below(name: str, bases: Mapping[str, str]) -> names.NodeVolume | None:
    """The node on whose disk ``name`` is based, directly or through other volumes."""
    visited: set[str] = set()
    while name in bases and name not in visited:
        visited.add(name)
        name = bases[name]
    return names.parse_disk(name) or names.parse_layer(name)


def _exists(volume: libvirt.virStorageVol) -> bool:
    """True if the file of a listed volume exists, which a listing does not check."""
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        volume.info()
        return True
    return False


def _allocations(host: Host, lineage: str, networks: list[ObservedNetwork]) -> tuple[ObservedAllocation, ...]:
    up: dict[str, set[str]] = defaultdict(set)
    vlans: dict[str, set[tuple[str, int]]] = defaultdict(set)
    public: dict[str, set[str]] = defaultdict(set)
    ops: dict[str, str] = {}
    for network in networks:
        if network.owner is None:
            for entry in dhcp_entries(network):
                node = names.parse_domain(entry.get("name", "")) or names.NO_NODE
                if node.short == lineage[:8]:
                    public[names.allocation_address(host.site.name, node)].add(entry.get("ip", ""))
        elif network.owner.lineage == lineage:
            ops[network.owner.address] = network.owner.op or ops.get(network.owner.address, "")
            address = names.parse_address(network.name)
            if address is not None:
                public[network.owner.address].add(address)
            else:
                # A stopped network proves that the allocation exists, but is not counted as up.
                up[network.owner.address].update({network.label} if network.active else ())
                vlan = names.parse_vlan(network.name)
                if vlan is not None and network.active:
                    vlans[network.owner.address].add((network.label, vlan))
    return tuple(
        ObservedAllocation(
            address=address,
            networks=tuple(sorted(up[address])),
            public=tuple(sorted(public[address])),
            vlans=tuple(sorted(vlans[address])),
            op=ops.get(address, ""),
        )
        for address in sorted(up.keys() | public.keys())
    )
