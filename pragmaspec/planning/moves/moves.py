"""Names that have changed: records move to their new address, and what they are about stays what it is at its site. Pure.

A record that moved names, in ``origin``, the address that its object was made under: identity, MACs, host keys and what the site
calls it follow from that one. An object that is made anew gets the identity of its new address.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pragmaspec.errors import PlanError, Problem
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move, MoveKind, Wanted
from pragmaspec.resources import Node, Resource, StagedImage
from pragmaspec.state_model import Record, State


def moved_state(state: State, moves: Iterable[Move]) -> State:
    """``state`` with everything that ``moves`` name under its new name; moves of what is not recorded change nothing.

    Chains are followed to their end. What a crash left half moved is moved to the end. Raises PlanError when something else is
    recorded under the new name already.
    """
    return _renamed(state, effective_moves(state, moves))


def effective_moves(state: State, moves: Iterable[Move]) -> tuple[Move, ...]:
    """The moves of what is recorded, each from where it is to where it shall be, with the line of its last step.

    Raises PlanError when something is recorded under the new name already.
    """
    steps = {(move.kind, move.before): move for move in moves}
    if not steps:
        return ()
    made = _made_names(state)
    whole = [_whole(move, steps) for (kind, before), move in steps.items() if (kind, before) in made]
    found = tuple(move for move in whole if move.before != move.after)
    coming = Counter((move.kind, move.after) for move in found)
    problems = [
        _both_recorded(move)
        for move in found
        if coming[move.kind, move.after] > 1
        or made[move.kind, move.after] - made[move.kind, move.before] - {move.before}  # others than what a crash half moved
    ]
    if problems:
        raise PlanError.of(problems)
    return found


def planned_moves(wanted: Wanted, state: State, request: PlanRequest) -> tuple[Move, ...]:
    """The moves that a plan makes: to names that the spec has, of what the plan is about. Raises PlanError."""
    if not wanted.moves:
        return ()
    wanted_names = {
        "cluster": {cluster.name for cluster in wanted.clusters if request.concerns(cluster.name)},
        "site": {cluster.site for cluster in wanted.clusters} | {site.name for site in wanted.sites},
    }
    steps = {(move.kind, move.before): move for move in wanted.moves}
    kept = [move for move in wanted.moves if _whole(move, steps).after in wanted_names[move.kind]]
    return effective_moves(state, kept)


def reused_name_problems(desired: Iterable[Desired], state: State) -> tuple[Problem, ...]:
    """One problem for each cluster that is to be made under a name which moved things still carry at their site."""
    origins = {record.origin: record for record in state.records if record.origin}
    found: dict[tuple[str, str], Problem] = {}
    for asked, where in desired if origins else ():
        holder = origins.get(asked.address)
        if holder is None or isinstance(asked, StagedImage) or state.record(asked.address) is not None:
            continue
        other = getattr(holder.resource, "cluster", asked.cluster)
        found.setdefault(
            (asked.site, asked.cluster),
            Problem(
                summary="The name is still in use at the site",
                detail=f"What is called {other} now was made as {asked.cluster}, and carries that name at site "
                f"{asked.site} until it is cleaned. Choose another name for the new cluster.",
                where=where,
            ),
        )
    return tuple(found.values())


def _whole(move: Move, steps: Mapping[tuple[MoveKind, str], Move]) -> Move:
    """``move`` with the moves that follow it. A circle, which no spec may have, ends where it began."""
    last, passed = move, {move.before}
    while last.after not in passed and (last.kind, last.after) in steps:
        passed.add(last.after)
        last = steps[last.kind, last.after]
    return replace(last, before=move.before)


def _made_names(state: State) -> defaultdict[tuple[MoveKind, str], set[str]]:
    """The names under which what now has a name was made."""
    found: defaultdict[tuple[MoveKind, str], set[str]] = defaultdict(set)
    for record in state.records:
        site, inside, *_ = record.original_address.split("/")
        found["site", record.resource.site].add(site)
        if not isinstance(record.resource, StagedImage):
            found["cluster", record.resource.cluster].add(inside)
    return found


def _both_recorded(move: Move) -> Problem:
    return Problem(
        summary="Both names are recorded",
        detail=f"The {move.kind} {move.before} shall be called {move.after} from now on, but something else that is recorded has "
        "that name too. Clean one of them first, or correct this entry of `moved`.",
        where=move.where,
    )


def _renamed(state: State, moves: tuple[Move, ...]) -> State:
    if not moves:
        return state
    clusters = {move.before: move.after for move in moves if move.kind == "cluster"}
    sites = {move.before: move.after for move in moves if move.kind == "site"}
    records: dict[str, Record] = {}
    for record in state.records:
        after = _moved(record, clusters, sites)
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


def _moved(record: Record, clusters: Mapping[str, str], sites: Mapping[str, str]) -> Record:
    resource = _renamed_resource(record.resource, clusters, sites)
    if resource.address == record.address:
        return record
    made_as = record.original_address
    return replace(record, resource=resource, origin="" if made_as == resource.address else made_as)


def _renamed_resource(resource: Resource, clusters: Mapping[str, str], sites: Mapping[str, str]) -> Resource:
    site = sites.get(resource.site, resource.site)
    if isinstance(resource, StagedImage):
        return replace(resource, site=site)
    before = resource.cluster
    after = clusters.get(before, before)
    if isinstance(resource, Node):
        return replace(resource, site=site, cluster=after, name=_renamed_node(resource.name, before, after))
    public = tuple(replace(grant, node=_renamed_node(grant.node, before, after)) for grant in resource.public)
    return replace(resource, site=site, cluster=after, public=public)


def _renamed_node(node: str, before: str, after: str) -> str:
    return f"{after}{node.removeprefix(before)}" if node.startswith(f"{before}-") else node
