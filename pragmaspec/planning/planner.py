"""Planning: (wanted, recorded, observed, inventory) in, a plan out. Pure; the rooms below do one part each."""

from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from pragmaspec.errors import PlanError, Problem
from pragmaspec.planning.actions import ALREADY_STAGED, NO_LONGER_WANTED, NOT_STAGED, REQUESTED, SHALL_BE_OFF, SHALL_RUN, actions
from pragmaspec.planning.allocation.allocator import AllocationError, Allocator, satisfies
from pragmaspec.planning.allocation.capacity import shortages
from pragmaspec.planning.desired import Desired, desired_nodes
from pragmaspec.planning.diff import changes
from pragmaspec.planning.drift.public_network import require_public_networks
from pragmaspec.planning.drift.refresh import RefreshedState, refreshed_state
from pragmaspec.planning.images.firmware import firmware_problems
from pragmaspec.planning.images.needed import needed_images, unknown_image_problems
from pragmaspec.planning.images.prune import prune_actions
from pragmaspec.planning.moves.moves import moved_state, planned_moves, reused_name_problems
from pragmaspec.planning.moves.readdress import by_origin, by_recorded_address
from pragmaspec.planning.moves.suggest import likely_moves
from pragmaspec.planning.observed import Inventory, Observations, StoredImage
from pragmaspec.planning.peers import with_peers
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Action, Drift, PendingChange, Plan, PlannedSite
from pragmaspec.planning.power_only import is_power_only, power_only_changes, unwanted_power_changes
from pragmaspec.planning.replacement import check_replacements, replaced_nodes
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.scope import addresses_in_scope
from pragmaspec.planning.targets import selected_actions
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedNodes
from pragmaspec.planning.warnings import plan_warnings
from pragmaspec.resources import Allocation, Network, Node, StagedImage
from pragmaspec.state_model import State

WHOLE_STACK = PlanRequest()
_NONE_STORED: Mapping[str, tuple[StoredImage, ...]] = MappingProxyType({})


def state_digest(state: State) -> str:
    """SHA-256 over everything the state says: what a saved plan is bound to."""
    return sha256(msgspec.json.encode(state, order="sorted")).hexdigest()


def sites_needing_inventory(wanted: Wanted, state: State, request: PlanRequest = WHOLE_STACK) -> frozenset[str]:
    """Names of the sites that must be asked for their inventory, because something new or larger is wanted there.

    Raises PlanError when the spec moves something to a name that is taken.
    """
    state = moved_state(state, planned_moves(wanted, state, request))
    recorded: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for node in state.nodes():
        recorded[node.site, node.cluster].append(node)
    return frozenset(
        cluster.site
        for cluster in wanted.clusters
        if cluster.name not in request.drop
        and request.concerns(cluster.name)
        and _may_grow(wanted, cluster, state, recorded[cluster.site, cluster.name], request)
    )


def make_plan(
    wanted: Wanted,
    state: State,
    observations: Mapping[str, Observations],
    inventories: Mapping[str, Inventory],
    request: PlanRequest = WHOLE_STACK,
    stored: Mapping[str, tuple[StoredImage, ...]] = _NONE_STORED,
) -> Plan:
    """The plan that takes the sites from what is recorded and observed to what is wanted.

    ``observations`` may leave sites out (they are then taken to be as recorded). ``inventories`` must hold every site that
    :func:`sites_needing_inventory` names, ``stored`` the images of every site that :func:`.pruning.prune_sites` names. Raises
    PlanError with everything that is short, taken or contradictory.
    """
    moves = planned_moves(wanted, state, request)
    moved = moved_state(state, moves)
    left = {move.before for move in moves if move.kind == "site"}
    looked = {name: by_origin(seen, moved) for name, seen in observations.items() if name not in left}
    asked = {name: by_recorded_address(inventory, moved, name) for name, inventory in inventories.items()}
    seen = refreshed_state(moved, looked, accept_missing=request.accept_missing)
    replaced = replaced_nodes(seen.state, request)
    desired, planned, pending = _desired(wanted, seen, asked, request)
    check_replacements(desired, seen.state, request)
    drifted = frozenset(drift.address for drift in seen.drift if _concerns_power(drift, moved, seen.state, request))
    patient = frozenset((cluster.site, cluster.name) for cluster in wanted.clusters if cluster.computes.after_frontend)
    differing = [change for change in changes(desired, seen.state, drifted | replaced) if change.address in planned]
    found = actions(differing, seen, patient, replaced)
    known = (*(entry.resource for entry in desired), *(record.resource for record in moved.records))
    if request.prune_images:
        pruned = tuple(prune_actions(stored, known, state.lineage))
        found, known = (*found, *pruned), (*known, *(action.resource for action in pruned))
    kept = tuple(_as_asked(_as_found(action, asked), request) for action in selected_actions(found, known, request))
    if request.targets or request.exclude:
        kept = with_peers(kept, wanted, seen.state)
    elif request.running:
        # What stands is booted as its guest was left; what is made anew is told of those that stand.
        told = with_peers(kept, wanted, seen.state)
        kept = tuple(new if old.before is None else old for old, new in zip(kept, told, strict=True))
    require_public_networks(kept, looked, wanted, request)
    acted_on = {action.address for action in kept}
    names = sorted({action.resource.site for action in kept} | {cluster.site for cluster in wanted.clusters} | looked.keys())
    partial = bool(request.targets or request.exclude or request.only_clusters)
    return Plan(
        lineage=state.lineage,
        serial=state.serial,
        state_sha256=state_digest(state),
        spec_file=wanted.spec_file,
        spec_sha256=wanted.spec_sha256,
        sites=tuple(_planned_site(name, wanted, moved, looked) for name in names),
        actions=kept,
        drift=tuple(drift for drift in seen.drift if drift.kind != "unrecorded" or drift.address not in acted_on),
        partial=partial,
        named=request.drop,
        replaced=tuple(sorted(replaced)),
        moves=moves,
        likely_moves=() if partial else likely_moves(wanted, _nodes(desired), moved),
        warnings=plan_warnings(wanted, moved, looked, request),
        need=wanted.need,
        pending=pending,
    )


def _concerns_power(drift: Drift, recorded: State, seen: State, request: PlanRequest) -> bool:
    """True if ``drift`` is to be recorded or repaired. Of nodes of a cluster that is only switched, just drift of power is."""
    if drift.kind in INFORMATIONAL_KINDS:
        return False
    before, now = recorded.record(drift.address), seen.record(drift.address)
    if before is None or now is None or not isinstance(before.resource, Node) or not isinstance(now.resource, Node):
        return True
    return (
        not request.switches(before.resource.cluster)
        or drift.kind in ("gone", "paused")
        or before.resource.running != now.resource.running
    )


def _nodes(desired: list[Desired]) -> list[Node]:
    return [entry.resource for entry in desired if isinstance(entry.resource, Node)]


def _as_found(action: Action, inventories: Mapping[str, Inventory]) -> Action:
    """``action``; one that stages an image which is at the site already, for another stack, says so."""
    image = action.resource
    if action.reason != NOT_STAGED or not isinstance(image, StagedImage):
        return action
    inventory = inventories.get(image.site)
    return replace(action, reason=ALREADY_STAGED) if inventory and image.digest in inventory.images else action


def _as_asked(action: Action, request: PlanRequest) -> Action:
    """``action``; one that the command brings about, and not the spec, says so and points to no line of it."""
    resource = action.resource
    if isinstance(resource, StagedImage):
        return action
    if resource.cluster in request.drop:
        return replace(action, reason=action.reason.replace(NO_LONGER_WANTED, REQUESTED), where=None)
    switched = any(cluster == resource.cluster for cluster, _ in request.running)
    return replace(action, reason=REQUESTED, where=None) if switched and action.reason in (SHALL_RUN, SHALL_BE_OFF) else action


def with_moves_recorded(plan: Plan, state: State) -> Plan:
    """What is left of ``plan`` once its moves are recorded, which is how ``state`` came about: the same actions, bound to it."""
    return replace(plan, moves=(), serial=state.serial, state_sha256=state_digest(state))


def _desired(
    wanted: Wanted, seen: RefreshedState, inventories: Mapping[str, Inventory], request: PlanRequest
) -> tuple[list[Desired], frozenset[str], tuple[PendingChange, ...]]:
    """Everything desired, the addresses this plan is about, and what waits. Raises PlanError."""
    problems: list[Problem] = []
    desired: list[Desired] = []
    pending: list[PendingChange] = []
    state = seen.state
    staying = sorted((each for each in wanted.clusters if each.name not in request.drop), key=lambda cluster: cluster.name)
    allocators = {
        site.name: Allocator(
            site, inventories.get(site.name), state, [each for each in staying if each.site == site.name], wanted.spec_file
        )
        for site in wanted.sites
    }
    anew = replaced_nodes(state, request)
    moved = {record.address: record for record in state.records if record.origin and record.address not in anew}
    for cluster in staying:
        if not request.concerns(cluster.name):
            continue
        if is_power_only(cluster, seen, request):
            kept = power_only_changes(wanted, cluster, seen, request)
            desired += kept.desired
            pending += kept.pending
            continue
        recorded = _recorded_allocation(state, cluster)
        try:
            allocation = allocators[cluster.site].allocation(cluster, recorded)
        except AllocationError as error:
            problems += error.problems
            allocation = _stand_in(cluster)
        desired.append(Desired(allocation, cluster.where))
        running = request.wants_running(cluster.name, cluster.running)
        desired += desired_nodes(wanted, cluster, allocation, state.lineage, running, moved)
    for name, _ in request.running:
        if wanted.cluster(name) is None:
            kept = unwanted_power_changes(name, seen, request)
            desired += kept.desired
            pending += kept.pending
    desired = [*needed_images(wanted, desired, seen, request), *desired]
    problems += unknown_image_problems(desired, request)
    problems += reused_name_problems(desired, state)
    planned = addresses_in_scope(wanted, desired, state, request)
    concerned = [entry for entry in desired if entry.resource.address in planned]
    for site in wanted.sites:
        here = [entry for entry in concerned if entry.resource.site == site.name]
        problems += firmware_problems(site.name, inventories.get(site.name), here, wanted.images, state)
        if site.name in inventories:
            problems += shortages(site, inventories[site.name], concerned, state, planned)
    if problems:
        raise PlanError.of(problems)
    return desired, planned, tuple(pending)


def _stand_in(cluster: WantedCluster) -> Allocation:
    """For a cluster that cannot have its networks: so that what else its nodes lack is found in the same run."""
    names = ("private", *(network.name for network in cluster.networks))
    return Allocation(
        site=cluster.site, cluster=cluster.name, networks=tuple(Network(name=name, cidr="0.0.0.0/0") for name in names)
    )


def _recorded_allocation(state: State, cluster: WantedCluster) -> Allocation | None:
    record = state.record(f"{cluster.site}/{cluster.name}/allocation")
    return record.resource if record is not None and isinstance(record.resource, Allocation) else None


def _may_grow(wanted: Wanted, cluster: WantedCluster, state: State, recorded: list[Node], request: PlanRequest) -> bool:
    if is_power_only(cluster, RefreshedState(state, frozenset(), ()), request):
        # Its networks stay as they are. Of what is gone nothing is known yet, and it is made only where it shall run.
        return request.wants_running(cluster.name, cluster.running) and _grows(wanted, cluster, recorded, request)
    return _asks_for_more(wanted, cluster, state) or _grows(wanted, cluster, recorded, request)


def _asks_for_more(wanted: Wanted, cluster: WantedCluster, state: State) -> bool:
    """Whether ``cluster`` wants networks, addresses or images that its site has not granted it yet."""
    allocation = _recorded_allocation(state, cluster)
    site = wanted.site(cluster.site)
    if allocation is None or site is None or not satisfies(allocation, cluster, site):
        return True
    return any(
        state.record(f"{cluster.site}/image/{wanted.image(nodes.image).digest[:16]}") is None
        for nodes in (cluster.frontend, cluster.computes)
        if nodes.count
    )


def _grows(wanted: Wanted, cluster: WantedCluster, recorded: list[Node], request: PlanRequest) -> bool:
    """True if ``cluster`` wants more nodes than are ``recorded``, larger ones, stopped ones running, or other firmware."""
    running = request.wants_running(cluster.name, cluster.running)
    counts = {"frontend": 0, "compute": 0}
    for node in recorded:
        counts[node.role] += 1
        asked = cluster.frontend if node.role == "frontend" else cluster.computes
        if node.index < asked.count and _larger(wanted, asked, node, running):
            return True
    return running and (counts["frontend"] < 1 or counts["compute"] < cluster.computes.count)


def _larger(wanted: Wanted, asked: WantedNodes, node: Node, running: bool) -> bool:
    image = wanted.image(asked.image)
    disk_bytes = asked.disk_bytes or image.virtual_size_bytes
    started = running and (not node.running or image.firmware != node.firmware)
    return started or asked.cpus > node.cpus or asked.memory_mib > node.memory_mib or disk_bytes > node.disk_bytes


def _planned_site(name: str, wanted: Wanted, state: State, observations: Mapping[str, Observations]) -> PlannedSite:
    site = wanted.site(name) or state.site(name)
    if site is None:
        raise PlanError(
            "A site is unknown",
            f"The state records objects at site {name}, which is neither in the spec nor in the state's own list. "
            "Put the site back into the spec, so that what is there can be cleaned.",
        )
    seen = observations.get(name)
    return PlannedSite(site=site, identity=seen.identity if seen else None)
