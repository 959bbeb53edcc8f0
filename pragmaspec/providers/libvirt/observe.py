"""What carries the marks of one stack at the site, from one listing per kind of object."""

from collections import defaultdict
from collections.abc import Mapping

import libvirt
from msgspec.structs import replace

from pragmaspec.planning.observed import Layer, Observations, ObservedAllocation, ObservedImage, ObservedNode
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains.compare import Comparison, compared, power_of
from pragmaspec.providers.libvirt.domains.disk_chain import own_chain
from pragmaspec.providers.libvirt.domains.expected import recorded_parts
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import Owner
from pragmaspec.providers.libvirt.networks import networks
from pragmaspec.providers.libvirt.networks import public_addresses as addresses
from pragmaspec.providers.libvirt.networks.ports import unplugged
from pragmaspec.providers.libvirt.xml import parsed
from pragmaspec.resources import Mark, Node
from pragmaspec.state_model import Record, State


def observe(host: Host, lineage: str, recorded: State | None = None) -> Observations:
    """Everything of the stack ``lineage``, sorted by address, its machines compared with what is ``recorded``."""
    identity = host.identity()
    undefined = _is_undefined(host, recorded)
    if undefined:
        volumes.reread(host)  # Its machine no longer names the files that stand on its disk.
    disks, seen = _disks(host), list(networks.listed(host))
    return Observations(
        site=host.site.name,
        identity=identity,
        nodes=_plugged(lineage, _Nodes(host, lineage, disks, recorded, whole=undefined).found(), unplugged(host, lineage, seen)),
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

    def __init__(
        self, host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol], recorded: State | None, *, whole: bool
    ) -> None:
        """``whole``: files that stand on a node's disk count whatever they are called."""
        self._host = host
        self._lineage = lineage
        self._disks = disks
        self._recorded = recorded
        self._records = _by_uuid(recorded, host.site.name)
        self._builds = _orphaned(host, lineage, disks)
        self._layers = _layers(host, lineage, disks, whole=whole)

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
        """By its name, or, if it was renamed, by its UUID."""
        return _short(domain.name()) == self._lineage[:8] or (bool(self._records) and domain.UUIDString() in self._records)

    def _node(self, domain: domains.ObservedDomain, owner: Owner, record: Record | None) -> ObservedNode:
        node = owner.address.rpartition("/")[2]
        disk = names.disk_volume(node, Mark(lineage=self._lineage, address=owner.address, generation=owner.generation))
        stands_on = own_chain(domain.definition)[:1]
        running = record is not None and isinstance(record.resource, Node) and record.resource.running
        booting = running and record is not None and record.status == "pending"
        status, why = power_of(domain, asked=running, booting=booting)
        held = self._compared(domain, record)
        known = domain.defined or bool(held.differences)  # A difference says that it is not defined.
        return ObservedNode(
            address=owner.address,
            generation=owner.generation,
            status=status if known else "undefined",
            why=why if known else "",
            cpus=domain.cpus,
            memory_mib=domain.memory_mib,
            disk=(disk in self._disks and _is_there(self._disks[disk]))
            or bool(stands_on and stands_on[0] != self._host.path(disk)),
            saved=domain.saved,
            autostart=domain.autostart,
            op=owner.op,
            **held._asdict(),
        )

    def _compared(self, domain: domains.ObservedDomain, record: Record | None) -> Comparison:
        if record is None or self._recorded is None:
            return Comparison()
        parts = recorded_parts(self._host, self._recorded, record, domain.definition.get("type", ""))
        return compared(self._host, domain, parts) if parts is not None else Comparison()

    def _left(self, address: str, generation: int) -> ObservedNode:
        """Remains of a node without a domain: its disk, and files based on it."""
        layers = self._layers.get(address, ())
        return ObservedNode(
            address=address,
            generation=generation,
            status="undefined",
            disk=address in self._builds,
            layers=layers,
            remedy=f"qemu-img commit {layers[0].file} && rm {layers[0].file} (on the host)" if len(layers) == 1 else "",
        )

    def _is_unmarked(self, domain: domains.ObservedDomain) -> bool:
        """True if ``domain`` is ours by its UUID but has lost its mark. It counts as undefined, and is defined anew."""
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


def _is_undefined(host: Host, recorded: State | None) -> bool:
    """True if a node that is recorded as created has no machine."""
    made = {uuid for uuid, record in _by_uuid(recorded, host.site.name).items() if record.status != "pending"}
    return bool(made) and not made <= {domain.UUIDString() for domain in host.handle().listAllDomains(0)}


def _layers(host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol], *, whole: bool) -> dict[str, tuple[Layer, ...]]:
    """Files in the pool that stand on the disk of a node: those that are called after it; ``whole``: and all others."""
    asked = [name for name in disks if _may_stand(name, lineage, whole=whole)]
    below = {name: _below(host, disks[name]) for name in asked}
    found: dict[str, tuple[Layer, ...]] = defaultdict(tuple)
    for name in asked:
        node = _node_under(name, below)
        if node is not None and node.short == lineage[:8]:
            found[names.node_address(host.site.name, node.node)] += (Layer(file=host.path(name)),)
    return found


def _may_stand(name: str, lineage: str, *, whole: bool) -> bool:
    layer = names.parsed_layer(name)
    if layer is not None and layer.short == lineage[:8]:
        return True
    return whole and not (names.parsed_node_volume(name) or names.is_marker(name) or names.is_image_part(name))


def _below(host: Host, volume: libvirt.virStorageVol) -> str:
    """The volume of the pool that ``volume`` stands on."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        directory, _, below = parsed(volume.XMLDesc(0)).findtext("backingStore/path", "").rpartition("/")
        return below if directory == host.directory else ""
    return ""


def _node_under(name: str, below: Mapping[str, str]) -> names.NodeVolume | None:
    """The node on whose disk ``name`` stands, straight or through others."""
    passed: set[str] = set()
    while name in below and name not in passed:
        passed.add(name)
        name = below[name]
    return names.parsed_disk(name) or names.parsed_layer(name)


def _is_there(volume: libvirt.virStorageVol) -> bool:
    """Whether the file behind a listed volume exists: libvirt looks at it only when asked for details."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        volume.info()
        return True
    return False


def _allocations(host: Host, lineage: str, found: list[networks.ObservedNetwork]) -> tuple[ObservedAllocation, ...]:
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
