"""Makes a plan from the expanded spec, the recorded state, observations and inventories. Pure."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from pragmaspec.delivery import SEED_AND_FILES
from pragmaspec.errors import PlanError, Problem
from pragmaspec.planning.actions import (
    ALREADY_STAGED,
    LIVES_THERE,
    NO_LONGER_WANTED,
    NOT_STAGED,
    REQUESTED,
    SHOULD_BE_OFF,
    SHOULD_RUN,
    actions,
)
from pragmaspec.planning.allocation.allocator import AllocationError, Allocator, satisfies
from pragmaspec.planning.allocation.capacity import shortages
from pragmaspec.planning.allocation.flavor_errors import vanished_flavor_warnings
from pragmaspec.planning.allocation.flavors import SizeChooser, may_change_size
from pragmaspec.planning.allocation.host_parts import HostPartsChooser, lacks_host_parts
from pragmaspec.planning.allocation.pools import UNKNOWN_RANGE
from pragmaspec.planning.allocation.processors import processor_problems, site_processors, with_default_processors
from pragmaspec.planning.allocation.quotas import quota_shortages
from pragmaspec.planning.delivery import delivery_problems
from pragmaspec.planning.desired import Desired, RecordedCluster, desired_nodes, recorded_clusters
from pragmaspec.planning.diff import changes
from pragmaspec.planning.drift.public_network import require_public_networks
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.images.firmware import firmware_problems
from pragmaspec.planning.images.needed import needed_images, unknown_image_problems
from pragmaspec.planning.images.prune import prune_actions
from pragmaspec.planning.images.site_images import memory_problems
from pragmaspec.planning.late.members import with_member_updates
from pragmaspec.planning.late.offline import offline_problems
from pragmaspec.planning.late.routes import route_warnings
from pragmaspec.planning.moves.facts import SiteFacts, site_facts
from pragmaspec.planning.moves.moves import moved_state, planned_moves, reused_name_problems
from pragmaspec.planning.moves.suggest import likely_moves
from pragmaspec.planning.new_machines import NewMachines
from pragmaspec.planning.observed import Inventory, Observations, StoredImage
from pragmaspec.planning.peers import with_peers, without_known_members
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Action, Drift, PendingChange, Plan, PlannedSite
from pragmaspec.planning.power_only import PowerOnlyChanges, is_power_only, power_only_changes, unwanted_power_changes
from pragmaspec.planning.replacement import check_replacements, replaced_nodes
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.scope import EVERYTHING, addresses_in_scope
from pragmaspec.planning.storage.disks import needs_more_disks
from pragmaspec.planning.storage.volumes import (
    desired_volumes,
    missing_and_unused,
    unsupported_disk_problems,
    volume_problems,
)
from pragmaspec.planning.targets import selected_actions, selected_addresses
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedNodes
from pragmaspec.planning.warnings import plan_warnings
from pragmaspec.resources import Allocation, Network, Node, Resource, StagedImage, Volume
from pragmaspec.state_model import State

WHOLE_STACK = PlanRequest()
_RECORDS_PER_PART = 1000
_NONE_STORED: Mapping[str, tuple[StoredImage, ...]] = MappingProxyType({})


def state_digest(state: State) -> str:
    """Return the SHA-256 of the whole state as JSON with sorted keys, which a saved plan is bound to.

    Records are encoded in parts, because the text of 100,000 nodes has 58 MB.
    """
    encode = msgspec.json.Encoder(order="sorted").encode
    lineage = b'"lineage":' + encode(state.lineage)
    before, _, after = encode(replace(state, records=())).partition(lineage)
    digest = sha256(before + lineage)
    for start in range(0, len(state.records), _RECORDS_PER_PART):
        digest.update(b"," if start else b',"records":[')
        digest.update(encode(state.records[start : start + _RECORDS_PER_PART])[1:-1])
    digest.update((b"]" if state.records else b"") + after)
    return digest.hexdigest()


def sites_needing_inventory(wanted: Wanted, state: State, request: PlanRequest = WHOLE_STACK) -> frozenset[str]:
    """Return the names of the sites whose inventory a plan needs, because something new or larger is wanted there.

    Raises PlanError if the spec moves a resource to a name in use.
    """
    state = moved_state(state, planned_moves(wanted, state, request))
    recorded: dict[tuple[str, str], list[Node]] = defaultdict(list)
    for record in state.records:
        node = record.resource
        if isinstance(node, Node):
            recorded[node.site, node.cluster].append(node)
    return frozenset(
        cluster.site
        for cluster in wanted.clusters
        if cluster.name not in request.drop
        and request.concerns(cluster.name)
        and _may_grow(wanted, cluster, state, recorded[cluster.site, cluster.name], request)
    )


def sites_booting_nodes(plan: Plan) -> frozenset[str]:
    """Return the names of the sites where ``plan`` boots nodes.

    Their flavors and processors may have changed: a plan that was made without the inventory of such a site has to be made again
    with it.
    """
    return frozenset(action.resource.site for action in plan.actions if action.verb == "boot")


def make_plan(
    wanted: Wanted,
    state: State,
    observations: Mapping[str, Observations],
    inventories: Mapping[str, Inventory],
    request: PlanRequest = WHOLE_STACK,
    stored: Mapping[str, tuple[StoredImage, ...]] = _NONE_STORED,
) -> Plan:
    """Return the plan that takes the sites from the recorded and observed state to the wanted one.

    Sites without ``observations`` are assumed to match the recorded state. ``inventories`` must contain every site of
    :func:`sites_needing_inventory`, ``stored`` the images of every site of :func:`.prune.prune_sites`. Raises PlanError with
    every shortage, conflict and contradiction, and PlanRefusedError if the observations are not credible.
    """
    moves = planned_moves(wanted, state, request)
    facts = site_facts(state, moves, observations, inventories, request)
    moved, observed, refreshed = facts.moved, facts.observed, facts.refreshed
    sizes = _size_choosers(wanted, moved, refreshed, facts.inventories, request)
    target = _Target(wanted, refreshed, facts.inventories, request, sizes).build()
    check_replacements(target.desired, refreshed.state, request)
    selected = _selected_actions(wanted, facts, target, request, stored)
    require_public_networks(selected, observed, wanted, request)
    touched = {action.address for action in selected}
    sites = {action.resource.site for action in selected} | {cluster.site for cluster in wanted.clusters} | observed.keys()
    partial = bool(request.targets or request.exclude or request.only_clusters or request.drop_volumes)
    return Plan(
        lineage=state.lineage,
        serial=state.serial,
        state_sha256=state_digest(state),
        spec_file=wanted.spec_file,
        spec_sha256=wanted.spec_sha256,
        sites=tuple(
            _planned_site(name, wanted, moved, observed, target.default_processors.get(name, "")) for name in sorted(sites)
        ),
        actions=selected,
        drift=tuple(drift for drift in refreshed.drift if drift.kind != "unrecorded" or drift.address not in touched),
        partial=partial,
        named=request.drop,
        replaced=tuple(sorted(target.replaced)),
        moves=moves,
        likely_moves=() if partial else likely_moves(wanted, target.nodes, moved),
        warnings=(
            *plan_warnings(wanted, moved, observed, request),
            *vanished_flavor_warnings(facts.inventories, target.nodes),
            *route_warnings(wanted.sites, selected, target.nodes),
        ),
        need=wanted.need,
        pending=tuple(target.pending),
    )


def _selected_actions(
    wanted: Wanted,
    facts: SiteFacts,
    target: "_TargetState",
    request: PlanRequest,
    stored: Mapping[str, tuple[StoredImage, ...]],
) -> tuple[Action, ...]:
    """Return the actions that ``request`` concerns, those of unused images included."""
    moved, refreshed = facts.moved, facts.refreshed
    known = [*(entry.resource for entry in target.desired), *(record.resource for record in moved.records)]
    pruned = tuple(prune_actions(stored, known, moved.lineage)) if request.prune_images else ()
    found = (*_all_actions(wanted, moved, refreshed, target, request), *pruned)
    selected = selected_actions(found, [*known, *(action.resource for action in pruned)], request)
    selected = tuple(_with_requested_reason(_with_staged_reason(each, facts.inventories), request) for each in selected)
    return with_member_updates(_with_actual_peers(selected, wanted, refreshed.state, request))


class _TargetState(NamedTuple):
    """Everything desired, the addresses in the scope of the plan, the deferred changes, and the nodes to replace.

    ``default_processors``: by site, where nodes got it.
    """

    desired: list[Desired]
    scope: Container[str]
    pending: list[PendingChange]
    replaced: frozenset[str]
    default_processors: Mapping[str, str]

    @property
    def nodes(self) -> list[Node]:
        """The desired nodes."""
        return [entry.resource for entry in self.desired if isinstance(entry.resource, Node)]


class _Target:
    """Builds a :class:`_TargetState`, collecting all problems."""

    def __init__(
        self,
        wanted: Wanted,
        refreshed: RefreshedState,
        inventories: Mapping[str, Inventory],
        request: PlanRequest,
        sizes: Mapping[str, SizeChooser],
    ) -> None:
        self._sizes = sizes
        self._wanted = wanted
        self._refreshed = refreshed
        self._state = refreshed.state
        self._inventories = inventories
        self._request = request
        self._clusters = sorted(
            (each for each in wanted.clusters if each.name not in request.drop), key=lambda cluster: cluster.name
        )
        self._replaced = replaced_nodes(self._state, request)
        made_anew = refreshed.gone | refreshed.never_created | self._replaced
        self._new = NewMachines(self._state, made_anew)
        self._recorded = recorded_clusters(self._state, self._replaced, made_anew)
        self._host_parts = HostPartsChooser(wanted, self._clusters, inventories, self._state)
        self._desired: list[Desired] = []
        self._processors = site_processors(wanted, inventories)
        self._defaulted: dict[str, str] = {}
        self._pending: list[PendingChange] = []
        self._problems: list[Problem] = []

    def build(self) -> _TargetState:
        """Raise PlanError with every problem, if there are any."""
        wanted, state, request = self._wanted, self._state, self._request
        allocators = self._allocators()
        for cluster in self._clusters:
            if not request.concerns(cluster.name):
                continue
            if is_power_only(cluster, self._refreshed, request):
                self._add(power_only_changes(wanted, cluster, self._refreshed, request, self._sizes[cluster.site]))
            else:
                self._add_cluster(cluster, allocators[cluster.site])
        for name, _ in request.running:
            if wanted.cluster(name) is None:
                self._add(unwanted_power_changes(name, self._refreshed, request))
        self._desired, self._defaulted = with_default_processors(self._desired, self._processors, wanted, self._new)
        self._desired = self._host_parts.chosen(self._desired)
        self._desired = [*needed_images(wanted, self._desired, self._refreshed, request), *self._desired]
        self._desired += desired_volumes(self._desired, self._refreshed, request)
        self._problems += unsupported_disk_problems(self._desired, self._refreshed, wanted.sites, self._inventories)
        self._problems += offline_problems(self._desired, wanted.sites)
        self._problems += volume_problems(self._desired, self._refreshed, self._inventories, request)
        self._problems += unknown_image_problems(self._desired, request)
        self._problems += reused_name_problems(self._desired, state)
        self._problems += (problem for chooser in self._sizes.values() for problem in chooser.problems)
        scope = addresses_in_scope(wanted, self._desired, state, request)
        self._check_sites(scope)
        if self._problems:
            raise PlanError.of(self._problems)
        chosen = {site: self._processors[site].default for site in self._defaulted.values()}
        return _TargetState(self._desired, scope, self._pending, self._replaced, chosen)

    def _allocators(self) -> dict[str, Allocator]:
        return {
            site.name: Allocator(
                site,
                self._inventories.get(site.name),
                self._state,
                [each for each in self._clusters if each.site == site.name],
                self._wanted.spec_file,
            )
            for site in self._wanted.sites
        }

    def _add(self, changes: PowerOnlyChanges) -> None:
        self._desired += changes.desired
        self._pending += changes.pending

    def _add_cluster(self, cluster: WantedCluster, allocator: Allocator) -> None:
        """Add the desired resources of ``cluster``. What it lacks matters only if the plan includes some of it."""
        problems: tuple[Problem, ...] = ()
        try:
            allocation = allocator.allocation(cluster, _recorded_allocation(self._state, cluster))
        except AllocationError as error:
            problems = error.problems
            allocation = _placeholder_allocation(cluster)
        added = len(self._desired)
        self._desired.append(Desired(allocation, cluster.where))
        running = self._request.wants_running(cluster.name, cluster.running)
        recorded = self._recorded.get((cluster.site, cluster.name), RecordedCluster(self._state.lineage))
        try:
            self._desired += desired_nodes(self._wanted, cluster, allocation, running, recorded, self._sizes[cluster.site])
        except PlanError as error:
            self._problems += error.problems
        resources = [entry.resource for entry in self._desired[added:]] if problems else []
        selected = selected_addresses(resources, EVERYTHING, self._request)
        if any(resource.address in selected for resource in resources):
            self._problems += problems

    def _check_sites(self, scope: Container[str]) -> None:
        in_scope = self._desired
        if scope is not EVERYTHING:
            in_scope = [entry for entry in self._desired if entry.resource.address in scope]
        for site in self._wanted.sites:
            here = [entry for entry in in_scope if entry.resource.site == site.name]
            inventory = self._inventories.get(site.name)
            self._problems += memory_problems(here, self._wanted.images)
            self._problems += firmware_problems(site, inventory, here, self._wanted.images, self._state)
            if inventory is None and site.delivery == SEED_AND_FILES:
                continue
            known = scope if scope is not EVERYTHING else self._known_addresses
            selected = selected_addresses(self._resources(), known, self._request)
            if site.delivery != SEED_AND_FILES:
                self._problems += delivery_problems(site, self._desired, self._wanted, self._new, selected)
            if inventory is not None:
                self._problems += processor_problems(self._processors[site.name], here, self._defaulted, self._new)
                self._problems += shortages(site, inventory, in_scope, self._state, known)
                sized = self._sized_addresses(site.name, inventory, selected)
                self._problems += quota_shortages(site.name, inventory, in_scope, self._refreshed, sized)
                self._problems += self._host_parts.problems(site.name, selected)

    def _sized_addresses(self, site: str, inventory: Inventory, selected: Container[str]) -> Container[str]:
        """Return ``selected`` without the nodes that no flavor of ``site`` fits: their sizes are those of no machine."""
        if inventory.flavors is None or not self._sizes[site].problems:
            return selected
        nodes = (each.resource for each in self._desired if isinstance(each.resource, Node))
        unsized = {node.address for node in nodes if node.site == site and not node.flavor}
        return frozenset(address for address in self._known_addresses - unsized if address in selected)

    def _resources(self) -> Iterator[Resource]:
        """Yield everything desired or recorded."""
        yield from (entry.resource for entry in self._desired)
        yield from (record.resource for record in self._state.records)

    @cached_property
    def _known_addresses(self) -> frozenset[str]:
        """The addresses of everything desired or recorded, once that is complete. Other objects of this stack are left alone."""
        return frozenset(each.address for each in self._resources())


def _size_choosers(
    wanted: Wanted, recorded: State, refreshed: RefreshedState, inventories: Mapping[str, Inventory], request: PlanRequest
) -> dict[str, SizeChooser]:
    """Return the chooser of each site. ``recorded``: before drift, so that a drifted size is repaired."""
    made_anew = refreshed.gone | refreshed.never_created | replaced_nodes(recorded, request)
    offered = {site.name: inventories[site.name].flavors if site.name in inventories else None for site in wanted.sites}
    nodes: dict[str, dict[str, Node]] = {name: {} for name in offered}
    unfinished: set[str] = set()
    for record in recorded.records:
        node = record.resource
        if not isinstance(node, Node) or node.site not in offered or not (node.flavor or offered[node.site] is not None):
            continue
        # Without the site's flavors, a node that is made anew gets its recorded size: see `sites_booting_nodes`.
        if node.site not in inventories or record.address not in made_anew:
            nodes[node.site][record.address] = node
            if record.status == "pending":
                unfinished.add(record.address)
    return {name: SizeChooser(name, offered[name], nodes[name], unfinished, known=name in inventories) for name in offered}


def _all_actions(
    wanted: Wanted, recorded: State, refreshed: RefreshedState, target: _TargetState, request: PlanRequest
) -> tuple[Action, ...]:
    """Return the actions for every difference in scope, before any selection of targets."""
    drifted = frozenset(drift.address for drift in refreshed.drift if _needs_action(drift, recorded, refreshed.state, request))
    drifted -= missing_and_unused(refreshed, target.nodes)
    differing = changes(target.desired, refreshed.state, drifted | target.replaced)
    waits = {
        (cluster.site, cluster.name, name): nodes.wait_for
        for cluster in wanted.clusters
        for name, nodes in cluster.sets
        if nodes.wait_for
    }
    return actions((each for each in differing if each.address in target.scope), refreshed, waits, target.replaced)


def _needs_action(drift: Drift, recorded: State, refreshed: State, request: PlanRequest) -> bool:
    """True if ``drift`` has to be recorded or repaired. For nodes of a switched cluster only drift of the power has."""
    if drift.kind in INFORMATIONAL_KINDS:
        return False
    before, now = recorded.record(drift.address), refreshed.record(drift.address)
    if before is None or now is None or not isinstance(before.resource, Node) or not isinstance(now.resource, Node):
        return True
    return (
        not request.switches(before.resource.cluster)
        or drift.kind in ("gone", "paused")
        or before.resource.running != now.resource.running
    )


def _with_staged_reason(action: Action, inventories: Mapping[str, Inventory]) -> Action:
    """Correct the reason of staging an image that is at the site already: of another stack, or of the site itself."""
    image = action.resource
    if action.reason != NOT_STAGED or not isinstance(image, StagedImage):
        return action
    inventory = inventories.get(image.site)
    if inventory and image.digest in inventory.images:
        return replace(action, reason=ALREADY_STAGED)
    return replace(action, reason=LIVES_THERE) if image.site_image else action


def _with_requested_reason(action: Action, request: PlanRequest) -> Action:
    """Correct the reason of an action that the command requests, not the spec, and drop its line of the spec."""
    resource = action.resource
    if isinstance(resource, StagedImage):
        return action
    if isinstance(resource, Volume):
        is_named = action.verb == "clean" and resource.address in request.drop_volumes
        return replace(action, reason=action.reason.replace(NO_LONGER_WANTED, REQUESTED)) if is_named else action
    if resource.cluster in request.drop:
        return replace(action, reason=action.reason.replace(NO_LONGER_WANTED, REQUESTED), where=None)
    if request.switches(resource.cluster) and action.reason in (SHOULD_RUN, SHOULD_BE_OFF):
        return replace(action, reason=REQUESTED, where=None)
    return action


def _with_actual_peers(
    selected: tuple[Action, ...], wanted: Wanted, refreshed: State, request: PlanRequest
) -> tuple[Action, ...]:
    """Give each node the cluster members that will exist after a partial plan.

    A power-only plan does so for new nodes; existing ones boot with the members that they know.
    """
    if request.targets or request.exclude:
        return without_known_members(with_peers(selected, wanted, refreshed))
    if request.running:
        updated = with_peers(selected, wanted, refreshed)
        return tuple(new if old.before is None else old for old, new in zip(selected, updated, strict=True))
    return selected


def _placeholder_allocation(cluster: WantedCluster) -> Allocation:
    """Return an allocation for a cluster whose networks are unavailable, so that the same run finds its other problems."""
    names = ("private", *(network.name for network in cluster.networks))
    return Allocation(
        site=cluster.site, cluster=cluster.name, networks=tuple(Network(name=name, cidr=UNKNOWN_RANGE) for name in names)
    )


def _recorded_allocation(state: State, cluster: WantedCluster) -> Allocation | None:
    record = state.record(f"{cluster.site}/{cluster.name}/allocation")
    return record.resource if record is not None and isinstance(record.resource, Allocation) else None


def _may_grow(wanted: Wanted, cluster: WantedCluster, state: State, recorded: list[Node], request: PlanRequest) -> bool:
    if is_power_only(cluster, RefreshedState(state, frozenset(), ()), request):
        # Its networks stay as they are. Missing nodes are unknown before the site is observed, and created only to run.
        return request.wants_running(cluster.name, cluster.running) and _needs_capacity(wanted, cluster, recorded, request)
    return _needs_allocation(wanted, cluster, state) or _needs_capacity(wanted, cluster, recorded, request)


def _needs_allocation(wanted: Wanted, cluster: WantedCluster, state: State) -> bool:
    """True if ``cluster`` wants networks, addresses or images that its site has not granted yet."""
    allocation = _recorded_allocation(state, cluster)
    site = wanted.site(cluster.site)
    if allocation is None or site is None or not satisfies(allocation, cluster, site):
        return True
    return any(state.record(f"{cluster.site}/image/{image.digest[:16]}") is None for image in wanted.images_of(cluster))


def _needs_capacity(wanted: Wanted, cluster: WantedCluster, recorded: list[Node], request: PlanRequest) -> bool:
    """True if ``cluster`` wants more nodes than ``recorded``, larger ones, stopped ones running, or other firmware."""
    running = request.wants_running(cluster.name, cluster.running)
    sets = dict(cluster.sets)
    counts = dict.fromkeys(sets, 0)
    for node in recorded:
        nodes = sets.get(node.group_name)
        if nodes is not None:
            counts[node.group_name] += 1
            if node.index < nodes.count and _grows(wanted, nodes.at(node.index), node, running):
                return True
    return running and any(counts[name] < nodes.count for name, nodes in sets.items())


def _grows(wanted: Wanted, nodes: WantedNodes, node: Node, running: bool) -> bool:
    image = wanted.image(nodes.image, node.site)
    disk_bytes = nodes.disk_bytes or image.virtual_size_bytes
    if nodes.disks and needs_more_disks(nodes.disks, node):
        return True
    if nodes.cpu not in ("", node.cpu) or ((nodes.devices or nodes.pin) and lacks_host_parts(nodes, node)):
        return running
    starts = running and (not node.running or image.firmware != node.firmware)
    if node.flavor or nodes.flavor:
        return starts or may_change_size(node, nodes, image)
    return starts or nodes.cpus > node.cpus or nodes.memory_mib > node.memory_mib or disk_bytes > node.disk_bytes


def _planned_site(
    name: str, wanted: Wanted, state: State, observations: Mapping[str, Observations], default_processor: str
) -> PlannedSite:
    site = wanted.site(name) or state.site(name)
    if site is None:
        raise PlanError(
            "Unknown site",
            f"The state records objects at site {name}, which is missing from the spec and from the state's list of sites. "
            "Add the site to the spec again, so that its objects can be cleaned.",
        )
    observed = observations.get(name)
    return PlannedSite(site=site, identity=observed.identity if observed else None, default_processor=default_processor)
