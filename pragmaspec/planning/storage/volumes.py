"""Volumes: those that nodes want, those that are kept, and conflicts about them. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.observed import DiskOffer, Inventory, PoolUse
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Disk, Node, Volume
from pragmaspec.site import Site
from pragmaspec.spec.quantity import format_size
from pragmaspec.state_model import State


def desired_volumes(desired: Iterable[Desired], refreshed: RefreshedState, request: PlanRequest) -> list[Desired]:
    """Return the volumes that ``desired`` nodes want, followed by the recorded ones to keep: all but those to remove."""
    wanted: dict[str, Desired] = {}
    for node, where in desired:
        if isinstance(node, Node):
            for disk in node.disks:
                if disk.volume:
                    volume = _with_kept_format(volume_of(node, disk), refreshed)
                    wanted.setdefault(volume.address, Desired(volume, where))
    kept = [
        Desired(record.resource, None)
        for record in refreshed.state.records
        if isinstance(record.resource, Volume)
        and record.address not in wanted
        and record.address not in request.drop_volumes
        and request.concerns(record.resource.cluster)
    ]
    return [*wanted.values(), *kept]


def _with_kept_format(volume: Volume, refreshed: RefreshedState) -> Volume:
    """Return ``volume`` with the file system that it keeps, if the spec no longer asks for any."""
    record = refreshed.state.record(volume.address) if volume.format == "none" else None
    if record is None or not isinstance(record.resource, Volume) or volume.address in refreshed.gone:
        return volume
    return replace(volume, kept_format=record.resource.made_format)


def volume_of(node: Node, disk: Disk) -> Volume:
    """Return the volume that ``disk`` of ``node`` is."""
    return Volume(
        site=node.site,
        name=disk.volume,
        size_bytes=disk.size_bytes,
        format=disk.format,
        cluster=node.cluster,
        node=node.name if disk.volume == f"{node.name}-{disk.name}" else "",
    )


def missing_and_unused(refreshed: RefreshedState, nodes: Iterable[Node]) -> frozenset[str]:
    """Return the addresses of missing volumes that no node wants: they stay recorded, because they may appear again."""
    records = (refreshed.state.record(address) for address in refreshed.gone)
    missing = {record.address for record in records if record is not None and isinstance(record.resource, Volume)}
    return frozenset(missing - volume_users(nodes).keys()) if missing else frozenset()


def unsupported_disk_problems(
    desired: Iterable[Desired], refreshed: RefreshedState, sites: Iterable[Site], inventories: Mapping[str, Inventory]
) -> list[Problem]:
    """Return one problem per line of the spec that wants disks which its site does not offer, in this size or at all."""
    with_disks = [(node, where) for node, where in desired if isinstance(node, Node) and node.disks]
    if not with_disks:
        return []
    offers = {site.name: _disk_offer(site, inventories.get(site.name)) for site in sites}
    present = {node.address: node.disks for node in refreshed.state.nodes()}
    found: dict[tuple[str, str], Problem] = {}
    for node, where in with_disks:
        for summary, detail in _unsupported_disks(node, offers.get(node.site, DiskOffer()), present.get(node.address, ())):
            found.setdefault((detail, str(where)), Problem(summary=summary, detail=detail, where=where))
    return [problem for _, problem in sorted(found.items())]


def _disk_offer(site: Site, inventory: Inventory | None) -> DiskOffer:
    if not site.has_disks:
        return DiskOffer(missing=f"Its provider {site.provider_name} cannot give nodes further disks.")
    return inventory.disks if inventory is not None else DiskOffer()


def _unsupported_disks(node: Node, offer: DiskOffer, present: Sequence[Disk]) -> Iterator[tuple[str, str]]:
    """Yield summary and detail of the mistakes in the disks of ``node``; ``present``: those that it has."""
    if offer.missing:
        detail = f"Site {node.site} has no further disks. {offer.missing} Remove `disks` from the spec."
        yield "The site has no further disks", detail
        return
    sizes = {disk.name: disk.size_bytes for disk in present}
    for disk in (disk for disk in node.disks if sizes.get(disk.name) != disk.size_bytes):
        whole = -(-disk.size_bytes // offer.unit_bytes) * offer.unit_bytes
        if whole != disk.size_bytes:
            detail = (
                f"Disk {disk.name} has {format_size(disk.size_bytes)}, and disks at site {node.site} have a multiple of "
                f"{format_size(offer.unit_bytes)}. Write `size: {format_size(whole)}`."
            )
            yield "The site does not offer this size", detail
        if offer.max_bytes is not None and disk.size_bytes > offer.max_bytes:
            detail = (
                f"Disk {disk.name} has {format_size(disk.size_bytes)}, and a disk at site {node.site} has at most "
                f"{format_size(offer.max_bytes)}. Write a smaller `size`, or ask the site's administrators for a larger quota."
            )
            yield "A disk is too large", detail


def volume_users(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """Return the nodes that use each volume, by the volume's address."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.volumes if node.disks else ():
            found.setdefault(f"{node.site}/volume/{name}", []).append(node)
    return found


def volume_problems(
    desired: Iterable[Desired], refreshed: RefreshedState, inventories: Mapping[str, Inventory], request: PlanRequest
) -> list[Problem]:
    """Return the conflicts about volumes: of two nodes, with existing volumes, with other stacks, and removals of used ones."""
    entries = list(desired)
    users = volume_users(entry.resource for entry in entries if isinstance(entry.resource, Node))
    if not users and not request.drop_volumes:
        return []
    lines = {entry.resource.address: entry.where for entry in entries}
    problems = [_shared(address, nodes, lines) for address, nodes in users.items() if len(nodes) > 1]
    for volume, where in entries:
        if isinstance(volume, Volume) and volume.address in users:
            problems += _mismatches(volume, refreshed, where)
            problems += _held_by_others(volume, inventories.get(volume.site), refreshed.state, where)
    problems += _used_removals(users, refreshed.state, request)
    return problems


def _shared(address: str, nodes: list[Node], lines: Mapping[str, Where | None]) -> Problem:
    first, second, *_ = nodes
    return Problem(
        summary="Two nodes want one volume",
        detail=f"{first.name} and {second.name} both want the volume {address.rpartition('/')[2]}, and a volume has one user. "
        "Write another name after `keep:`.",
        where=lines[second.address],
    )


def _mismatches(volume: Volume, refreshed: RefreshedState, where: Where | None) -> list[Problem]:
    """Return the conflicts of a wanted volume with the recorded or observed one of its name."""
    if volume.address in refreshed.gone:
        return []
    record, seen = refreshed.state.record(volume.address), refreshed.volumes.get(volume.address)
    before = record.resource if record is not None and isinstance(record.resource, Volume) else None
    size_bytes = before.size_bytes if before is not None else seen.size_bytes if seen is not None else 0
    problems = []
    if volume.size_bytes < size_bytes:
        problems.append(
            Problem(
                summary="A volume cannot shrink",
                detail=f"Volume {volume.name} at site {volume.site} has {format_size(size_bytes)}, and the spec wants "
                f"{format_size(volume.size_bytes)}. Write `size: {format_size(size_bytes)}` or more.",
                where=where,
            )
        )
    made = before.made_format if before is not None else "none"
    if "none" not in (made, volume.format) and made != volume.format:
        problems.append(
            Problem(
                summary="A volume has another file system",
                detail=f"Volume {volume.name} at site {volume.site} has the file system {made}, and the spec wants "
                f"{volume.format}. Write `format: {made}`, or another name after `keep:`.",
                where=where,
            )
        )
    return problems


def _held_by_others(volume: Volume, inventory: Inventory | None, state: State, where: Where | None) -> list[Problem]:
    record = state.record(volume.address)
    name = (record.original_address if record is not None else volume.address).rpartition("/")[2]
    holders = [use for use in (inventory.volumes if inventory is not None else ()) if use.value == name]
    return [_conflict(volume, use, where) for use in holders if use.lineage != state.lineage]


def _conflict(volume: Volume, use: PoolUse, where: Where | None) -> Problem:
    return Problem(
        summary="A volume belongs to another owner",
        detail=f"The name {use.value} at site {volume.site} is that of {use.owner}. Write another name after `keep:`.",
        where=where,
    )


def _used_removals(users: Mapping[str, list[Node]], state: State, request: PlanRequest) -> list[Problem]:
    """Return one problem per volume to remove that a node uses which the plan does not remove."""
    if not request.drop_volumes:
        return []
    recorded = volume_users(node for node in state.nodes() if node.cluster not in request.drop)
    using = {address: [*users.get(address, ()), *recorded.get(address, ())] for address in {*users, *recorded}}
    return [
        Problem(
            summary="A volume is in use",
            detail=f"{nodes[0].name} uses volume {address.rpartition('/')[2]}. Remove the disk from the spec and apply that, or "
            f"remove the cluster too: `pragmaspec clean {nodes[0].cluster} --volumes`.",
        )
        for address, nodes in sorted(using.items())
        if address in request.drop_volumes
    ]
