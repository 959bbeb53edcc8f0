"""What carries the marks of one stack at the site, from one listing per kind of object."""

from collections import defaultdict

import libvirt
from msgspec.structs import replace

from pragmaspec.planning.observed import Layer, Observations, ObservedAllocation, ObservedImage, ObservedNode
from pragmaspec.providers.libvirt import addresses, domains, names, networks, volumes
from pragmaspec.providers.libvirt.comparing import Compared, compared, power_of
from pragmaspec.providers.libvirt.failures import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.layers import own_chain
from pragmaspec.providers.libvirt.marks import Owner
from pragmaspec.providers.libvirt.markup import parsed
from pragmaspec.providers.libvirt.parts import recorded_parts
from pragmaspec.providers.libvirt.ports import unplugged
from pragmaspec.recorded import Mark, Node, Record, State


def observe(host: Host, lineage: str, recorded: State | None = None) -> Observations:
    """Everything of the stack ``lineage``, sorted by address, its machines compared with what is ``recorded``."""
    identity = host.identity()
    disks, seen = _disks(host), list(networks.listed(host))
    return Observations(
        site=host.site.name,
        identity=identity,
        nodes=_plugged(lineage, _Nodes(host, lineage, disks, recorded).found(), unplugged(host, lineage, seen)),
        allocations=_allocations(host, lineage, seen),
        images=names.used_by(set(disks), lineage),
        image_parts=tuple(_image(host, digest, disks) for digest in names.digests_used(set(disks), lineage)),
        store=f"pool {host.site.pool}",
        warnings=host.warnings,
        site_networks=tuple(networks.site_network(host, each) for each in seen if each.owner is None),
        public_bridge=networks.public_bridge(host),
    )


def _image(host: Host, digest: str, found: dict[str, libvirt.virStorageVol]) -> ObservedImage:
    sizes = {part: volumes.present_bytes(host, found[name]) for part, name in names.image_parts(found, digest).items()}
    return ObservedImage(
        digest=digest,
        whole=names.complete_marker(digest) in found,
        parts=tuple((part, size) for part, size in sorted(sizes.items()) if size != volumes.ABSENT),
    )


def _disks(host: Host) -> dict[str, libvirt.virStorageVol]:
    return {volume.name(): volume for volume in host.pool().listAllVolumes(0)}


def _plugged(lineage: str, nodes: tuple[ObservedNode, ...], loose: dict[str, tuple[str, ...]]) -> tuple[ObservedNode, ...]:
    """``nodes`` with the interfaces that hang on nothing."""
    if not loose:
        return nodes
    name = {node.address: names.domain_name("", Mark(lineage=lineage, address=node.address)) for node in nodes}
    return tuple(replace(node, unplugged=loose.get(name[node.address], ())) for node in nodes)


class _Nodes:
    """The machines of one stack, and what is left of them, from one listing of domains and one of volumes."""

    def __init__(self, host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol], recorded: State | None) -> None:
        self._host = host
        self._lineage = lineage
        self._disks = disks
        self._recorded = recorded
        self._records = _by_uuid(recorded, host.site.name)
        self._builds = _orphaned(host, lineage, disks)
        self._layers = _layers(host, lineage, disks)

    def found(self) -> tuple[ObservedNode, ...]:
        """One per address, sorted."""
        found: dict[str, ObservedNode] = {}
        foreign = set()
        for domain in domains.listed(self._host, self._is_ours):
            record = self._records.get(domain.uuid)
            owner = domain.owner
            if record is not None:
                owner = domains.owner_of(domain.uuid, owner, record.mark(self._lineage))
            if owner is None or owner.lineage != self._lineage:
                # A stack whose lineage begins alike, or a machine without marks: its disk is its own.
                if owner is not None or not self._is_unmarked(domain):
                    foreign.add(domain.name)
                continue
            found[owner.address] = self._node(domain, owner, record)
        for address, generation in {**dict.fromkeys(self._layers, 0), **self._builds}.items():
            if names.domain_name(address.rpartition("/")[2], Mark(lineage=self._lineage, address=address)) not in foreign:
                found.setdefault(address, self._left(address, generation))
        return tuple(found[address] for address in sorted(found))

    def _is_ours(self, domain: libvirt.virDomain) -> bool:
        """By its name, or, if somebody has renamed it, by its UUID."""
        return _short(domain.name()) == self._lineage[:8] or (bool(self._records) and domain.UUIDString() in self._records)

    def _node(self, domain: domains.SeenDomain, owner: Owner, record: Record | None) -> ObservedNode:
        node = owner.address.rpartition("/")[2]
        disk = names.disk_volume(node, Mark(lineage=self._lineage, address=owner.address, generation=owner.generation))
        stands_on = own_chain(domain.definition)[:1]
        running = record is not None and isinstance(record.resource, Node) and record.resource.running
        status, why = power_of(domain, asked=running)
        return ObservedNode(
            address=owner.address,
            generation=owner.generation,
            status=status if domain.defined else "undefined",
            why=why if domain.defined else "",
            cpus=domain.cpus,
            memory_mib=domain.memory_mib,
            disk=(disk in self._disks and _is_there(self._disks[disk]))
            or bool(stands_on and stands_on[0] != self._host.path(disk)),
            saved=domain.saved,
            autostart=domain.autostart,
            op=owner.op,
            **self._compared(domain, record)._asdict(),
        )

    def _compared(self, domain: domains.SeenDomain, record: Record | None) -> Compared:
        if record is None or self._recorded is None:
            return Compared()
        parts = recorded_parts(self._host, self._recorded, record, domain.definition.get("type", ""))
        return compared(self._host, domain, parts) if parts is not None else Compared()

    def _left(self, address: str, generation: int) -> ObservedNode:
        """What is left of a node without a domain: its disk, files that stand on it."""
        there = address in self._builds
        return ObservedNode(
            address=address, generation=generation, status="undefined", disk=there, layers=self._layers.get(address, ())
        )

    def _is_unmarked(self, domain: domains.SeenDomain) -> bool:
        """Whether ``domain`` is ours by its UUID: somebody has removed its mark. It counts as undefined, and is defined anew."""
        node, _ = names.parsed_domain(domain.name) or ("", "")
        address = names.node_address(self._host.site.name, node)
        return domain.uuid == Mark(lineage=self._lineage, address=address, generation=self._builds.get(address, 0)).uuid


def _short(name: str) -> str:
    return (names.parsed_domain(name) or ("", ""))[1]


def _by_uuid(recorded: State | None, site: str) -> dict[str, Record]:
    """The records of the nodes at ``site`` by the UUID of their machine."""
    if recorded is None:
        return {}
    nodes = (record for record in recorded.records if isinstance(record.resource, Node) and record.resource.site == site)
    return {record.mark(recorded.lineage).uuid: record for record in nodes}


def _orphaned(host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol]) -> dict[str, int]:
    """Addresses and newest builds of nodes whose disk is there, with or without a domain."""
    found: dict[str, int] = {}
    for name in disks:
        disk = names.parsed_disk(name)
        if disk is not None and disk.short == lineage[:8]:
            address = names.node_address(host.site.name, disk.node)
            found[address] = max(disk.generation, found.get(address, 0))
    return found


def _layers(host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol]) -> dict[str, tuple[Layer, ...]]:
    """Files in the pool that stand on the disk of a node, as far as they are called after it."""
    found: dict[str, tuple[Layer, ...]] = defaultdict(tuple)
    for name, volume in disks.items():
        layer = names.parsed_layer(name)
        if layer is not None and layer.short == lineage[:8] and _stands_on_a_node(volume):
            found[names.node_address(host.site.name, layer.node)] += (Layer(file=host.path(name)),)
    return found


def _stands_on_a_node(volume: libvirt.virStorageVol) -> bool:
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        below = parsed(volume.XMLDesc(0)).findtext("backingStore/path", "").rpartition("/")[2]
        return names.parsed_disk(below) is not None or names.parsed_layer(below) is not None
    return False


def _is_there(volume: libvirt.virStorageVol) -> bool:
    """Whether the file behind a listed volume exists: libvirt looks at it only when asked for details."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        volume.info()
        return True
    return False


def _allocations(host: Host, lineage: str, found: list[networks.SeenNetwork]) -> tuple[ObservedAllocation, ...]:
    up: dict[str, set[str]] = defaultdict(set)
    vlans: dict[str, set[tuple[str, int]]] = defaultdict(set)
    public: dict[str, set[str]] = defaultdict(set)
    ops: dict[str, str] = {}
    for seen in found:
        if seen.owner is None:
            for entry in addresses.entries(seen):
                node, short = names.parsed_domain(entry.get("name", "")) or ("", "")
                if short == lineage[:8]:
                    public[names.allocation_address(host.site.name, node)].add(entry.get("ip", ""))
        elif seen.owner.lineage == lineage:
            ops[seen.owner.address] = seen.owner.op or ops.get(seen.owner.address, "")
            claimed = names.parsed_address(seen.name)
            if claimed is not None:
                public[seen.owner.address].add(claimed)
            else:
                # Even a stopped network shows that the allocation is there; only a running one carries anything.
                up[seen.owner.address].update({seen.called} if seen.active else ())
                vlan = names.parsed_vlan(seen.name)
                if vlan is not None and seen.active:
                    vlans[seen.owner.address].add((seen.called, vlan))
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
