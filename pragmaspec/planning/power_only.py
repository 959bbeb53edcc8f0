"""Clusters whose power alone a plan changes; all other changes of the spec are deferred. Pure.

These are the clusters that ``boot`` and ``shutdown`` name, and those that the spec switches off: a rebuild of a stopped node
would destroy the old disk before the new one is of use.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.planning.actions import NEW, NO_LONGER_WANTED
from pragmaspec.planning.allocation.allocator import satisfies
from pragmaspec.planning.allocation.flavors import SizeChooser
from pragmaspec.planning.desired import Desired, RecordedCluster, desired_nodes, recorded_clusters
from pragmaspec.planning.diff import changed_fields
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.impact import changed_fields_text, node_impact
from pragmaspec.planning.plan import Impact, PendingChange, Until
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.storage.disks import discarded_disks
from pragmaspec.planning.wanted import Wanted, WantedCluster
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.state_model import Record, State
from pragmaspec.text import joined


class PowerOnlyChanges(NamedTuple):
    """The desired resources of a power-only cluster, and the deferred changes."""

    desired: list[Desired]
    pending: list[PendingChange]


def is_power_only(cluster: WantedCluster, refreshed: RefreshedState, request: PlanRequest) -> bool:
    """True if only the power of ``cluster`` may change. Switching on a cluster that was never created creates it."""
    records = _cluster_records(cluster.name, refreshed.state)
    if request.switches(cluster.name):
        return not request.wants_running(cluster.name, cluster.running) or any(records)
    missing = refreshed.gone | refreshed.never_created
    return not cluster.running and any(
        isinstance(record.resource, Node) and record.resource.site == cluster.site and record.address not in missing
        for record in records
    )


def power_only_changes(
    wanted: Wanted, cluster: WantedCluster, refreshed: RefreshedState, request: PlanRequest, sizes: SizeChooser | None = None
) -> PowerOnlyChanges:
    """Return the changes of ``cluster``, for which :func:`is_power_only` is true, with the requested power.

    ``sizes``: see :func:`.desired.desired_nodes`.
    """
    return _PowerOnlyCluster(wanted, cluster, refreshed, request, sizes).changes()


def unwanted_power_changes(name: str, refreshed: RefreshedState, request: PlanRequest) -> PowerOnlyChanges:
    """Return the changes of a recorded cluster that is no longer in the spec, with the requested power."""
    return _unwanted(_cluster_records(name, refreshed.state), refreshed, request.wants_running(name, otherwise=False))


class _PowerOnlyCluster:
    """Collects the changes of one cluster."""

    def __init__(
        self,
        wanted: Wanted,
        cluster: WantedCluster,
        refreshed: RefreshedState,
        request: PlanRequest,
        sizes: SizeChooser | None,
    ) -> None:
        self._sizes = sizes
        self._wanted = wanted
        self._cluster = cluster
        self._refreshed = refreshed
        self._running = request.wants_running(cluster.name, cluster.running)
        self._switched = request.switches(cluster.name)
        self._until: Until = "apply" if self._switched else "running"
        # An unfinished node may still appear where calls take effect late, so shutdown goes by the records.
        self._missing = refreshed.gone if self._switched else refreshed.gone | refreshed.never_created
        self._drift = {drift.address: drift.detail for drift in refreshed.drift}
        self._desired: list[Desired] = []
        self._pending: list[PendingChange] = []

    def changes(self) -> PowerOnlyChanges:
        record = self._refreshed.state.record(f"{self._cluster.site}/{self._cluster.name}/allocation")
        allocation = record.resource if record is not None and isinstance(record.resource, Allocation) else None
        wanted: set[str] = set()
        if allocation is not None:
            wanted.add(allocation.address)
            matches = self._keep_allocation(allocation)
            for node, where in self._wanted_nodes(allocation, matches=matches):
                wanted.add(node.address)
                self._add_node(node, where, matches=matches)
        if self._switched:
            records = [each for each in _cluster_records(self._cluster.name, self._refreshed.state) if each.address not in wanted]
            unwanted = _unwanted(records, self._refreshed, self._running)
            self._desired += unwanted.desired
            self._pending += unwanted.pending
        return PowerOnlyChanges(self._desired, self._pending)

    def _keep_allocation(self, allocation: Allocation) -> bool:
        """Keep ``allocation``. Return True if it matches the spec, so that missing nodes can be created on it."""
        cluster, site = self._cluster, self._wanted.site(self._cluster.site)
        matches = site is not None and satisfies(allocation, cluster, site) and allocation.private.mtu == cluster.mtu
        if not self._switched:
            allocation = replace(allocation, protect=cluster.protect)
        if self._running or not self._switched:
            self._desired.append(Desired(allocation, cluster.where))
        if not matches:
            self._defer(allocation.address, "networks or public address changed", cluster.where)
        return matches

    def _wanted_nodes(self, allocation: Allocation, *, matches: bool) -> list[tuple[Node, Where | None]]:
        """Return the nodes of the spec. Their interfaces are unknown until an allocation matches the spec."""
        cluster, state = self._cluster, self._refreshed.state
        recorded = recorded_clusters(state, made_anew=self._missing)
        own = recorded.get((cluster.site, cluster.name), RecordedCluster(state.lineage))
        if not matches:
            cluster, allocation = replace(cluster, networks=()), replace(allocation, networks=allocation.networks[:1])
        found = desired_nodes(self._wanted, cluster, allocation, self._running, own, self._sizes)
        return [(entry.resource, entry.where) for entry in found if isinstance(entry.resource, Node)]

    def _add_node(self, wanted: Node, where: Where | None, *, matches: bool) -> None:
        record = self._refreshed.state.record(wanted.address)
        before = record.resource if record is not None else None
        if record is None or not isinstance(before, Node) or record.address in self._missing:
            self._add_missing(wanted, where, recorded=record is not None, matches=matches)
        elif before.image:
            kept = replace(before, running=wanted.running)
            if not self._switched:
                kept = replace(kept, protect=wanted.protect, readiness=wanted.readiness)
            if not self._switched or before.running != wanted.running:
                kept = replace(kept, autostart=wanted.autostart)  # autostart follows the power
            self._desired.append(Desired(kept, where))
            self._defer_changes(kept, wanted, {*self._cluster.unknown, *(() if matches else ("nics", "peers"))}, where)
        elif self._switched:
            self._defer(wanted.address, self._drift.get(wanted.address, "has no disk"), where)
        else:
            self._desired.append(Desired(wanted, where))  # its disk is gone: nothing is lost

    def _add_missing(self, wanted: Node, where: Where | None, *, recorded: bool, matches: bool) -> None:
        """Create a missing node that should run. Shutting down a missing node keeps its record."""
        if self._running and (not matches or self._cluster.unknown):
            self._defer(wanted.address, self._drift[wanted.address] if recorded else NEW, where)
        elif self._running or not self._switched:
            self._desired.append(Desired(wanted, where))

    def _defer_changes(self, before: Node, wanted: Node, unknown: set[str], where: Where | None) -> None:
        ignored = set(unknown) if self._switched else {*unknown, "peers"}
        settings = self._cluster.settings_of(before)
        if "image" in unknown and settings is not None and settings.disk_bytes is None:
            ignored.add("disk_bytes")  # it follows the size of the image
        if settings is not None and self._image_differs(before, settings.image):
            ignored.discard("image")
        fields = tuple(name for name in changed_fields(before, wanted) if name not in ignored)
        if fields:
            lost = [disk.name for disk in discarded_disks(before, wanted)] if "disks" in fields else []
            loss = f", loses {'disk' if len(lost) == 1 else 'disks'} {joined(lost)}" if lost else ""
            gone = [name for name in wanted.volumes if f"{wanted.site}/volume/{name}" in self._refreshed.gone]
            loss += f", {'volume' if len(gone) == 1 else 'volumes'} {joined(gone)} created anew, empty" if gone else ""
            impact = "data-loss" if lost or gone else node_impact(before, wanted, fields)
            self._defer(wanted.address, f"{changed_fields_text(fields)}{loss}", where, impact)

    def _image_differs(self, node: Node, image: str) -> bool:
        """True if the recorded image of ``node`` has another name than ``image``, whose digest may be unknown."""
        record = self._refreshed.state.record(f"{node.site}/image/{node.image[:16]}")
        return record is not None and isinstance(record.resource, StagedImage) and record.resource.name != image

    def _defer(self, address: str, reason: str, where: Where | None, impact: Impact = "none") -> None:
        self._pending.append(PendingChange(address=address, reason=reason, impact=impact, until=self._until, where=where))


def _cluster_records(name: str, state: State) -> Iterable[Record]:
    """Return the recorded nodes and allocations of a cluster at all sites."""
    return (
        record for record in state.records if isinstance(record.resource, Node | Allocation) and record.resource.cluster == name
    )


def _unwanted(records: Iterable[Record], refreshed: RefreshedState, running: bool) -> PowerOnlyChanges:
    """Return the changes of recorded resources that are no longer in the spec."""
    desired: list[Desired] = []
    pending: list[PendingChange] = []
    for record in records:
        resource = record.resource
        if isinstance(resource, Node):
            pending.append(PendingChange(address=record.address, reason=NO_LONGER_WANTED, impact="data-loss"))
            if record.address not in refreshed.gone and resource.image:
                desired.append(Desired(replace(resource, running=running, autostart=resource.autostart and running), None))
        elif running:
            desired.append(Desired(resource, None))
    return PowerOnlyChanges(desired, pending)
