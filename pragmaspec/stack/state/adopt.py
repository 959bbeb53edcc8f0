"""Records for orphans: objects with our marks that are not recorded. The next plan repairs or cleans them. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_interface
from types import MappingProxyType

from msgspec.structs import replace

from pragmaspec.planning.allocation.pools import UNKNOWN_RANGE
from pragmaspec.planning.desired import with_macs
from pragmaspec.planning.observed import Inventory, ObservedAllocation, ObservedNode, ObservedVolume
from pragmaspec.planning.orphans import Orphan
from pragmaspec.planning.wanted import Wanted, WantedCluster
from pragmaspec.resources import Allocation, Blob, Network, Node, PublicGrant, Resource, StagedImage, Volume
from pragmaspec.state_model import Record, State

PROBLEM = "found at the site without a record"
_NO_RANGES: Mapping[str, str] = MappingProxyType({})


def adopted_record(orphan: Orphan, wanted: Mapping[str, Resource], ranges: Mapping[str, str] = _NO_RANGES) -> Record:
    """Return the record of ``orphan``: degraded, because its creation may be incomplete.

    ``wanted``: the resources of the spec by address. A wanted object is assumed to be as wanted, except where the site reports
    otherwise; any other object is recorded with what is needed to remove it. ``ranges``: of the networks of an allocation, as far
    as they are known: see :func:`recorded_ranges`.
    """
    asked = wanted.get(orphan.address)
    seen = orphan.seen
    if isinstance(seen, ObservedNode):
        resource: Resource = _node(orphan, seen, asked if isinstance(asked, Node) else None)
    elif isinstance(seen, ObservedVolume):
        resource = _volume(orphan, seen, asked if isinstance(asked, Volume) else None)
    elif isinstance(seen, ObservedAllocation):
        resource = _allocation(orphan, seen, asked if isinstance(asked, Allocation) else None, ranges)
    else:
        resource = asked if isinstance(asked, StagedImage) else _image(orphan)
    return Record(
        resource=resource,
        status="degraded",
        generation=orphan.generation,
        outputs=(("id", seen.id),) if seen is not None and seen.id else (),
        problem=PROBLEM,
        op=seen.op if seen is not None else "",
    )


def with_current_address(orphan: Orphan, state: State) -> Orphan:
    """Return ``orphan`` at its current address, if ``state`` records its cluster or site under a new name."""
    if orphan.seen is None or orphan.kind == "volume":
        return orphan
    made_site, made_cluster, *_ = orphan.address.split("/")
    site = orphan.site
    for record in state.records:
        resource = record.resource
        if (
            not isinstance(resource, StagedImage | Volume)
            and resource.site == site
            and record.origin.split("/")[:2] == [made_site, made_cluster]
        ):
            return replace(orphan, address=_renamed(orphan.address, site, made_cluster, resource.cluster))
    return orphan


def with_original_address(record: Record, original_address: str, lineage: str) -> Record:
    """Return ``record`` with its original address, by which the site and the guest know it."""
    if record.address == original_address:
        return record
    node = record.resource
    if isinstance(node, Node):
        return replace(record, resource=with_macs(node, lineage, original_address), origin=original_address)
    return replace(record, origin=original_address)


def adoption_order(orphans: Iterable[Orphan]) -> tuple[tuple[Orphan, ...], tuple[Orphan, ...]]:
    """Split ``orphans`` into those to record first, and the nodes, whose addresses follow from their cluster's allocation."""
    all_ = tuple(orphans)
    return tuple(one for one in all_ if one.kind != "node"), tuple(one for one in all_ if one.kind == "node")


def recorded_ranges(state: State, site: str, cluster: str) -> dict[str, str]:
    """Return the ranges of a cluster's networks by name, as the interfaces of its recorded nodes have them."""
    nics = (nic for node in state.nodes() if (node.site, node.cluster) == (site, cluster) for nic in node.nics if nic.address)
    return {nic.network: str(ip_interface(f"{nic.address}/{nic.prefix}").network) for nic in nics}


def with_held_allocations(wanted: Wanted, state: State, held: Iterable[Orphan], inventories: Mapping[str, Inventory]) -> Wanted:
    """Return ``wanted`` with each cluster requesting what its allocation in ``held`` has.

    As far as the sites report it; the range, if its site does not, as far as recorded nodes have it.
    """
    by_address = {orphan.address: orphan for orphan in held}
    return replace(
        wanted,
        clusters=tuple(
            _pinned(cluster, by_address[address], state, inventories[cluster.site])
            if (address := f"{cluster.site}/{cluster.name}/allocation") in by_address
            else cluster
            for cluster in wanted.clusters
        ),
    )


def _renamed(address: str, site: str, before: str, after: str) -> str:
    """Return ``address`` of a resource in cluster ``before`` as it is in cluster ``after`` at ``site``."""
    _, _, *inside = address.split("/")
    if inside[0] == "node" and inside[1].startswith(f"{before}-"):
        inside[1] = f"{after}{inside[1].removeprefix(before)}"
    return "/".join((site, after, *inside))


def _pinned(cluster: WantedCluster, orphan: Orphan, state: State, inventory: Inventory) -> WantedCluster:
    seen = orphan.seen if isinstance(orphan.seen, ObservedAllocation) else ObservedAllocation(address=orphan.address)
    extra = {network.cidr for network in cluster.networks}
    cidrs = [each.value for each in inventory.cidrs if (each.lineage, each.address) == (state.lineage, seen.address)]
    private = [cidr for cidr in cidrs if cidr not in extra]
    recorded = recorded_ranges(state, cluster.site, cluster.name).get("private", cluster.cidr)
    public = cluster.public
    if seen.public and public.kind == "pool":
        public = replace(public, kind="address", address=seen.public[0])
    return replace(
        cluster,
        vlan=dict(seen.vlans).get("private", cluster.vlan),
        cidr=private[0] if len(private) == 1 else recorded,
        public=public,
    )


def _node(orphan: Orphan, seen: ObservedNode, asked: Node | None) -> Node:
    running = seen.status in ("running", "paused")
    if asked is not None:
        # The configuration of its guest is unknown, so the next apply updates it.
        sizes = {"cpus": seen.cpus, "memory_mib": seen.memory_mib} if running and seen.cpus and seen.memory_mib else {}
        flavor = asked.flavor if seen.flavor is None else seen.flavor
        return replace(asked, running=running, keys="", peers="", image=asked.image if seen.disk else "", flavor=flavor, **sizes)
    site, cluster, _, name = orphan.address.split("/")
    group, index = _group_and_index(name, cluster)
    return Node(
        site=site,
        cluster=cluster,
        name=name,
        role="frontend" if group == "frontend" else "compute",
        group="" if group in ("frontend", "compute") else group,
        index=index,
        cpus=seen.cpus,
        memory_mib=seen.memory_mib,
        disk_bytes=0,
        image="",
        nics=(),
        running=running,
    )


def _group_and_index(name: str, cluster: str) -> tuple[str, int]:
    """Return the group (or ``frontend`` or ``compute``) and the index of the node ``name``, which follow from its name."""
    group, _, number = name.removeprefix(f"{cluster}-").rpartition("-")
    return (group, int(number)) if group and number.isdecimal() else ("frontend", 0)


def _allocation(orphan: Orphan, seen: ObservedAllocation, asked: Allocation | None, ranges: Mapping[str, str]) -> Allocation:
    vlans = dict(seen.vlans)
    if asked is not None:
        networks = tuple(replace(network, vlan=vlans.get(network.name, network.vlan)) for network in asked.networks)
        return replace(asked, networks=networks)
    site, cluster, _ = orphan.address.split("/")
    names = sorted({*seen.networks, *vlans} | {"private"}, key=lambda name: (name != "private", name))
    return Allocation(
        site=site,
        cluster=cluster,
        networks=tuple(Network(name=name, cidr=ranges.get(name, UNKNOWN_RANGE), vlan=vlans.get(name)) for name in names),
        public=tuple(PublicGrant(node=f"{cluster}-frontend", address=address, prefix=32) for address in seen.public),
    )


def _volume(orphan: Orphan, seen: ObservedVolume, asked: Volume | None) -> Volume:
    if asked is not None:
        return replace(asked, size_bytes=seen.size_bytes)
    # Its file system is unknown, so that any is accepted.
    return Volume(site=orphan.site, name=orphan.address.rpartition("/")[2], size_bytes=seen.size_bytes, format="none")


def _image(orphan: Orphan) -> StagedImage:
    return StagedImage(
        site=orphan.site,
        digest=orphan.digest,
        name=orphan.digest[:16],
        format="qcow2",
        disk=Blob(sha256=orphan.digest, size_bytes=0),
        virtual_size_bytes=0,
    )
