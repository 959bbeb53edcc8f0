"""Renames of clusters and sites: records move to their new address, and their objects stay as they are at the site. Pure.

A moved record keeps, in ``origin``, the address that its object was created under: the object's identity, MACs, host keys and
name at the site depend on it. A rebuilt object gets the identity of its new address.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from pragmaspec.errors import PlanError, Problem
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move, MoveKind, Wanted
from pragmaspec.resources import Disk, Node, Resource, StagedImage, Volume
from pragmaspec.state_model import Record, State

_REUSED = "The name is still in use at the site"


def moved_state(state: State, moves: Iterable[Move]) -> State:
    """Return ``state`` with ``moves`` made; moves of unrecorded names change nothing.

    Chains are followed to their end, and a move interrupted by a crash is completed. Raises PlanError if something else is
    recorded under a new name.
    """
    return _renamed(state, effective_moves(state, moves))


def effective_moves(state: State, moves: Iterable[Move]) -> tuple[Move, ...]:
    """Return the moves of recorded names, each from its current to its final name, with the line of its last step.

    Raises PlanError if something else is recorded under a new name.
    """
    steps = {(move.kind, move.before): move for move in moves}
    if not steps:
        return ()
    origins = _origins_by_name(state)
    left = {("cluster", record.resource.cluster) for record in state.records if isinstance(record.resource, Volume)}
    chains = [_followed(move, steps) for key, move in steps.items() if key in origins or key in left]
    found = tuple(move for move in chains if move.before != move.after)
    targets = Counter((move.kind, move.after) for move in found)
    problems = [
        _both_recorded(move)
        for move in found
        if targets[move.kind, move.after] > 1
        or origins[move.kind, move.after] - origins[move.kind, move.before] - {move.before}  # the rest of an interrupted move
    ]
    if problems:
        raise PlanError.of(problems)
    return found


def planned_moves(wanted: Wanted, state: State, request: PlanRequest) -> tuple[Move, ...]:
    """Return the effective moves to names of the spec that are in the scope of the plan. Raises PlanError."""
    if not wanted.moves:
        return ()
    names = {
        "cluster": {cluster.name for cluster in wanted.clusters if request.concerns(cluster.name)},
        "site": {cluster.site for cluster in wanted.clusters} | {site.name for site in wanted.sites},
    }
    steps = {(move.kind, move.before): move for move in wanted.moves}
    in_scope = [move for move in wanted.moves if _followed(move, steps).after in names[move.kind]]
    return effective_moves(state, in_scope)


def reused_name_problems(desired: Iterable[Desired], state: State) -> tuple[Problem, ...]:
    """Return one problem per new cluster whose name, or that of its volumes, is still the name of moved objects at their site."""
    origins = {record.origin: record for record in state.records if record.origin}
    clusters: dict[tuple[str, str], Problem] = {}
    volumes: dict[tuple[str, str], list[tuple[Volume, Desired]]] = {}
    for entry in desired if origins else ():
        resource, holder = entry.resource, origins.get(entry.resource.address)
        if holder is None or isinstance(resource, StagedImage) or state.record(resource.address) is not None:
            continue
        key = (resource.site, resource.cluster)
        if isinstance(holder.resource, Volume):
            volumes.setdefault(key, []).append((holder.resource, entry))
        else:
            renamed = getattr(holder.resource, "cluster", resource.cluster)
            clusters.setdefault(key, _reused_cluster(renamed, entry))
    # A cluster with another name has volumes with other names, too.
    return (*clusters.values(), *(_reused_volumes(held) for key, held in volumes.items() if key not in clusters))


def _reused_cluster(renamed: str, entry: Desired) -> Problem:
    resource = entry.resource
    created_as = resource.address.split("/")[1]
    return Problem(
        summary=_REUSED,
        detail=f"Cluster {renamed} was created as {created_as}, and keeps that name at site {resource.site} until it is cleaned. "
        "Choose another name for the new cluster.",
        where=entry.where,
    )


def _reused_volumes(held: Sequence[tuple[Volume, Desired]]) -> Problem:
    volume, entry = held[0]
    created_as = entry.resource.address.rpartition("/")[2]
    others = f" So do {len(held) - 1} other volumes of the cluster." if len(held) > 1 else ""
    return Problem(
        summary=_REUSED,
        detail=f"Volume {volume.name} was created as {created_as}, and keeps that name at site {volume.site} as long as it "
        f"exists.{others} Write another name after `keep:`, or remove the volume with its data: "
        f"`pragmaspec clean --volume {volume.name} --allow data-loss`.",
        where=entry.where,
    )


def _followed(move: Move, steps: Mapping[tuple[MoveKind, str], Move]) -> Move:
    """Return ``move`` with its chain followed. A cycle, which no spec can contain, ends where it began."""
    last, visited = move, {move.before}
    while last.after not in visited and (last.kind, last.after) in steps:
        visited.add(last.after)
        last = steps[last.kind, last.after]
    return replace(last, before=move.before)


def _origins_by_name(state: State) -> defaultdict[tuple[MoveKind, str], set[str]]:
    """Map each recorded name to the names that its objects were created under."""
    found: defaultdict[tuple[MoveKind, str], set[str]] = defaultdict(set)
    for record in state.records:
        site, cluster, *_ = record.original_address.split("/")
        found["site", record.resource.site].add(site)
        if not isinstance(record.resource, StagedImage | Volume):
            found["cluster", record.resource.cluster].add(cluster)
    return found


def _both_recorded(move: Move) -> Problem:
    return Problem(
        summary="Both names are recorded",
        detail=f"The {move.kind} {move.before} is renamed to {move.after}, but another {move.kind} is recorded under that name. "
        "Clean one of them first, or correct this entry of `moved`.",
        where=move.where,
    )


def _renamed(state: State, moves: tuple[Move, ...]) -> State:
    if not moves:
        return state
    clusters = {move.before: move.after for move in moves if move.kind == "cluster"}
    sites = {move.before: move.after for move in moves if move.kind == "site"}
    records: dict[str, Record] = {}
    for record in state.records:
        after = _renamed_record(record, clusters, sites)
        other = records.setdefault(after.address, after)
        if other.original_address != after.original_address:
            raise PlanError.of(_both_recorded(move) for move in moves)
    known = {site.name for site in state.sites}
    return replace(
        state,
        records=tuple(records[address] for address in sorted(records)),
        sites=tuple(
            replace(site, name=sites[site.name]) if site.name in sites and sites[site.name] not in known else site
            for site in state.sites
        ),
    )


def _renamed_record(record: Record, clusters: Mapping[str, str], sites: Mapping[str, str]) -> Record:
    resource = _renamed_resource(record.resource, clusters, sites)
    if resource.address == record.address:
        return record
    origin = record.original_address
    return replace(record, resource=resource, origin="" if origin == resource.address else origin)


def _renamed_resource(resource: Resource, clusters: Mapping[str, str], sites: Mapping[str, str]) -> Resource:
    site = sites.get(resource.site, resource.site)
    if isinstance(resource, StagedImage):
        return replace(resource, site=site)
    before = resource.cluster
    after = clusters.get(before, before)
    if isinstance(resource, Node):
        name = _renamed_node(resource.name, before, after)
        disks = tuple(_renamed_disk(disk, resource.name, name) for disk in resource.disks)
        return replace(resource, site=site, cluster=after, name=name, disks=disks)
    if isinstance(resource, Volume):
        node = _renamed_node(resource.node, before, after)
        name = f"{node}{resource.name.removeprefix(resource.node)}" if node else resource.name
        return replace(resource, site=site, cluster=after, name=name, node=node)
    public = tuple(replace(grant, node=_renamed_node(grant.node, before, after)) for grant in resource.public)
    return replace(resource, site=site, cluster=after, public=public)


def _renamed_disk(disk: Disk, before: str, after: str) -> Disk:
    """Return ``disk`` of a renamed node, with the new name of its volume if that is derived from the node's."""
    return replace(disk, volume=f"{after}-{disk.name}") if disk.volume == f"{before}-{disk.name}" else disk


def _renamed_node(node: str, before: str, after: str) -> str:
    return f"{after}{node.removeprefix(before)}" if node.startswith(f"{before}-") else node
