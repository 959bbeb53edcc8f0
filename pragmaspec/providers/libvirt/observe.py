"""What carries the marks of one stack at the site, from one listing per kind of object."""

from collections import defaultdict

import libvirt

from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedImage, ObservedNode
from pragmaspec.providers.libvirt import addresses, domains, names, networks, volumes
from pragmaspec.providers.libvirt.failures import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.recorded import Mark


def observe(host: Host, lineage: str) -> Observations:
    """Everything of the stack ``lineage``, sorted by address."""
    identity = host.identity()
    disks = _disks(host)
    return Observations(
        site=host.site.name,
        identity=identity,
        nodes=_nodes(host, lineage, disks),
        allocations=_allocations(host, lineage),
        images=names.used_by(set(disks), lineage),
        image_parts=tuple(_image(host, digest, disks) for digest in names.digests_used(set(disks), lineage)),
        store=f"pool {host.site.pool}",
        warnings=host.warnings,
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


def _nodes(host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol]) -> tuple[ObservedNode, ...]:
    found: dict[str, ObservedNode] = {}
    foreign = set()
    builds = _orphaned(host, lineage, disks)
    for domain in domains.listed(host, lambda name: (names.parsed_domain(name) or ("", ""))[1] == lineage[:8]):
        owner = domain.owner
        if owner is None or owner.lineage != lineage:
            # A stack whose lineage begins alike, or a machine without marks: its disk is its own.
            if owner is not None or not _unmarked(domain, host.site.name, lineage, builds):
                foreign.add(domain.name)
            continue
        node = owner.address.rpartition("/")[2]
        disk = names.disk_volume(node, Mark(lineage=lineage, address=owner.address, generation=owner.generation))
        found[owner.address] = ObservedNode(
            address=owner.address,
            generation=owner.generation,
            status=("running" if domain.running else "off") if domain.defined else "undefined",
            cpus=domain.cpus,
            memory_mib=domain.memory_mib,
            disk=disk in disks and _is_there(disks[disk]),
            autostart=domain.autostart,
            op=owner.op,
        )
    for address, generation in builds.items():
        if names.domain_name(address.rpartition("/")[2], Mark(lineage=lineage, address=address)) not in foreign:
            found.setdefault(address, ObservedNode(address=address, generation=generation, status="undefined"))
    return tuple(found[address] for address in sorted(found))


def _unmarked(domain: domains.SeenDomain, site: str, lineage: str, builds: dict[str, int]) -> bool:
    """Whether ``domain`` is ours by its UUID: somebody has removed its mark. It counts as undefined, and is defined anew."""
    node, _ = names.parsed_domain(domain.name) or ("", "")
    address = names.node_address(site, node)
    return domain.uuid == Mark(lineage=lineage, address=address, generation=builds.get(address, 0)).uuid


def _orphaned(host: Host, lineage: str, disks: dict[str, libvirt.virStorageVol]) -> dict[str, int]:
    """Addresses and newest builds of nodes whose disk is there, with or without a domain."""
    found: dict[str, int] = {}
    for name in disks:
        disk = names.parsed_disk(name)
        if disk is not None and disk.short == lineage[:8]:
            address = names.node_address(host.site.name, disk.node)
            found[address] = max(disk.generation, found.get(address, 0))
    return found


def _is_there(volume: libvirt.virStorageVol) -> bool:
    """Whether the file behind a listed volume exists: libvirt looks at it only when asked for details."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        volume.info()
        return True
    return False


def _allocations(host: Host, lineage: str) -> tuple[ObservedAllocation, ...]:
    up: dict[str, set[str]] = defaultdict(set)
    vlans: dict[str, set[tuple[str, int]]] = defaultdict(set)
    public: dict[str, set[str]] = defaultdict(set)
    ops: dict[str, str] = {}
    for seen in networks.listed(host):
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
